"""How tasks become capital: order, deadlines, duplicates, restarts, retries."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from math import log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.delivery.evidence import Capital, Kind, Metric, Observation, fold, retried
from proctor.delivery.evidence.record import UnreadableError, dump, load
from tests.delivery.worlds import METRIC, T0, World, after_all, dice

METRICS = (Metric(METRIC, 0.1), Metric("cheap", 0.05, Kind.SCORE, weight=2.0, gate=False))
LATER = T0 + timedelta(days=1)


@st.composite
def tasks(draw: st.DrawFn) -> list[Observation]:
    """Tasks of both arms at changing weights, some late, some to which a metric does not apply."""
    result = []
    for index in range(draw(st.integers(1, 25))):
        bad = {METRIC: draw(st.sampled_from([0.0, 1.0])), "cheap": draw(st.sampled_from([None, 0.0, 0.3, 1.0]))}
        ended = draw(st.sampled_from([None, T0, T0 + timedelta(minutes=2)]))
        rho = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
        arm = draw(st.booleans()) if 0 < rho < 1 else rho == 1
        result.append(Observation(3 * index, arm, rho, T0 + timedelta(minutes=1), ended, bad))
    return result


@given(tasks(), st.integers(0, 25), st.randoms(use_true_random=False))
def test_batches_order_and_repetition_change_nothing(seen: list[Observation], cut: int, chance: Random) -> None:
    """However tasks are cut into batches, shuffled within them or given twice, the capital is the same, bit for bit."""
    at_once = fold(Capital.begin(METRICS), seen, LATER)
    first, rest = seen[:cut], seen[cut:]
    chance.shuffle(first)
    twice = fold(fold(Capital.begin(METRICS), first, LATER), [*rest, *first, *rest], LATER)
    assert twice == at_once
    assert fold(at_once, seen, LATER) == at_once


@given(tasks(), st.integers(0, 25))
def test_a_restart_at_any_task_changes_nothing(seen: list[Observation], cut: int) -> None:
    """What is written and read again goes on as if it had never been put away, bit for bit."""
    before = fold(Capital.begin(METRICS), seen[:cut], LATER)
    assert load(dump(before)) == before
    assert fold(load(dump(before)), seen[cut:], LATER) == fold(before, seen[cut:], LATER)


def a_task(
    index: int = 0, minutes: float | None = 0, guard: str | None = None, *, candidate: bool = True
) -> Observation:
    """A good task whose deadline is after a minute."""
    ended = None if minutes is None else T0 + timedelta(minutes=minutes)
    return Observation(index, candidate, 0.5, T0 + timedelta(minutes=1), ended, {METRIC: 0.0}, guard)


def test_an_open_task_holds_up_those_behind_it() -> None:
    """While a task still has time, later ones are not counted, though they have ended."""
    waiting = fold(Capital.begin(METRICS), [a_task(0), a_task(1, None), a_task(2)], T0)
    assert waiting.watermark == 0
    assert waiting.candidate_tasks == 1


def test_at_its_deadline_an_open_task_is_bad() -> None:
    """A task that has not ended by its deadline counts as bad in every metric, and no longer holds up others."""
    capital = fold(Capital.begin(METRICS), [a_task(0), a_task(1, None), a_task(2)], LATER)
    assert capital.watermark == 2
    assert {account.candidate.bad for account in capital.accounts.values()} == {1.0}


def test_a_late_answer_is_as_bad_as_none() -> None:
    """What a task counts as does not depend on when one looks: a good answer after the deadline is bad."""
    late, never = [a_task(0, 5)], [a_task(0, None)]
    assert fold(Capital.begin(METRICS), late, LATER) == fold(Capital.begin(METRICS), never, LATER)


def test_a_task_that_could_not_have_gone_elsewhere_is_no_evidence() -> None:
    """At a weight of 100 there is nothing to compare; the task is counted as exposure alone."""
    capital = fold(Capital.begin(METRICS), [replace(a_task(), propensity=1.0, finished_at=None)], LATER)
    assert capital.candidate_tasks == 1
    assert all(account.n == 0 for account in capital.accounts.values())


def test_a_metric_that_does_not_apply_is_left_alone() -> None:
    """No value is neither good nor bad."""
    capital = fold(Capital.begin(METRICS), [a_task()], LATER)
    assert capital.accounts["cheap"].n == 0
    assert capital.accounts[METRIC].n == 1


def test_a_broken_guard_counts_at_once_and_on_the_candidate_only() -> None:
    """It waits for no earlier task; what the stable revision breaks says nothing of the candidate."""
    of_stable = [a_task(0, None), a_task(1, guard="cost 9.00 above 1.00", candidate=False)]
    assert fold(Capital.begin(METRICS), of_stable, T0).broken is None
    broken = fold(Capital.begin(METRICS), [a_task(0, None), a_task(5, guard="called payments/refund")], T0).broken
    assert broken is not None
    assert (broken.assignment, broken.reason) == (5, "called payments/refund")


def test_a_retry_keeps_the_capital() -> None:
    """Trying the same revision again begins with what it has: neither more nor less is needed to promote it."""
    before = after_all(World(0.1, 0.1), dice(3), 60)
    assert retried(before, 0.05) == replace(before, answered=before.watermark)


def test_a_retry_answers_the_evidence_that_was_enough() -> None:
    """After a rollback for harm the same evidence does not roll back again, but as much on top of it does."""
    bad = after_all(World(0.05, 0.8), dice(3), 80)
    again = retried(bad, 0.05)
    assert bad.peak >= log(20)
    assert (again.peak, again.accepted, again.accounts) == (0.0, bad.log_harm, bad.accounts)
    worse = [replace(a_task(bad.watermark + 1 + i), bad={METRIC: 1.0}) for i in range(12)]
    assert fold(again, worse, LATER).peak >= log(20)


def test_a_retry_answers_a_broken_guard() -> None:
    """The task that broke it does not break it again, however often it is listed; a new one does."""
    seen = [a_task(0, None), a_task(5, guard="cost")]
    again = retried(fold(Capital.begin(METRICS), seen, T0), 0.05)
    assert fold(again, seen, T0).broken is None
    assert fold(again, [a_task(6, guard="cost")], T0).broken is not None


def test_what_is_kept_is_small() -> None:
    """One metric takes about a kilobyte and a half, however many tasks there were."""
    assert len(dump(after_all(World(0.1, 0.2), dice(1), 300))) < 1900


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda _: "{}",
        lambda _: "[]",
        lambda text: text.replace('"form":1', '"form":2'),
        lambda text: text.replace('"harm":"', '"harm":"AAAA'),
        lambda text: text.replace(",0.1,", ",0.2,"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_no_fresh_start(damage: object) -> None:
    """Evidence that was lost or altered must not become a second chance."""
    text = dump(Capital.begin(METRICS))
    assert json.loads(text)["form"] == 1
    with pytest.raises(UnreadableError):
        load(damage(text))  # type: ignore[operator]


def test_the_digest_is_of_everything_that_was_folded() -> None:
    """Another arm, propensity or outcome anywhere gives another digest; the same tasks give the same."""
    seen = [a_task(0), a_task(1), a_task(2)]
    digest = fold(Capital.begin(METRICS), seen, LATER).digest
    assert digest == fold(Capital.begin(METRICS), seen, LATER + timedelta(hours=1)).digest
    for changed in (replace(seen[1], propensity=0.4), replace(seen[1], candidate=False), replace(seen[1], bad={})):
        assert fold(Capital.begin(METRICS), [seen[0], changed, seen[2]], LATER).digest != digest
