"""The simulations: each gives one row of figures, with what is promised of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import log, sqrt
from random import Random

from proctor.delivery.evidence import Capital, Metric, fold, retried
from proctor.delivery.evidence.replay import Replay
from proctor.delivery.evidence.watch import Watch
from proctor.delivery.exam import CaseReport, Report, compare
from proctor.evidence.breach import one_sample
from tests.delivery.test_evidence_chance import NULLS, SLOW, STEPS
from tests.delivery.worlds import METRIC, World, dice, rolled_back, rolled_back_live, stepwise, upgrade

ALPHA, BETA = 0.05, 0.10


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    cells: tuple[str, ...]
    is_kept: bool = True
    """Whether it is within three standard errors of what is promised."""


@dataclass(frozen=True)
class Share:
    """A share of runs."""

    value: float
    runs: int

    @property
    def error(self) -> float:
        """The standard error."""
        return sqrt(max(self.value * (1 - self.value), 0.25 / self.runs) / self.runs)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"

    def at_most(self, promised: float) -> bool:
        """Whether it is not above what is promised, by three standard errors of the promise."""
        return self.value <= promised + 3 * sqrt(promised * (1 - promised) / self.runs)

    def near(self, expected: float) -> bool:
        """Whether it is what was expected, by three standard errors of both: those figures are of 150 runs or more."""
        return abs(self.value - expected) <= 3 * sqrt(self.error**2 + max(expected * (1 - expected), 0.002) / 150)


def false_rollbacks(runs: int) -> Iterator[Row]:
    """A candidate that is no worse, looked at after every task."""
    for seed, (name, world) in enumerate(NULLS.items()):
        share = Share(rolled_back(world, runs, 400, seed=100 + seed), runs)
        yield Row((name, _rates(world), "every task", str(share)), share.at_most(ALPHA))
    few = max(runs // 4, 50)
    share = Share(rolled_back_live(SLOW, few, 300, seed=120), few)
    name = "alike, stable fails an hour after its deadline, candidate at once"
    yield Row((name, _rates(SLOW), "every five minutes", str(share)), share.at_most(ALPHA))


def detections(runs: int) -> Iterator[Row]:
    """How often a worse candidate is rolled back, and after how many tasks of both arms."""
    for seed, (stable, candidate, share, most, expected) in enumerate(
        [
            (0.05, 0.15, 0.5, 400, 0.74),
            (0.05, 0.25, 0.2, 400, 0.99),
            (0.05, 0.50, 0.2, 400, 1.0),
            (0.10, 0.30, 0.2, 400, 0.93),
            (0.02, 0.10, 0.2, 600, 0.81),
            (0.20, 0.40, 0.5, 400, 0.92),
        ]
    ):
        world, chance = World(stable, candidate, ((0, share),)), dice(200 + seed)
        taken = [count for _ in range(runs) if (count := _until_rollback(world, chance, most)) is not None]
        found = Share(len(taken) / runs, runs)
        cells = (_rates(world), f"{share:.0%}", str(most), str(found), f"{expected:.2f}", str(_median(taken)))
        yield Row(cells, found.near(expected))


def _until_rollback(world: World, chance: Random, most: int) -> int | None:
    capital = Capital.begin([Metric(METRIC, 0.1)])
    for task in world.tasks(chance, most):
        capital = fold(capital, [task], task.deadline)
        if capital.peak >= -log(ALPHA):
            return capital.tasks
    return None


def policies(runs: int) -> Iterator[Row]:
    """Whole upgrades by steps of 10, 25 and 50 percent, at a margin of 10 points and at most 800 tasks."""
    for seed, (stable, candidate, rollback, promote) in enumerate(
        [
            (0.05, 0.05, 0.02, 0.98),
            (0.05, 0.30, 1.0, 0.0),
            (0.05, 0.15, 0.95, 0.013),
            (0.10, 0.10, 0.013, 0.96),
            (0.10, 0.40, 1.0, 0.0),
        ]
    ):
        world, chance = World(stable, candidate, STEPS), dice(300 + seed)
        done = [upgrade(world, chance, 800) for _ in range(runs)]
        back = Share(sum(run.verdict == "rollback" for run in done) / runs, runs)
        on = Share(sum(run.verdict == "promote" for run in done) / runs, runs)
        medians = (str(_median([run.tasks for run in done])), str(_median([run.exposed for run in done])))
        cells = (_rates(world), str(back), f"{rollback:.2f}", str(on), f"{promote:.2f}", *medians)
        yield Row(cells, back.near(rollback) and on.near(promote))


def steps(runs: int) -> Iterator[Row]:
    """Upgrades by 10, 25 and 50 percent that leave a weight after 20 tasks: without a step's margin, and with one."""
    for seed, (stable, candidate) in enumerate([(0.05, 0.05), (0.05, 0.15), (0.05, 0.30), (0.10, 0.40)]):
        world = World(stable, candidate, STEPS)
        for margin in (None, 0.25, 0.15):
            chance = dice(800 + seed)
            done = [stepwise(world, chance, 800, margin) for _ in range(runs)]
            back = Share(sum(run.verdict == "rollback" for run in done) / runs, runs)
            on = Share(sum(run.verdict == "promote" for run in done) / runs, runs)
            medians = (str(_median([run.tasks for run in done])), str(_median([run.exposed for run in done])))
            kept = back.at_most(ALPHA) if candidate == stable else on.at_most(BETA)
            yield Row((_rates(world), "none" if margin is None else str(margin), str(back), str(on), *medians), kept)


