"""Replays and mirrors: which batch the gateway runs, and what its answer comes to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from proctor.api.agent import Agent
from proctor.api.objectives import Indicator, IndicatorType
from proctor.delivery.evidence import Capital
from proctor.delivery.facts import Result
from proctor.delivery.phases import Mirroring, Place, Replaying, Settled, Upgrade
from proctor.plan import rehearsal
from proctor.plan.comparison import Ledger, Measure
from proctor.plan.said import NoAnswer, TrialItem, Trials
from tests.plan import examples
from tests.plan.examples import T0

STABLE, CANDIDATE = "a" * 10, "b" * 10
UPGRADE = Upgrade("u-1", STABLE, CANDIDATE, "0123456789", T0)
PLACE = Place(UPGRADE, 0, T0)
MISSING = NoAnswer("404", is_missing=True)


def agent(step: dict[str, Any], **more: Any) -> Agent:
    """An Agent whose upgrade has this one step."""
    return examples.agent(rollout={"steps": [step], **more})


REPLAY, MIRROR = agent({"replay": {"tasks": 9}}), agent({"mirror": {"percent": 50, "minTasks": 3}})


def answer(key: str, output: str | None, revision: str = CANDIDATE, **more: Any) -> TrialItem:
    """What came of a trial; without an output it failed."""
    facts: dict[str, Any] = {"key": key, "revision": revision, "output": output}
    return TrialItem(**{**facts, "phase": "Succeeded" if output else "Failed", **more})


def said(*items: TrialItem, done: bool = True, purpose: str) -> Trials:
    """What the gateway says of a batch."""
    return Trials(batch="x", purpose=purpose, done=done, items=items)


def test_the_replay_is_of_both_revisions() -> None:
    """The stable one first: it is whose tasks are run again."""
    batch = rehearsal.batch_of(REPLAY, Replaying(PLACE))
    assert batch is not None
    assert batch.body == {"purpose": "Replay", "revisions": [STABLE, CANDIDATE], "tasks": 9}


def test_other_phases_need_no_trials() -> None:
    """A mirror's copies are the gateway's own batch, by the upgrade's name."""
    assert rehearsal.batch_of(REPLAY, Settled(STABLE)) is None
    assert rehearsal.batch_of(MIRROR, Mirroring(PLACE)) is None
    assert rehearsal.batch_to_read(MIRROR, Mirroring(PLACE)) == "mirror-u-1"


def pairs(count: int, *, candidate_fails: int = 0, unanswered: int = 0, purpose: str = "Replay") -> Trials:
    """Pairs of which the candidate fails the first."""
    items = []
    for number in range(count):
        items.append(answer(f"t{number:03}", "ok", STABLE))
        output = None if number < candidate_fails else "ok"
        is_open = number >= count - unanswered
        items.append(answer(f"t{number:03}", output, unanswered=int(is_open)))
    return said(*items, purpose=purpose)


REPLAYS: dict[str, tuple[Trials, Result, int, int]] = {
    "no difference": (pairs(9), Result.PASSED, 9, 0),
    "one difference": (pairs(9, candidate_fails=1), Result.PASSED, 9, 0),
    "clearly worse": (pairs(9, candidate_fails=8), Result.FAILED, 9, 0),
    "pairs of no use": (pairs(9, unanswered=4), Result.PASSED, 5, 4),
    "no pair of use": (pairs(2, unanswered=2), Result.UNDECIDED, 0, 2),
    "nothing to run again": (said(purpose="Replay"), Result.UNDECIDED, 0, 0),
    "half of a pair": (said(answer("t0", "ok", STABLE), purpose="Replay"), Result.UNDECIDED, 0, 1),
}


