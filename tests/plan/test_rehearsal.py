"""Exams, replays and mirrors: which batch the gateway runs, and what its answer comes to."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api.agent import Agent
from proctor.delivery.facts import Result
from proctor.delivery.phases import Examining, Mirroring, Place, Replaying, Settled, Upgrade
from proctor.plan import rehearsal
from proctor.plan.said import NoAnswer, TrialItem, Trials
from tests.plan import examples
from tests.plan.examples import T0, after

STABLE, CANDIDATE = "a" * 10, "b" * 10
UPGRADE = Upgrade("u-1", STABLE, CANDIDATE, "0123456789", T0)
PLACE = Place(UPGRADE, 0, T0)
SUITE = """
name: refunds
cases:
  - {name: small, inputs: 40 EUR, expected_output: approve}
  - {name: large, inputs: 400 EUR, expected_output: decline}
"""
SUITES: dict[str, Any] = {"golden": {"data": {"suite.yaml": SUITE}}}
MISSING = NoAnswer("404", is_missing=True)


def agent(step: dict[str, Any], **more: Any) -> Agent:
    """An Agent whose upgrade has this one step."""
    evals = [{"name": "golden", "configMapRef": {"name": "exam"}}]
    return examples.agent(evals=evals, rollout={"steps": [step], **more})


EXAM, REPLAY, MIRROR = (
    agent({"evals": {}}),
    agent({"replay": {"tasks": 9}}),
    agent({"mirror": {"percent": 50, "minTasks": 3}}),
)


def answer(key: str, output: str | None, revision: str = CANDIDATE, **more: Any) -> TrialItem:
    """What came of a trial; without an output it failed."""
    facts: dict[str, Any] = {"key": key, "revision": revision, "output": output}
    return TrialItem(**{**facts, "phase": "Succeeded" if output else "Failed", **more})


def said(*items: TrialItem, done: bool = True, purpose: str = "Evals") -> Trials:
    """What the gateway says of a batch."""
    return Trials(batch="x", purpose=purpose, done=done, items=items)


WELL = (answer("golden/small#1", "approve"), answer("golden/large#1", "decline"))


def test_the_exam_asks_every_case_of_the_candidate() -> None:
    """By the suite's and the case's name, within the agent's own timeout."""
    batch = rehearsal.batch_of(EXAM, Examining(PLACE), SUITES)
    assert batch is not None
    assert batch.body["purpose"] == "Evals"
    assert batch.body["revision"] == CANDIDATE
    assert [each["key"] for each in batch.body["trials"]] == ["golden/small#1", "golden/large#1"]


def test_the_same_question_has_the_same_name() -> None:
    """After a restart too; another suite or another attempt is another batch."""
    first = rehearsal.batch_of(EXAM, Examining(PLACE), SUITES)
    assert first == rehearsal.batch_of(EXAM, Examining(PLACE), SUITES)
    other = {"golden": {"data": {"suite.yaml": SUITE.replace("40 EUR", "50 EUR")}}}
    names = {
        each.name
        for each in (
            first,
            rehearsal.batch_of(EXAM, Examining(PLACE), other),
            rehearsal.batch_of(EXAM, Examining(Place(UPGRADE, 0, after(minutes=1))), SUITES),
        )
        if each
    }
    assert len(names) == 3


def test_the_replay_is_of_both_revisions() -> None:
    """The stable one first: it is whose tasks are run again."""
    batch = rehearsal.batch_of(REPLAY, Replaying(PLACE), {})
    assert batch is not None
    assert batch.body == {"purpose": "Replay", "revisions": [STABLE, CANDIDATE], "tasks": 9}


def test_other_phases_need_no_trials() -> None:
    """A mirror's copies are the gateway's own batch, by the upgrade's name."""
    assert rehearsal.batch_of(EXAM, Settled(STABLE), SUITES) is None
    assert rehearsal.batch_of(MIRROR, Mirroring(PLACE), {}) is None
    assert rehearsal.batch_to_read(MIRROR, Mirroring(PLACE), {}) == "mirror-u-1"


