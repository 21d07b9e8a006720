"""The Approval of a step: made by us, answered by people, read again and again until there is an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from proctor.api import digest, names
from proctor.api.agent import Agent
from proctor.api.approval import APPROVE, REJECT, Approval, ApprovalPhase
from proctor.api.fields import format_time
from proctor.api.meta import Invalid
from proctor.api.progress import LastOutcome
from proctor.delivery.facts import Answer, Wanted
from proctor.delivery.phases import AwaitingApproval, Rollout, Unanswered, candidate_of, place_of
from proctor.plan import approval as approvals
from proctor.plan.children import owned_by
from proctor.plan.world import Manifest, Withdrawal, World

_EVIDENCE_TIMEOUT = timedelta(hours=24)


def name_of(agent: Agent, asking: AwaitingApproval) -> str:
    """The name of the Approval: another one each time that people are asked."""
    place = asking.place
    return names.of_question(agent.metadata.name, place.upgrade.candidate, place.step, int(place.since.timestamp()))


def make_approval(agent: Agent, asking: AwaitingApproval, wanted: Wanted) -> Manifest | None:
    """The question to the people whom the step names; None if the steps name nobody any more."""
    place, upgrade = asking.place, asking.place.upgrade
    step = wanted.steps[place.step] if place.step < len(wanted.steps) else None
    asked = step.approval if step else None
    groups = asked.groups if asked else wanted.approvers
    if not groups:
        return None
    subject: dict[str, Any] = {
        "rollout": {"agent": agent.metadata.name, "revision": upgrade.candidate, "step": place.step}
    }
    weight = step.weight if step and not asking.is_about_evidence else None
    if weight:
        subject["rollout"]["weight"] = weight
    timeout = asked.timeout if asked else _EVIDENCE_TIMEOUT
    return {
        "apiVersion": agent.api_version,
        "kind": "Approval",
        "metadata": {
            "name": name_of(agent, asking),
            "namespace": agent.metadata.namespace,
            "labels": names.agent_labels(agent.metadata.name),
            "annotations": {names.ROLLOUT: upgrade.id},
            "ownerReferences": [owned_by(agent)],
        },
        "spec": {
            "subject": {"digest": digest.sha256(subject), **subject},
            "question": _words(agent, asking, weight),
            "approvers": {"groups": sorted(groups)},
            "deadline": format_time(place.since + timeout),
            "onTimeout": "Hold",
        },
    }


def answer_of(world: World, asking: AwaitingApproval, now: datetime) -> Answer | None:
    """What people said; None while they may still answer, or while the question has not been put."""
    body = world.child("Approval", name_of(world.agent, asking))
    if body is None:
        return None
    try:
        approval = Approval.parse(body)
    except Invalid:
        return None
    if approval.status.decision == APPROVE.name:
        return Answer.APPROVED
    if approval.status.decision == REJECT.name:
        return Answer.REJECTED
    is_over = approval.status.phase in {ApprovalPhase.TIMED_OUT, ApprovalPhase.WITHDRAWN}
    return Answer.TIMED_OUT if is_over or now >= approval.spec.deadline else None


def withdrawals(
    world: World, awaited: Collection[str], rollout: Rollout, outcome: LastOutcome | None
) -> Iterator[Withdrawal]:
    """The open questions about upgrades that this one, as it now is, does not wait for; and why it does not."""
    for body in world.children:
        if body["kind"] != "Approval" or body["metadata"]["name"] in awaited:
            continue
        try:
            asked = Approval.parse(body)
        except Invalid:
            continue
        about = asked.spec.subject.upgrade
        if about is not None and asked.status.phase in {None, ApprovalPhase.PENDING}:
            why = _why_not(about.revision, rollout, outcome)
            yield Withdrawal(body, approvals.withdrawn(asked, why))


def _why_not(revision: str, rollout: Rollout, outcome: LastOutcome | None) -> str:
    if isinstance(rollout, Unanswered):
        return "nobody answered in time; `resume` asks again"
    is_tried = place_of(rollout) is not None and candidate_of(rollout) == revision
    if outcome is not None and outcome.revision == revision and not is_tried:
        return outcome.message
    return f"the upgrade to {revision} does not wait for it any more"


def _words(agent: Agent, asking: AwaitingApproval, weight: int | None) -> str:
    upgrade = asking.place.upgrade
    what = f"{agent.metadata.namespace}/{agent.metadata.name}: {upgrade.candidate} instead of {upgrade.stable}"
    if asking.is_about_evidence:
        return f"The evidence about {what} ran out undecided. May the upgrade go on?"
    if weight:
        return f"May {what} take {weight} % of the tasks (step {asking.place.step})?"
    return f"May the upgrade of {what} pass step {asking.place.step}?"
