"""Exams: who is asked what, what the answers come to, and how they stand beside the stable revision's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from proctor.api.agent import Agent
from proctor.delivery.facts import Result
from proctor.delivery.phases import Place, Upgrade
from proctor.plan.baseline import make_baseline
from proctor.plan.examination import Examination, Examined, examined
from proctor.plan.said import NoAnswer, Sitting, TrialItem, Trials
from proctor.plan.world import Manifest
from tests.plan import examples
from tests.plan.examples import T0, after

STABLE, CANDIDATE = "a" * 10, "b" * 10
UPGRADE = Upgrade("u-1", STABLE, CANDIDATE, "0123456789", T0)
PLACE = Place(UPGRADE, 0, T0)
CASES = 10
SUITE = "name: refunds\ncases:\n" + "".join(
    f"  - {{name: c{number}, inputs: {number} EUR, expected_output: ok}}\n" for number in range(CASES)
)
SUITES: dict[str, Any] = {"golden": {"data": {"suite.yaml": SUITE}}}
MISSING = NoAnswer("404", is_missing=True)


def agent(**suite: Any) -> Agent:
    """An Agent with one suite, of which half the cases are enough."""
    evals = [{"name": "golden", "configMapRef": {"name": "exam"}, "minPass": "0.5", **suite}]
    return examples.agent(evals=evals, rollout={"steps": [{"evals": {}}]})


def items(right: int, revision: str = CANDIDATE, cases: int = CASES) -> tuple[TrialItem, ...]:
    """Answers to the cases, of which the first so many are right."""
    return tuple(
        TrialItem(
            key=f"golden/c{number}#1", revision=revision, phase="Succeeded", output="ok" if number < right else "no"
        )
        for number in range(cases)
    )


def said(found: tuple[TrialItem, ...], *, done: bool = True) -> Sitting:
    """What is heard of a revision that gave these answers."""
    return Sitting(Trials(batch="x", purpose="Evals", done=done, items=found))


def exam(candidate: Sitting, stable: Sitting | None = None, **more: Any) -> Examination:
    """An exam of which that is heard."""
    facts: dict[str, Any] = {"agent": agent(), "place": PLACE, "suites": SUITES, **more}
    return Examination(**facts, of_candidate=candidate, of_stable=stable or Sitting())


def kept(right: int, **more: Any) -> tuple[Manifest, ...]:
    """The stable revision's results of an earlier exam."""
    earlier = replace(exam(said(items(right)), **more), place=Place(replace(UPGRADE, candidate=STABLE), 0, T0))
    return written(examined(earlier, is_stable_away=True), earlier.agent)


def written(found: Examined, of: Agent, before: tuple[Manifest, ...] = ()) -> tuple[Manifest, ...]:
    """The objects once the results are kept."""
    old = {each["metadata"]["name"]: each for each in before}
    for marks in found.results:
        made = make_baseline(of, marks, old.get(f"refunds-baseline-{marks.revision}"))
        old[made["metadata"]["name"]] = made
    return tuple(old.values())


def result(found: Examined) -> Result | None:
    """What the exam has come to."""
    return found.trial.result if found.trial else None


def test_the_exam_asks_every_case_of_the_candidate() -> None:
    """By the suite's and the case's name, within the agent's own timeout."""
    batch = exam(Sitting()).candidate.batch
    assert batch is not None
    assert batch.body["purpose"] == "Evals"
    assert batch.body["revision"] == CANDIDATE
    assert [each["key"] for each in batch.body["trials"]] == [f"golden/c{number}#1" for number in range(CASES)]


def test_the_same_question_has_the_same_name() -> None:
    """After a restart too; another suite, another attempt or another revision is another batch."""
    first = exam(Sitting())
    assert first.candidate.batch == exam(Sitting()).candidate.batch
    other = {"golden": {"data": {"suite.yaml": SUITE.replace("1 EUR", "50 EUR")}}}
    batches = (
        first.candidate.batch,
        first.stable.batch,
        exam(Sitting(), suites=other).candidate.batch,
        exam(Sitting(), place=Place(UPGRADE, 0, after(minutes=1))).candidate.batch,
    )
    assert len({each.name for each in batches if each}) == 4


