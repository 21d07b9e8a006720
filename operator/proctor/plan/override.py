"""A freeze by the agent's own error budgets, which people may lift: for one revision, for a while, by an Approval.

What a policy demands nobody lifts. Nothing is kept but the Approvals: one that is over, for its time has passed or it
was withdrawn, is followed by another; one that was rejected is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from proctor.api import digest, names
from proctor.api.agent import Agent
from proctor.api.approval import APPROVE, REJECT, Approval, ApprovalPhase
from proctor.api.fields import format_duration, format_time
from proctor.api.meta import Invalid
from proctor.api.rollout import BudgetOverride
from proctor.plan.children import owned_by
from proctor.plan.world import Manifest, World


@dataclass(frozen=True)
class Override:
    """What people say to an upgrade that the agent's own error budget freezes."""

    name: str
    """The Approval that counts."""
    is_asked: bool = False
    """Whether it is there."""
    is_refused: bool = False
    until: datetime | None = None
    """Until when they let it go on; None if they do not."""
    is_void: bool = False
    """Whether a policy demands the same freeze: that is not lifted by those whom an Agent names."""

    @property
    def lifts(self) -> bool:
        """Whether the upgrade may go on."""
        return self.until is not None and not self.is_void

    def words(self, spent: str) -> str | None:
        """Why the upgrade waits, where this budget is spent; None if it need not."""
        if self.is_void:
            return spent
        follows = "was rejected" if self.is_refused else "would let this upgrade go on"
        return None if self.lifts else f"{spent}; Approval {self.name} {follows}"


def override_of(world: World, revision: str, now: datetime) -> Override | None:
    """How it stands; None if the spec names nobody who could be asked, or nobody was and the agent is suspended."""
    rules, metadata = world.agent.spec.rollout.budget_override, world.agent.metadata
    if rules is None:
        return None
    for number in count():
        name = names.of_override(metadata.name, revision, number)
        body = world.child("Approval", name)
        if body is None:
            # What is suspended would not go on: the time for which people let it would run out meanwhile.
            return None if world.agent.spec.suspend else Override(name)
        found = _standing(name, _ours(body, world.agent, revision, rules), rules, now)
        if found is not None:
            return found
    raise AssertionError  # pragma: no cover


def _standing(name: str, asked: Approval | None, rules: BudgetOverride, now: datetime) -> Override | None:
    """What the Approval says; None if it is over."""
    if asked is None:
        return None
    status = asked.status
    if status.decision == REJECT.name:
        return Override(name, is_asked=True, is_refused=True)
    if status.decision == APPROVE.name:
        until = status.decided_at + rules.for_ if status.decided_at else now
        # Who gives no reason has lifted nothing: it is what an override leaves behind.
        return Override(name, is_asked=True, until=until) if now < until and status.comment else None
    is_over = status.phase in {ApprovalPhase.TIMED_OUT, ApprovalPhase.WITHDRAWN}
    return None if is_over else Override(name, is_asked=True)


def _ours(body: Manifest, agent: Agent, revision: str, rules: BudgetOverride) -> Approval | None:
    """The Approval, if it asks what we would ask now."""
    try:
        found = Approval.parse(body)
    except Invalid:
        return None
    subject = _subject(agent, revision, rules)
    is_same = found.spec.subject.digest == subject["digest"]
    return found if is_same and set(found.spec.approvers.groups) == set(rules.groups) else None


def make_approval(agent: Agent, revision: str, name: str, spent: str, now: datetime) -> Manifest:
    """The question to the people whom the spec names; `spent` says which budget is."""
    metadata, rules = agent.metadata, agent.spec.rollout.budget_override
    assert rules is not None  # noqa: S101 - without it there is no name to ask by
    what = f"the upgrade of {metadata.namespace}/{metadata.name} to {revision}"
    lasting = f"for {format_duration(rules.for_)}"
    return {
        "apiVersion": agent.api_version,
        "kind": "Approval",
        "metadata": {
            "name": name,
            "namespace": metadata.namespace,
            "labels": names.agent_labels(metadata.name),
            "ownerReferences": [owned_by(agent)],
        },
        "spec": {
            "subject": _subject(agent, revision, rules),
            "question": f"{spent}. May {what} go on all the same, {lasting}? It needs a reason.",
            "approvers": {"groups": sorted(rules.groups)},
            "deadline": format_time(now + rules.for_),
            "onTimeout": "Hold",
        },
    }


def _subject(agent: Agent, revision: str, rules: BudgetOverride) -> dict[str, Any]:
    about = {"agent": agent.metadata.name, "revision": revision, "for": format_duration(rules.for_)}
    return {"digest": digest.sha256({"override": about}), "override": about}
