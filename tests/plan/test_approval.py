"""An Approval's status is what its votes say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from proctor.api.approval import Approval
from proctor.plan.approval import plan_approval
from tests.policy.test_votes import approval as asked
from tests.policy.test_votes import vote

ASKED = asked().spec.deadline - timedelta(hours=1)


def told(before: Approval, status: Any) -> Approval:
    """The Approval as it is after the operator has reported; the votes stay who wrote them."""
    votes = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in before.status.votes]
    body = before.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Approval.parse({**body, "status": {**status, "votes": votes}})


def test_people_are_asked():
    """Without votes it is pending, and looked at again when its time is over."""
    plan = plan_approval(asked(phase=None), ASKED)
    assert plan.status is not None
    assert plan.status["phase"] == "Pending"
    assert ASKED + timedelta(hours=1) <= plan.wake_at <= ASKED + timedelta(hours=1, seconds=2)
    assert [event.reason for event in plan.events] == ["Asked"]


def test_nothing_is_written_twice():
    """What was reported is not reported again, or the operator would wake itself."""
    first = plan_approval(asked(phase=None), ASKED)
    assert plan_approval(told(asked(), first.status), ASKED + timedelta(minutes=1)).is_noop


def test_a_decision_names_those_who_made_it():
    """Who, when, what they said and what they filled in; never their votes, which are theirs."""
    voted = asked(vote("alice", comment="fine", answer={"arguments": {"amount": 1}}))
    status = plan_approval(voted, ASKED + timedelta(minutes=2)).status
    assert status is not None
    assert (status["phase"], status["decision"], status["decidedBy"]) == ("Decided", "Approve", ["alice"])
    assert (status["comment"], status["answer"]) == ("fine", {"arguments": {"amount": 1}})
    assert "votes" not in status


def test_a_decision_is_final():
    """A vote that comes later changes nothing, nor does the deadline."""
    voted = asked(vote("alice"))
    decided = told(voted, plan_approval(voted, ASKED + timedelta(minutes=2)).status)
    later = told(asked(vote("alice"), vote("bob", "Reject")), decided.status.dump())
    assert plan_approval(later, ASKED + timedelta(hours=5)).is_noop


def test_silence_denies_at_the_deadline_and_holds_if_it_is_to():
    """No decision is made up: the phase says that nobody answered."""
    late = plan_approval(asked(), ASKED + timedelta(hours=2))
    assert late.status is not None
    assert (late.status["phase"], late.status.get("decision")) == ("TimedOut", None)
    held = plan_approval(asked(onTimeout="Hold", phase=None), ASKED + timedelta(hours=2))
    assert held.status is not None
    assert held.status["phase"] == "Pending"
    assert held.status["conditions"][0]["reason"] == "HeldPastDeadline"


def test_a_withdrawn_question_is_told_once_with_its_reason():
    """Whoever asked writes only that it is so and why; the conditions are ours."""
    withdrawn = told(asked(), {"phase": "Withdrawn", "withdrawn": "task t has ended: Cancelled"})
    plan = plan_approval(withdrawn, ASKED)
    assert plan.status is not None
    ready = next(each for each in plan.status["conditions"] if each["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("Withdrawn", "task t has ended: Cancelled")
    assert (plan.status["phase"], plan.status["withdrawn"]) == ("Withdrawn", "task t has ended: Cancelled")
    assert [event.reason for event in plan.events] == ["Withdrawn"]
    assert plan_approval(told(asked(), plan.status), ASKED + timedelta(minutes=1)).is_noop


def test_a_step_of_an_agent_that_is_gone_is_not_asked_for():
    """A deletion that spares what the Agent owned leaves its questions to nobody."""
    subject = {"digest": asked().spec.subject.digest, "rollout": {"agent": "refunds", "revision": "b" * 10, "step": 1}}
    owner = {"apiVersion": "proctor.dev/v1alpha1", "kind": "Agent", "name": "refunds", "uid": "u", "controller": True}
    owned = asked(subject=subject)
    owned = owned.model_copy(
        update={"metadata": owned.metadata.model_validate({**owned.metadata.model_dump(), "ownerReferences": [owner]})}
    )
    assert plan_approval(owned, ASKED).status["phase"] == "Pending"
    plan = plan_approval(asked(subject=subject), ASKED)
    assert plan.status is not None
    assert (plan.status["phase"], plan.status["withdrawn"]) == ("Withdrawn", "the Agent that asked is gone")
    assert [event.reason for event in plan.events] == ["Withdrawn"]
    assert plan_approval(told(asked(subject=subject), plan.status), ASKED).is_noop