UNREADABLE: dict[str, Any] = {"golden": {"data": {"suite.yaml": "cases: 7"}}}
ALONE: dict[str, tuple[dict[str, Any], Sitting, Result | None]] = {
    "the gateway is away": (SUITES, Sitting(NoAnswer("away")), None),
    "the batch has not begun": (SUITES, Sitting(MISSING), None),
    "the suite does not exist": ({"golden": None}, Sitting(), None),
    "the suite cannot be read": (UNREADABLE, Sitting(), None),
    "it runs": (SUITES, said(items(1, cases=1), done=False), Result.RUNNING),
    "all is well": (SUITES, said(items(CASES)), Result.PASSED),
    "enough is well": (SUITES, said(items(5)), Result.PASSED),
    "too little is well": (SUITES, said(items(4)), Result.FAILED),
    "an answer is missing": (SUITES, said(items(9, cases=9)), Result.FAILED),
}


@pytest.mark.parametrize(("suites", "heard", "expected"), ALONE.values(), ids=list(ALONE))
def test_what_an_exam_comes_to(suites: dict[str, Any], heard: Sitting, expected: Result | None) -> None:
    """What did not run is never a pass; what cannot run yet is no failure either."""
    found = examined(exam(heard, suites=suites), is_stable_away=True)
    assert result(found) == expected
    assert [each.name for each in found.exams] == ["golden"]


NEW = said(items(CASES, STABLE))
# What the candidate answers right; what is kept of stable; what stable answers now; how it ends; if stable is asked.
BESIDE: dict[str, tuple[int, int | None, Sitting, Result, bool]] = {
    "as good as stable was": (10, 10, Sitting(), Result.PASSED, False),
    "better than stable was": (10, 5, Sitting(), Result.PASSED, False),
    "one case less is chance": (9, 10, Sitting(), Result.PASSED, False),
    "four cases less are chance": (6, 10, Sitting(), Result.PASSED, False),
    "five cases less are not, so stable is asked": (5, 10, Sitting(MISSING), Result.RUNNING, True),
    "and is as good as it was": (5, 10, NEW, Result.FAILED, True),
    "or was lucky that day": (5, 10, said(items(7, STABLE)), Result.PASSED, True),
    "too little in any case": (4, 10, Sitting(), Result.FAILED, False),
    "nothing is known of stable": (10, None, Sitting(MISSING), Result.RUNNING, True),
    "it is being asked": (10, None, said(items(3, STABLE, 3), done=False), Result.RUNNING, True),
    "it is better": (5, None, NEW, Result.FAILED, True),
    "it is no better": (5, None, said(items(6, STABLE)), Result.PASSED, True),
    "it did not answer everything": (5, None, said(items(9, STABLE, 9)), Result.PASSED, True),
}


@pytest.mark.parametrize(("right", "before", "stable", "expected", "asked"), BESIDE.values(), ids=list(BESIDE))
def test_a_candidate_is_no_worse_than_what_serves(
    right: int, before: int | None, stable: Sitting, expected: Result, asked: bool
) -> None:
    """Enough right answers are not enough where stable gives more, and chance does not explain it."""
    own = kept(before) if before is not None else ()
    taken = exam(said(items(right)), stable, owned=own)
    assert taken.needs_stable is asked
    found = examined(taken, is_stable_away=False)
    assert result(found) is expected
    is_begun = any(each.body["revision"] == STABLE for each in found.begins)
    assert is_begun is stable.is_unknown


@pytest.mark.parametrize(("right", "before"), [(5, 10), (10, None)])
def test_an_exam_that_was_interrupted_ends_as_it_would_have(right: int, before: int | None) -> None:
    """What was kept of this sitting stands in for the answers: nobody is asked twice, and no judge either."""
    own = kept(before) if before is not None else ()
    heard = said(items(right)), said(items(CASES, STABLE))
    at_once = examined(exam(*heard, owned=own), is_stable_away=False)
    own = written(examined(exam(heard[0], owned=own), is_stable_away=False), agent(), own)
    again = exam(Sitting(), heard[1], owned=own)
    assert again.candidate.open_batch is None
    assert again.needs_stable
    own = written(examined(again, is_stable_away=False), agent(), own)
    later = exam(Sitting(), owned=own)
    assert not later.needs_stable
    assert result(examined(later, is_stable_away=False)) is result(at_once)


def test_stable_that_is_down_keeps_nobody_out() -> None:
    """Nothing can be asked of it: the candidate is judged by itself, and that is said."""
    found = examined(exam(said(items(5)), Sitting(MISSING), owned=kept(10)), is_stable_away=True)
    assert result(found) is Result.PASSED
    assert found.trial is not None
    assert [each.reason for each in found.trial.told] == ["ExamNotCompared"]
    assert "not compared with stable" in (found.exams[0].message or "")


