"""What an upgrade will cost: its tasks, errors and chances, played through with chance that is given as an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log

from proctor.delivery.evidence.capital import Account, Capital, Metric, fold
from proctor.delivery.evidence.observation import Observation

_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Any: every task here has ended when it is looked at."""
_METRIC = "bad"


@dataclass(frozen=True)
class Stage:
    """A weight, and the candidate's tasks that it needs before the next one."""

    share: float
    min_tasks: int


@dataclass(frozen=True)
class Plan:
    """How an upgrade is to go. Raises ValueError without a stage, or for a share that compares nothing."""

    stages: tuple[Stage, ...]
    margin: float
    alpha: float = 0.05
    beta: float = 0.10
    max_tasks: int = 2000
    max_candidate_tasks: int | None = None
    step_margin: float | None = None
    """What the candidate must be shown to be worse by less than before the weight is raised."""

    def __post_init__(self) -> None:
        """See the class."""
        if not self.stages or not all(0 < stage.share < 1 for stage in self.stages):
            raise ValueError("an upgrade needs weights between 0 and 100 percent, both excluded, to compare anything")


@dataclass(frozen=True)
class Trial:
    """How one upgrade ended."""

    ending: str
    """`rolled back`, `promoted` or `undecided`."""
    tasks: int
    """Tasks of both revisions."""
    exposed: int
    """Tasks of the candidate."""
    bad: int
    """Bad ones among these."""


@dataclass(frozen=True)
class Forecast:
    """What many upgrades came to."""

    stable: float
    candidate: float
    runs: int
    promoted: float
    """The share of runs."""
    rolled_back: float
    undecided: float
    tasks: int
    """The median over all runs."""
    exposed: int
    extra_bad: float
    """Bad outcomes more than the stable revision would have had, on average."""


def forecast(plan: Plan, stable: float, candidate: float, runs: int, draw: Callable[[], float]) -> Forecast:
    """How upgrades end whose revisions are bad with these chances. `draw` gives numbers from 0 to 1."""
    trials = [trial(plan, stable, candidate, draw) for _ in range(runs)]
    return Forecast(
        stable,
        candidate,
        runs,
        _share(trials, "promoted"),
        _share(trials, "rolled back"),
        _share(trials, "undecided"),
        _median([each.tasks for each in trials]),
        _median([each.exposed for each in trials]),
        sum(each.bad - stable * each.exposed for each in trials) / runs,
    )


def trial(plan: Plan, stable: float, candidate: float, draw: Callable[[], float]) -> Trial:
    """One upgrade, looked at after every task."""
    capital = Capital.begin([Metric(_METRIC, plan.margin, step_margin=plan.step_margin)])
    at, bad_ones, entered = 0, 0, 0
    for number in range(plan.max_tasks):
        share = plan.stages[at].share
        is_candidate = draw() < share
        bad = draw() < (candidate if is_candidate else stable)
        bad_ones += is_candidate and bad
        seen = Observation(number, is_candidate, share, _TIME, _TIME, {_METRIC: float(bad)})
        capital = fold(capital, (seen,), _TIME)
        if capital.peak >= -log(plan.alpha):
            return Trial("rolled back", number + 1, capital.candidate_tasks, bad_ones)
        has_enough = capital.candidate_tasks - entered >= plan.stages[at].min_tasks
        is_last = at == len(plan.stages) - 1
        if has_enough and is_last and capital.accounts[_METRIC].log_noninferior >= -log(plan.beta):
            return Trial("promoted", number + 1, capital.candidate_tasks, bad_ones)
        if has_enough and not is_last and _may_rise(capital.accounts[_METRIC], plan):
            at, entered = at + 1, capital.candidate_tasks
        if plan.max_candidate_tasks is not None and capital.candidate_tasks >= plan.max_candidate_tasks:
            break
    return Trial("undecided", capital.tasks, capital.candidate_tasks, bad_ones)


def _may_rise(account: Account, plan: Plan) -> bool:
    return account.log_step is None or max(account.log_step, account.log_noninferior) >= -log(plan.beta)


def _share(trials: Sequence[Trial], ending: str) -> float:
    return sum(each.ending == ending for each in trials) / len(trials)


def _median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]
