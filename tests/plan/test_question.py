"""The Approval of a step: what is asked, of whom, and what an answer means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proctor.api import digest
from proctor.api.approval import Approval
from proctor.api.rollout import Rollout as Rules
from proctor.delivery.facts import Answer, Wanted
from proctor.delivery.phases import AwaitingApproval, Place, Upgrade
from proctor.plan import question
from proctor.plan.world import World
from tests.plan import examples
from tests.plan.examples import T0, after

UPGRADE = Upgrade("u-1", "a" * 10, "b" * 10, "0123456789", T0)
STEPS = [{"weight": 10}, {"weight": 50, "approval": {"groups": ["sre", "leads"], "timeout": "2h"}}, {"weight": 60}]
WANTED = Wanted(UPGRADE.candidate, Rules.model_validate({"steps": STEPS}))
ASKING = AwaitingApproval(Place(UPGRADE, 1, T0))


def asked(asking: AwaitingApproval = ASKING) -> dict[str, Any]:
    """The Approval."""
    made = question.make_approval(examples.agent(), asking, WANTED)
    assert made is not None
    return {**made, "metadata": {**made["metadata"], "uid": "uid-of-it"}}


def answered(**status: Any) -> World:
    """A World in which the Approval has this status."""
    return replace(examples.world(), children=({**asked(), "status": status},))


def test_the_question_is_bound_to_what_is_approved() -> None:
    """Agent, revision, step and weight are in the digest; the step's groups are asked until its timeout."""
    approval = Approval.parse(asked())
    subject = asked()["spec"]["subject"]
    assert approval.spec.subject.rollout is not None
    assert approval.spec.subject.rollout.weight == 50
    assert subject["digest"] == digest.sha256({"rollout": subject["rollout"]})
    assert approval.spec.approvers.groups == ("leads", "sre")
    assert approval.spec.deadline == after(hours=2)


def test_each_asking_has_a_name_of_its_own() -> None:
    """Who is asked again is not answered by the old answer."""
    again = replace(ASKING, place=replace(ASKING.place, since=after(minutes=5)))
    assert question.name_of(examples.agent(), ASKING) != question.name_of(examples.agent(), again)


def test_about_evidence_the_groups_of_all_steps_are_asked() -> None:
    """A step without an approval of its own has nobody else to ask."""
    about = AwaitingApproval(Place(UPGRADE, 2, T0), is_about_evidence=True)
    assert asked(about)["spec"]["approvers"] == {"groups": ["leads", "sre"]}


ANSWERS: dict[str, tuple[dict[str, Any], float, Answer | None]] = {
    "no answer": ({}, 60, None),
    "pending": ({"phase": "Pending"}, 60, None),
    "approved": ({"phase": "Decided", "decision": "Approve"}, 60, Answer.APPROVED),
    "rejected": ({"phase": "Decided", "decision": "Reject"}, 60, Answer.REJECTED),
    "timed out": ({"phase": "TimedOut"}, 60, Answer.TIMED_OUT),
    "the deadline has passed, and nobody said so": ({"phase": "Pending"}, 7200, Answer.TIMED_OUT),
    "approved, and the deadline has passed since": ({"decision": "Approve"}, 7200, Answer.APPROVED),
}


@pytest.mark.parametrize(("status", "seconds", "expected"), ANSWERS.values(), ids=list(ANSWERS))
def test_what_an_answer_means(status: dict[str, Any], seconds: float, expected: Answer | None) -> None:
    """Silence never approves."""
    assert question.answer_of(answered(**status), ASKING, after(seconds=seconds)) == expected


def test_before_the_question_is_put_there_is_no_answer() -> None:
    """A watch that is behind is not taken for silence."""
    assert question.answer_of(examples.world(), ASKING, after(days=9)) is None