def test_another_version_of_the_suite_is_asked_of_both() -> None:
    """What stable did in another exam says nothing about this one."""
    changed = {"golden": {"data": {"suite.yaml": SUITE.replace("1 EUR", "50 EUR")}}}
    taken = exam(said(items(10)), Sitting(MISSING), suites=changed, owned=kept(10))
    assert taken.needs_stable
    assert result(examined(taken, is_stable_away=False)) is Result.RUNNING


SUITES_OF: dict[str, tuple[dict[str, Any], Result]] = {
    "not compared": ({"maxRegression": "1"}, Result.PASSED),
    "a wide margin": ({"maxRegression": "0.6"}, Result.PASSED),
    "a margin": ({"maxRegression": "0.4"}, Result.FAILED),
    "none": ({"maxRegression": "0"}, Result.FAILED),
}


@pytest.mark.parametrize(("suite", "expected"), SUITES_OF.values(), ids=list(SUITES_OF))
def test_the_margin_says_how_much_may_be_lost(suite: dict[str, Any], expected: Result) -> None:
    """Five of ten cases are lost."""
    taken = exam(said(items(5)), said(items(CASES, STABLE)), agent=agent(**suite))
    assert result(examined(taken, is_stable_away=False)) is expected


def test_lost_cases_are_named() -> None:
    """In the status, in an Event, and in the message, with how likely that is by chance."""
    found = examined(exam(said(items(5)), said(items(CASES, STABLE))), is_stable_away=False)
    (told,) = found.exams
    assert told.state == "Failed"
    assert told.regressed == ("c5", "c6", "c7", "c8", "c9")
    assert (told.baseline, told.chance) == ("1", "0.0312")
    assert found.trial is not None
    assert [each.reason for each in found.trial.told] == ["ExamRegressed"]
    assert "worse than stable: 100.0% on stable, 50.0% now; no longer passed: c5, c6" in found.trial.message


def test_a_lost_case_that_refuses_nobody_is_told_all_the_same() -> None:
    """One of ten: the candidate goes on, and people know."""
    found = examined(exam(said(items(9)), owned=kept(10)), is_stable_away=False)
    assert found.trial is not None
    assert found.trial.result is Result.PASSED
    assert [each.reason for each in found.trial.told] == ["ExamRegressed"]
    assert found.exams[0].regressed == ("c9",)


JUDGED = SUITE.replace(
    "inputs: 0 EUR, expected_output: ok}", "inputs: x, evaluators: [{LLMJudge: {rubric: r, connector: l, model: m}}]}"
)
JUDGES: dict[str, tuple[Any, Result | None]] = {
    "not asked yet": (None, None),
    "away": (NoAnswer("away"), None),
    "content": ({("golden", "c0#1", 0): '{"pass": true}'}, Result.PASSED),
    "not content": ({("golden", "c0#1", 0): '{"pass": false, "reason": "rude"}'}, Result.FAILED),
    "beside the point": ({("golden", "c0#1", 0): "Nice!"}, Result.FAILED),
}


@pytest.mark.parametrize(("judgements", "expected"), JUDGES.values(), ids=list(JUDGES))
def test_judges_are_asked_when_the_exam_is_over(judgements: Any, expected: Result | None) -> None:
    """Without their word a case neither passes nor fails; a reply that is no judgement is no pass."""
    suites: dict[str, Any] = {"golden": {"data": {"suite.yaml": JUDGED}}}
    strict = agent(minPass="1")
    heard = said(items(CASES))
    taken = exam(replace(heard, judgements=judgements), suites=suites, agent=strict)
    assert isinstance(heard.trials, Trials)
    assert taken.questions(heard.trials.model_copy(update={"done": False})) == ()
    asked = taken.questions(heard.trials)
    assert [(suite, each.key, each.connector) for suite, each in asked] == [("golden", "c0#1", "l")]
    assert result(examined(taken, is_stable_away=True)) == expected


def test_a_run_that_nobody_answered_says_nothing_of_stable() -> None:
    """Its pods were gone for a while: the candidate is not to gain by it, nor is that kept."""
    unanswered = TrialItem(key="golden/c9#1", revision=STABLE, phase="Failed", reason="RevisionUnknown")
    gone = (*items(CASES, STABLE)[:-1], unanswered)
    found = examined(exam(said(items(10)), said(gone)), is_stable_away=False)
    assert result(found) is Result.PASSED
    assert [each.revision for each in found.results] == [CANDIDATE]
    assert found.trial is not None
    assert [each.reason for each in found.trial.told] == ["ExamNotCompared"]


def test_what_may_be_lost_has_a_default() -> None:
    """A twentieth of the cases, as much as a suite usually may fail."""
    assert agent().spec.evals[0].max_regression == Decimal("0.05")
