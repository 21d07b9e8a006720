"""The Approval of a step: what is asked, of whom, and what an answer means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proctor.api import digest
from proctor.api.approval import Approval
from proctor.api.rollout import Rollout as Rules
from proctor.delivery.facts import Answer, Wanted
from proctor.delivery.phases import AwaitingApproval, Place, Upgrade
from proctor.plan import question
from proctor.plan.agent import plan_agent
from proctor.plan.world import Manifest, World
from tests.plan import examples
from tests.plan.examples import T0, after
from tests.plan.test_agent import with_spec
from tests.plan.test_upgrade import RULES, Upgraded
from tests.plan.test_upgrade import STEPS as UPGRADING

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


def waiting() -> Upgraded:
    """An upgrade of which people are asked."""
    it = Upgraded()
    it.until("Collecting")
    it.serve(10)
    it.step(12)
    assert it.phase == "AwaitingApproval"
    return it


def questions(it: Upgraded) -> list[Manifest]:
    """The Approvals that there are."""
    return [each for each in it.world.children if each["kind"] == "Approval"]


def _say(verb: str) -> Callable[[Upgraded], None]:
    def deed(it: Upgraded) -> None:
        revision = it.status["revision"]["stable" if verb == "undo" else "candidate"]
        metadata = it.world.agent.metadata
        noted = metadata.model_copy(update={"annotations": {"proctor.dev/command": f"{verb}@{revision}/1"}})
        it.world = replace(it.world, agent=it.world.agent.model_copy(update={"metadata": noted}))

    return deed


def _ask_for(**spec: Any) -> Callable[[Upgraded], None]:
    def deed(it: Upgraded) -> None:
        it.world = with_spec(it.world, **spec)

    return deed


def _let_it_be(it: Upgraded) -> None:
    it.now = after(hours=25)


NOBODY_WAITS: dict[str, tuple[Callable[[Upgraded], None], str]] = {
    "aborted": (_say("abort"), "somebody aborted the upgrade to {}"),
    "back at what serves": (_ask_for(instructions="You decide refunds."), "{} is withdrawn"),
    "superseded": (_ask_for(instructions="Third."), "{} gives way to "),
    "undone": (_say("undo"), "{} is withdrawn"),
    "does harm": (lambda it: it.serve(20, bad=True), "{}: "),
    "not answered in time": (_let_it_be, "nobody answered in time; `resume` asks again"),
    "other steps": (
        _ask_for(rollout={**RULES, "steps": UPGRADING[:1]}),
        "the upgrade to {} does not wait for it any more",
    ),
}


@pytest.mark.parametrize(("deed", "why"), NOBODY_WAITS.values(), ids=list(NOBODY_WAITS))
def test_nobody_is_asked_what_nobody_waits_for(deed: Callable[[Upgraded], None], why: str) -> None:
    """The question is withdrawn as the upgrade goes another way, and says why; once."""
    it = waiting()
    candidate = it.status["revision"]["candidate"]
    deed(it)
    it.step()
    assert [each["status"]["phase"] for each in questions(it)] == ["Withdrawn"]
    assert why.format(candidate) in questions(it)[0]["status"]["withdrawn"]
    assert not it.step().withdrawals


def test_who_is_asked_again_has_one_question() -> None:
    """After `resume` the new one is open, and the old one stays withdrawn."""
    it = waiting()
    _let_it_be(it)
    it.step()
    _say("resume")(it)
    it.step()
    assert it.phase == "AwaitingApproval"
    assert [each.get("status", {}).get("phase") for each in questions(it)] == ["Withdrawn", None]


def test_a_crash_before_the_withdrawal_only_delays_it() -> None:
    """The status says already that the upgrade is over: what is still open is withdrawn all the same."""
    it = waiting()
    asked_before = questions(it)
    _say("abort")(it)
    it.until("Failed", most=40)
    kept = tuple(each for each in it.world.children if each["kind"] != "Approval")
    it.world = replace(it.world, children=(*kept, *asked_before))
    assert [each.question for each in it.step().withdrawals] == asked_before


OTHERS: dict[str, Manifest] = {
    "decided": {"status": {"phase": "Decided", "decision": "Approve"}},
    "over": {"status": {"phase": "TimedOut"}},
    "unreadable": {"spec": {"subject": {}}},
    "a task's": {
        "spec": {
            **asked()["spec"],
            "subject": {
                "digest": digest.sha256("1"),
                "toolCall": {"agent": "refunds", "revision": "b" * 10, "task": "t", "connector": "crm", "tool": "get"},
            },
        }
    },
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=list(OTHERS))
def test_only_open_questions_of_upgrades_are_withdrawn(other: Manifest) -> None:
    """What a task waits for is the gateway's, and what is decided stays so."""
    world = replace(examples.world(), children=({**asked(), **other},))
    assert not plan_agent(world, T0).withdrawals