def test_pairs_that_end_first_do_not_speak_first() -> None:
    """While an earlier pair is under way, later ones are not counted: those that end first are not the typical ones."""
    slow = answer("t000", "ok", STABLE, phase="Running")
    answered = pairs(9, candidate_fails=9)
    waiting = said(slow, *answered.items[1:], done=False, purpose="Replay")
    found = rehearsal.rehearsed(REPLAY, Replaying(PLACE), waiting)
    assert found.trial is not None
    assert found.trial.result is Result.RUNNING
    assert found.replay is not None
    assert found.replay.pairs == 0


@pytest.mark.parametrize(("answered", "expected", "count", "unusable"), REPLAYS.values(), ids=list(REPLAYS))
def test_what_a_replay_comes_to(answered: Trials, expected: Result, count: int, unusable: int) -> None:
    """Only pairs that differ speak; those that could not be run as they were are counted apart."""
    found = rehearsal.rehearsed(REPLAY, Replaying(PLACE), answered)
    assert found.trial is not None
    assert found.trial.result is expected
    assert found.replay is not None
    assert (found.replay.pairs, found.replay.unusable) == (count, unusable)


SUCCESS = Indicator(type=IndicatorType.TASK_SUCCESS)
LATENCY = Indicator(type=IndicatorType.LATENCY, threshold="10s")


def ledger(*indicators: Indicator) -> Ledger:
    """What live tasks have left open: everything."""
    measures = tuple(
        Measure(f"m{number}", Decimal("0.10"), indicator) for number, indicator in enumerate(indicators or (SUCCESS,))
    )
    return Ledger("u-1", measures, Capital.begin([each.metric for each in measures]))


INSTEAD: dict[str, tuple[Trials | NoAnswer | None, Ledger | None, Result | None]] = {
    "shown no worse": (pairs(60), ledger(), Result.PASSED),
    "too few pairs": (pairs(9), ledger(), Result.UNDECIDED),
    "some are lost": (pairs(60, candidate_fails=4), ledger(), Result.UNDECIDED),
    "clearly worse": (pairs(60, candidate_fails=8), ledger(), Result.FAILED),
    "under way": (said(*pairs(60).items, done=False, purpose="Replay"), ledger(), Result.RUNNING),
    "of latency it says nothing": (pairs(60), ledger(SUCCESS, LATENCY), Result.UNDECIDED),
    "the gateway is away": (NoAnswer("away"), ledger(), None),
    "the evidence cannot be read": (pairs(60), None, None),
}


@pytest.mark.parametrize(("answered", "known", "expected"), INSTEAD.values(), ids=list(INSTEAD))
def test_a_replay_that_stands_in_for_live_tasks(
    answered: Trials | NoAnswer | None, known: Ledger | None, expected: Result | None
) -> None:
    """It has to show what they would have to: no worse by the margin. Not to be shown worse is not enough."""
    step = {"weight": 10}
    it, undecided = agent(step), Replaying(PLACE, is_about_evidence=True)
    batch = rehearsal.batch_of(it, undecided)
    assert batch is not None
    assert batch.body["tasks"] == 200
    found = rehearsal.rehearsed(it, undecided, answered, known)
    assert (found.trial.result if found.trial else None) is expected


MIRRORS: dict[str, tuple[Trials | NoAnswer, Result | None]] = {
    "no copy yet": (MISSING, Result.RUNNING),
    "too few copies": (pairs(2, purpose="Mirror"), Result.RUNNING),
    "enough copies": (pairs(3, purpose="Mirror"), Result.PASSED),
    "clearly worse": (pairs(9, candidate_fails=8, purpose="Mirror"), Result.FAILED),
    "the gateway is away": (NoAnswer("away"), None),
}


@pytest.mark.parametrize(("answered", "expected"), MIRRORS.values(), ids=list(MIRRORS))
def test_what_a_mirror_comes_to(answered: Trials | NoAnswer, expected: Result | None) -> None:
    """It lasts until enough copies have ended, and ends at once when the candidate is shown to be worse."""
    found = rehearsal.rehearsed(MIRROR, Mirroring(PLACE), answered)
    assert (found.trial.result if found.trial else None) == expected
