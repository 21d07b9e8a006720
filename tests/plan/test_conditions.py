"""Conditions: what is true now, dated by when it became so."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from proctor.api.meta import Condition, ConditionStatus
from proctor.plan.conditions import Finding, false, merge, true, unknown
from tests.plan.examples import T0, after


def test_a_new_condition_is_dated_now() -> None:
    """There was none before."""
    (ready,) = merge((), [true("Ready", "Serving", "2 of 2")], 3, T0)
    assert ready == Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason="Serving",
        message="2 of 2",
        observed_generation=3,
        last_transition_time=T0,
    )


def test_the_time_stays_while_the_status_does() -> None:
    """Though reason, message and generation change: otherwise each word would wake us."""
    before = merge((), [false("Ready", "NoPodReady", "0 of 2")], 1, T0)
    (ready,) = merge(before, [false("Ready", "Suspended", "stopped")], 2, after(hours=1))
    assert (ready.last_transition_time, ready.reason, ready.observed_generation) == (T0, "Suspended", 2)


def test_the_time_moves_with_the_status() -> None:
    """In every direction."""
    before = merge((), [false("Ready", "No")], 1, T0)
    (ready,) = merge(before, [unknown("Ready", "NotMeasured")], 1, after(hours=1))
    assert ready.last_transition_time == after(hours=1)


def test_what_is_no_longer_found_is_no_longer_told() -> None:
    """A condition that nobody measures any more would stay true for ever."""
    before = merge((), [true("Ready", "Serving"), true("Old", "Gone")], 1, T0)
    assert [each.type for each in merge(before, [true("Ready", "Serving")], 1, T0)] == ["Ready"]


FINDINGS = st.lists(
    st.builds(Finding, st.sampled_from(["Ready", "Stalled"]), st.sampled_from(ConditionStatus), st.just("Reason")),
    max_size=2,
    unique_by=lambda each: each.type,
)


@given(FINDINGS, FINDINGS, st.integers(1, 5).map(lambda hours: after(hours=hours)))
def test_merging_again_changes_nothing(before: list[Finding], now: list[Finding], later: datetime) -> None:
    """The same findings give the same conditions at any later time."""
    merged = merge(merge((), before, 1, T0), now, 1, after(minutes=1))
    assert merge(merged, now, 1, later) == merged