EXAMS: dict[str, tuple[dict[str, Any], Trials | NoAnswer | None, Result | None]] = {
    "the gateway is away": (SUITES, NoAnswer("away"), None),
    "the batch has not begun": (SUITES, MISSING, None),
    "the suite does not exist": ({"golden": None}, None, None),
    "the suite cannot be read": ({"golden": {"data": {"suite.yaml": "cases: 7"}}}, None, None),
    "it runs": (SUITES, said(WELL[0], done=False), Result.RUNNING),
    "all is well": (SUITES, said(*WELL), Result.PASSED),
    "a wrong answer": (SUITES, said(WELL[0], answer("golden/large#1", "approve")), Result.FAILED),
    "a task that failed": (SUITES, said(WELL[0], answer("golden/large#1", None)), Result.FAILED),
    "an answer is missing": (SUITES, said(WELL[0]), Result.FAILED),
}


@pytest.mark.parametrize(("suites", "answered", "expected"), EXAMS.values(), ids=list(EXAMS))
def test_what_an_exam_comes_to(
    suites: dict[str, Any], answered: Trials | NoAnswer | None, expected: Result | None
) -> None:
    """What did not run is never a pass; what cannot run yet is no failure either."""
    found = rehearsal.rehearsed(EXAM, Examining(PLACE), suites, answered, None)
    assert (found.trial.result if found.trial else None) == expected
    assert [each.name for each in found.exams] == ["golden"]


def test_the_next_exam_is_compared_with_the_last() -> None:
    """The status says which share the stable revision passed of the same suite."""
    first = rehearsal.rehearsed(EXAM, Examining(PLACE), SUITES, said(*WELL), None)
    baseline = rehearsal.make_baseline(EXAM, UPGRADE, first.reports)
    again = rehearsal.rehearsed(
        EXAM, Examining(PLACE), SUITES, said(WELL[0], answer("golden/large#1", "approve")), baseline
    )
    assert again.exams[0].baseline == "1"
    assert "no longer passed: large" in (again.exams[0].message or "")


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
    found = rehearsal.rehearsed(REPLAY, Replaying(PLACE), {}, waiting, None)
    assert found.trial is not None
    assert found.trial.result is Result.RUNNING
    assert found.replay is not None
    assert found.replay.pairs == 0


@pytest.mark.parametrize(("answered", "expected", "count", "unusable"), REPLAYS.values(), ids=list(REPLAYS))
def test_what_a_replay_comes_to(answered: Trials, expected: Result, count: int, unusable: int) -> None:
    """Only pairs that differ speak; those that could not be run as they were are counted apart."""
    found = rehearsal.rehearsed(REPLAY, Replaying(PLACE), {}, answered, None)
    assert found.trial is not None
    assert found.trial.result is expected
    assert found.replay is not None
    assert (found.replay.pairs, found.replay.unusable) == (count, unusable)


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
    found = rehearsal.rehearsed(MIRROR, Mirroring(PLACE), {}, answered, None)
    assert (found.trial.result if found.trial else None) == expected


JUDGED = SUITE.replace(
    "expected_output: approve}", "evaluators: [{LLMJudge: {rubric: It is polite, connector: llm, model: m}}]}"
)
JUDGES: dict[str, tuple[Any, Result | None]] = {
    "not asked yet": (None, None),
    "away": (NoAnswer("away"), None),
    "content": ({("golden", "small#1", 0): '{"pass": true}'}, Result.PASSED),
    "not content": ({("golden", "small#1", 0): '{"pass": false, "reason": "rude"}'}, Result.FAILED),
    "beside the point": ({("golden", "small#1", 0): "Nice!"}, Result.FAILED),
}


@pytest.mark.parametrize(("judgements", "expected"), JUDGES.values(), ids=list(JUDGES))
def test_judges_are_asked_when_the_exam_is_over(judgements: Any, expected: Result | None) -> None:
    """Without their word a case neither passes nor fails; a reply that is no judgement is no pass."""
    suites: dict[str, Any] = {"golden": {"data": {"suite.yaml": JUDGED}}}
    assert rehearsal.questions(Examining(PLACE), suites, said(*WELL, done=False)) == ()
    asked = rehearsal.questions(Examining(PLACE), suites, said(*WELL))
    assert [(suite, each.key, each.connector) for suite, each in asked] == [("golden", "small#1", "llm")]
    found = rehearsal.rehearsed(EXAM, Examining(PLACE), suites, said(*WELL), None, judgements)
    assert (found.trial.result if found.trial else None) == expected
