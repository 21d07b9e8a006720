"""The judge of exposure, on fabricated records: what is right passes, and every wrong is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.delivery.exposure import Begun, Stage, allowed, excesses, stage_of

T0 = datetime(2026, 3, 1, tzinfo=UTC)
ROLLOUT = "aaaa-bbbb-1"
CANDIDATE, STABLE = "bbbb", "aaaa"


def at(seconds: float) -> datetime:
    """So long after the upgrade began."""
    return T0 + timedelta(seconds=seconds)


def stage(name: str, since: float, share: int, *, closes: bool = False) -> Stage:
    """A stage that was seen a tenth of a second after it was decided."""
    return Stage(name, at(since), at(since + 0.1), share, closes)


WITHDRAWN = (
    stage("Progressing", 0, 0),
    stage("Examining/0", 10, 0),
    stage("Collecting/1", 20, 25),
    stage("Collecting/2", 30, 50),
    stage("Aborting/Withdrawing", 40, 0),
    stage("Aborting/Draining", 45, 0, closes=True),
    stage("Aborting/ScalingDown", 50, 0, closes=True),
    stage("Failed", 55, 0, closes=True),
)
PROMOTED = (*WITHDRAWN[:4], stage("Promoting/3", 40, 50), stage("Watching", 45, 100))
# Their hashes with the upgrade's id: 0.0674, 0.3703, 0.9039.
LOW, MIDDLE, HIGH = "task-15", "task-4", "task-18"


def on_candidate(seconds: float, weight: int, task: str = LOW) -> Begun:
    """A task that was drawn to the candidate."""
    return Begun(task, at(seconds), on_candidate=True, arm="Candidate", weight=weight)


def on_stable(seconds: float, weight: int, task: str = HIGH) -> Begun:
    """A task that was drawn to the stable revision."""
    return Begun(task, at(seconds), on_candidate=False, arm="Stable", weight=weight)


FAIR = {
    "each within its step": (WITHDRAWN, [on_candidate(21, 25), on_stable(22, 25), on_candidate(31, 50, MIDDLE)]),
    "the gateway has not heard of the next step yet": (WITHDRAWN, [on_candidate(31, 25)]),
    "the withdrawal is not verified yet": (WITHDRAWN, [on_candidate(44, 50)]),
    "no upgrade known": (WITHDRAWN, [Begun(LOW, at(5), on_candidate=False)]),
    "after the promotion it has everything": (PROMOTED, [Begun(HIGH, at(46), on_candidate=True)]),
    "the candidate takes none, so stable does without a draw": (
        WITHDRAWN,
        [replace(on_stable(22, 25, LOW), arm=None)],
    ),
}
WRONG = {
    "a task in the exam": (WITHDRAWN, on_candidate(12, 25), "drawn by weight 25, allowed were 0"),
    "the next step's weight before the step": (WITHDRAWN, on_candidate(25, 50), "weight 50, allowed were 25"),
    "the first weight before it": (WITHDRAWN, on_candidate(19.9, 25), "which may have none"),
    "after the withdrawal was verified": (WITHDRAWN, on_candidate(45.2, 50), "which may have none"),
    "after it has failed": (WITHDRAWN, Begun(LOW, at(60), on_candidate=True), "which may have none"),
    "on the candidate without an arm": (
        WITHDRAWN,
        replace(on_candidate(21, 25), arm=None),
        "began on the candidate with arm None",
    ),
    "on the candidate, recorded as stable's": (
        WITHDRAWN,
        replace(on_candidate(21, 25, HIGH), arm="Stable"),
        "began on the candidate with arm Stable",
    ),
    "drawn against its hash": (WITHDRAWN, on_candidate(21, 25, HIGH), "but its hash is 0.9039"),
    "kept from the candidate against its hash": (WITHDRAWN, on_stable(21, 25, LOW), "but its hash is 0.0674"),
    "on the candidate before the promotion": (PROMOTED, Begun(HIGH, at(44), on_candidate=True), "with arm None"),
}


@pytest.mark.parametrize(("stages", "begun"), FAIR.values(), ids=FAIR.keys())
def test_what_is_allowed_passes(stages: tuple[Stage, ...], begun: list[Begun]) -> None:
    """Nothing is held against what a step allows, nor against what nobody could have known yet."""
    assert not list(excesses(ROLLOUT, stages, begun))


@pytest.mark.parametrize(("stages", "begun", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_too_much_is_told(stages: tuple[Stage, ...], begun: Begun, told: str) -> None:
    """One task too many among many is found, and the sentence says which and why."""
    fair = [on_candidate(21, 25), on_stable(22, 25)]
    found = list(excesses(ROLLOUT, stages, [*fair, begun]))
    assert found
    assert any(told in each and begun.task in each for each in found), found


def test_a_revision_that_is_brought_back_closes_the_bad_one() -> None:
    """It served everything after its promotion; once it is withdrawn and that is verified, nothing."""
    stages = (
        stage("Watching", 0, 100),
        stage("Reverting", 10, 100),
        stage("Aborting/Withdrawing", 20, 0),
        stage("Aborting/Draining", 25, 0, closes=True),
    )
    assert [allowed(stages, at(each))[0] for each in (5, 15, 24, 26)] == [100, 100, 100, 0]


def test_a_status_is_read_as_it_means() -> None:
    """Weight of a step, whole of a promotion, nothing of a withdrawal; another upgrade tells nothing."""
    revision = {"stable": STABLE, "candidate": CANDIDATE}
    since = "2026-03-01T00:00:00Z"
    collecting = {"phase": "Collecting", "step": 1, "weight": 25, "since": since}
    draining = {"phase": "Aborting", "stage": "Draining", "since": since}
    cases = (
        ({"revision": revision, "rollout": collecting}, Stage("Collecting/1", T0, at(9), 25)),
        ({"revision": revision, "rollout": draining}, Stage("Aborting/Draining", T0, at(9), 0, closes=True)),
        (
            {"revision": {"stable": CANDIDATE}, "rollout": {"phase": "Watching", "since": since}},
            Stage("Watching", T0, at(9), 100),
        ),
        (
            {"revision": {"stable": STABLE}, "rollout": {"phase": "Failed"}},
            Stage("Failed", at(9), at(9), 0, closes=True),
        ),
        ({"revision": {**revision, "candidate": "cccc"}, "rollout": collecting}, None),
    )
    for status, meant in cases:
        assert stage_of(status, CANDIDATE, at(9)) == meant
