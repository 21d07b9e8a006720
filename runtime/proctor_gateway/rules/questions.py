"""What is put to people when a call needs their approval: an Approval that is bound to exactly what is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proctor.api import digest, names
from proctor.api.agent import Human, Output
from proctor.api.approval import ApprovalSpec, Approvers, Asking, StepSubject, Subject, ToolCallSubject
from proctor.policy import forms
from proctor_gateway.rules.calls import Intent
from proctor_gateway.rules.tasks import Fault

APPROVERS: Final = "proctor:approvers"
"""The group that is asked where nobody else is named."""

_MOST_INPUT: Final = 64 << 10
_NOBODY_NAMED: Final = Asking(groups=(APPROVERS,))


@dataclass(frozen=True)
class Asker:
    """Whose call it is, and on whose behalf."""

    agent: str
    revision: str
    principal: str


@dataclass(frozen=True)
class Unanswered:
    """Why an agent gave no answer, and the form that an answer must have."""

    fault: Fault
    output: Output | None


def name_of(agent: str, subject: str, task: str, sequence: int) -> str:
    """The Approval's name: the same for the same question of the same task, another for any other."""
    return names.fit(f"{agent}-{digest.short([subject, task, sequence], 12)}")


def put_to_people(row: Any, leg: int, people: Human, why: Unanswered, now: datetime) -> ApprovalSpec:
    """The question that an agent could not answer. `row` is its task's row."""
    shown = row.input if len(digest.canonical(row.input)) <= _MOST_INPUT else "too large to be shown: see the task"
    step = StepSubject(run=row.id, step=f"fallback-{leg}", input=shown)
    subject: dict[str, Any] = step.model_dump(mode="json", by_alias=True)
    said = f"{row.agent} could not answer ({why.fault.reason}: {why.fault.message[:500]}). What is the answer?"
    return ApprovalSpec(
        subject=Subject(digest=digest.sha256({"step": subject}), step=step),
        question=said,
        answer_schema=forms.of_answer(why.output.schema_ if why.output else None),
        approvers=Approvers(groups=people.groups),
        requested_by=row.principal[:256],
        deadline=(now + people.timeout).replace(microsecond=0),
    )


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
        question=f"May {asker.agent} call {intent.connector}/{intent.name}? {_sentence(question)}"[:4096],
        approvers=Approvers(users=whom.users, groups=whom.groups),
        quorum=whom.quorum,
        requested_by=asker.principal[:256],
        four_eyes=whom.four_eyes,
        deadline=(now + whom.timeout).replace(microsecond=0),
        on_timeout=whom.on_timeout,
    )


def _sentence(said: str) -> str:
    return said if said.endswith((".", "?", "!")) else f"{said}."
