"""What is put to people when a call needs their approval: an Approval that is bound to exactly what is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proctor.api import digest, names
from proctor.api.approval import ApprovalSpec, Approvers, Asking, Subject, ToolCallSubject
from proctor_gateway.calls import Intent

APPROVERS: Final = "proctor:approvers"
"""The group that is asked where nobody else is named."""

_NOBODY_NAMED: Final = Asking(groups=(APPROVERS,))


@dataclass(frozen=True)
class Asker:
    """Whose call it is, and on whose behalf."""

    agent: str
    revision: str
    principal: str


def name_of(agent: str, subject: str, task: str, sequence: int) -> str:
    """The Approval's name: the same for the same question of the same task, another for any other."""
    return names.fit(f"{agent}-{digest.short([subject, task, sequence], 12)}")


def put(asker: Asker, intent: Intent, question: str, asking: Asking | None, now: datetime) -> ApprovalSpec:
    """The question about this call."""
    whom = asking or _NOBODY_NAMED
    call = ToolCallSubject(
        agent=asker.agent,
        revision=asker.revision,
        task=intent.task,
        connector=intent.connector,
        tool=intent.name,
        arguments=dict(intent.arguments),
    )
    subject: dict[str, Any] = call.model_dump(mode="json", by_alias=True)
    return ApprovalSpec(
        subject=Subject(digest=digest.sha256({"toolCall": subject}), tool_call=call),
        question=f"{question} May {asker.agent} call {intent.connector}/{intent.name}?"[:4096],
        approvers=Approvers(users=whom.users, groups=whom.groups),
        quorum=whom.quorum,
        requested_by=asker.principal[:256],
        four_eyes=whom.four_eyes,
        deadline=(now + whom.timeout).replace(microsecond=0),
        on_timeout=whom.on_timeout,
    )