def substitutes(runs: int) -> Iterator[Row]:
    """Two hundred pairs in place of live tasks that did not decide: worse, no worse by ten points, or neither."""
    for seed, (stable, candidate) in enumerate([(0.05, 0.05), (0.1, 0.1), (0.05, 0.15), (0.05, 0.25)]):
        chance = dice(900 + seed)
        found = [_replayed(stable, candidate, chance, 200) for _ in range(runs)]
        worse = Share(sum(each.is_worse(ALPHA) for each in found) / runs, runs)
        shown = [each for each in found if not each.is_worse(ALPHA) and each.log_no_worse(0.1) >= -log(BETA)]
        on = Share(len(shown) / runs, runs)
        kept = worse.at_most(ALPHA) if candidate == stable else on.at_most(BETA)
        yield Row((f"{stable:.0%} / {candidate:.0%}", str(worse), str(on)), kept)


def _replayed(stable: float, candidate: float, chance: Random, pairs: int) -> Replay:
    replay = Replay()
    for _ in range(pairs):
        first = chance.random()
        second = first if chance.random() < 0.7 else chance.random()
        replay = replay.after(stable=first < stable, candidate=second < candidate)
    return replay


def exams(runs: int) -> Iterator[Row]:
    """Suites of so many cases, asked so often each; the candidate loses some of them for good."""
    for seed, (cases, repeats, lost, unsteady) in enumerate(
        [(20, 1, 0, 0.05), (20, 3, 0, 0.05), (100, 3, 0, 0.10), (20, 1, 5, 0.05), (20, 3, 2, 0.05), (100, 3, 8, 0.10)]
    ):
        chance = dice(1000 + seed)
        worse = Share(sum(_refused(cases, repeats, lost, unsteady, chance) for _ in range(runs)) / runs, runs)
        told = (str(cases), str(repeats), f"{unsteady:.0%}", str(lost), str(worse))
        yield Row(told, worse.at_most(ALPHA) if not lost else True)


def _refused(cases: int, repeats: int, lost: int, unsteady: float, chance: Random) -> bool:
    def report(gone: int) -> Report:
        return Report("s", "d", tuple(case(number, gone) for number in range(cases)))

    def case(number: int, gone: int) -> CaseReport:
        passed = 0 if number < gone else sum(chance.random() >= unsteady for _ in range(repeats))
        return CaseReport(str(number), repeats, passed, repeats)

    found = compare(report(lost), report(0))
    return found is not None and found.is_worse(Decimal("0.05"), ALPHA)


def replays(runs: int) -> Iterator[Row]:
    """Paired replay: seven of ten tasks go the same way on both revisions but for the difference of their rates."""
    for seed, (stable, candidate, expected) in enumerate(
        [(0.1, 0.1, 0.007), (0.05, 0.25, 1.0), (0.05, 0.15, 0.98), (0.1, 0.3, 1.0), (0.2, 0.4, 1.0)]
    ):
        chance = dice(400 + seed)
        taken = [n for _ in range(runs) if (n := _until_refused(stable, candidate, chance, 200)) is not None]
        found = Share(len(taken) / runs, runs)
        kept = found.at_most(ALPHA) if stable == candidate else found.near(expected)
        rates = f"{stable:.0%} / {candidate:.0%}"
        yield Row((rates, str(found), f"{expected:.3f}", str(_median(taken)) if taken else "none"), kept)


def _until_refused(stable: float, candidate: float, chance: Random, most: int) -> int | None:
    replay = Replay()
    for _ in range(most):
        first = chance.random()
        second = first if chance.random() < 0.7 else chance.random()
        replay = replay.after(stable=first < stable, candidate=second < candidate)
        if replay.is_worse(ALPHA):
            return replay.pairs
    return None


def breaches(runs: int) -> Iterator[Row]:
    """The one-sample test against a bound of 5 %, over 1000 tasks."""
    for seed, (rate, most, expected) in enumerate([(0.05, 1000, 0.016), (0.15, 1000, 1.0), (0.30, 1000, 1.0)]):
        chance = dice(500 + seed)
        taken = [n for _ in range(runs) if (n := _until_breach(rate, chance, most)) is not None]
        found = Share(len(taken) / runs, runs)
        kept = found.at_most(ALPHA) if rate <= 0.05 else found.near(expected)
        yield Row((f"{rate:.0%}", str(found), f"{expected:.3f}", str(_median(taken)) if taken else "none"), kept)


def _until_breach(rate: float, chance: Random, most: int) -> int | None:
    bad = 0
    for n in range(1, most + 1):
        bad += (is_bad := chance.random() < rate)
        # Only a bad outcome can raise it.
        if is_bad and one_sample(bad, n, 0.05) >= -log(ALPHA):
            return n
    return None


def watches(runs: int) -> Iterator[Row]:
    """The watch after a promotion at a bound of 5 % and a run length of 1000."""
    for seed, (rate, most) in enumerate([(0.05, 12_000), (0.15, 2000), (0.30, 2000)]):
        chance, few = dice(600 + seed), runs if rate > 0.05 else max(runs // 10, 20)
        lengths = [_until_alarm(rate, chance, most) for _ in range(few)]
        mean = sum(lengths) / few
        cut = sum(length == most for length in lengths)
        words = f"{mean:.0f}" if not cut else f"more than {mean:.0f} ({cut} of {few} runs ended at {most} without one)"
        yield Row((f"{rate:.0%}", str(few), words), mean >= 1000 if rate <= 0.05 else mean < 120)


def _until_alarm(rate: float, chance: Random, most: int) -> int:
    watch = Watch.begin(0.05)
    for n in range(1, most + 1):
        watch = watch.after(bad=chance.random() < rate)
        if watch.alarms(1000):
            return n
    return most


def retries(runs: int) -> Iterator[Row]:
    """One candidate that is worse by the margin, tried up to 20 times, each time until a verdict or 40 tasks more."""
    world, chance, promoted = World(0.05, 0.15), dice(700), 0
    for _ in range(runs):
        capital, tasks = Capital.begin([Metric(METRIC, 0.1)]), world.tasks(chance, 20 * 40)
        for number, task in enumerate(tasks, start=1):
            capital = fold(capital, [task], task.deadline)
            if capital.accounts[METRIC].log_noninferior >= -log(BETA) and capital.candidate_tasks >= 20:
                promoted += 1
                break
            if capital.peak >= -log(ALPHA) or number % 40 == 0:
                capital = retried(capital, ALPHA)
    share = Share(promoted / runs, runs)
    yield Row((_rates(world), "20", str(share), f"at most {BETA:.2f}"), share.at_most(BETA))


def _rates(world: World) -> str:
    return f"{world.stable:.0%} / {world.candidate:.0%}"


def _median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2] if values else 0
