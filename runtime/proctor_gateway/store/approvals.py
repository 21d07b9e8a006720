"""Questions to people in the store: what a call waits for, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from proctor.api.agent import Output
from proctor.api.approval import ApprovalSpec
from proctor.policy import forms
from proctor_gateway.rules import questions
from proctor_gateway.rules.calls import CallState, Intent
from proctor_gateway.rules.fallback import Hop
from proctor_gateway.rules.judgement import Ask
from proctor_gateway.rules.questions import Asker
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Phase, Task
from proctor_gateway.store import recording
from proctor_gateway.store.rows import plain, to_task
from proctor_gateway.store.tables import approvals, calls, tasks

APPROVE = "Approve"
TIMED_OUT = "TimedOut"
WITHDRAWN = "Withdrawn"


@dataclass(frozen=True)
class Decided:
    """What people decided: `fault` is why the call is not made, `arguments` what takes the place of the agent's."""

    fault: Fault | None
    arguments: Mapping[str, Any] | None
    output: Any = None
    """What people answered instead of an agent, of the form that it must have."""


@dataclass(frozen=True)
class Question:
    """A question that is not decided, as it stands in the store."""

    task: str
    sequence: int
    namespace: str
    agent: str
    name: str
    spec: Mapping[str, Any]
    asked: bool


@dataclass(frozen=True)
class Decision:
    """What people said."""

    decision: str
    decided_by: Sequence[str]
    comment: str | None
    answer: Mapping[str, Any] | None


def ask(connection: sa.Connection, intent: Intent, verdict: Ask, sequence: int, now: datetime) -> Fault:
    """Write the question down, once. What the agent is told meanwhile."""
    row = connection.execute(
        sa.select(tasks.c.namespace, tasks.c.agent, tasks.c.revision, tasks.c.principal).where(
            tasks.c.id == intent.task
        )
    ).one()
    spec = questions.put(Asker(row.agent, row.revision, row.principal), intent, verdict.question, verdict.asking, now)
    name = _put(connection, row, spec, intent.task, sequence)
    return Fault(
        Reason.INPUT_REQUIRED, f"{verdict.question}: it waits for Approval {row.namespace}/{name}", verdict.rule
    )


def ask_people(
    connection: sa.Connection, row: Any, hop: Hop, fault: Fault, output: Output | None, now: datetime
) -> None:
    """Ask people for the answer, of the form `output`, that the agent of that row of `tasks` could not give."""
    if hop.fallback.human is None:
        raise TypeError("a leg that is no person's asks nobody")
    spec = questions.put_to_people(row, hop.leg, hop.fallback.human, questions.Unanswered(fault, output), now)
    _put(connection, row, spec, row.id, -hop.leg)


def _put(connection: sa.Connection, row: Any, spec: ApprovalSpec, task: str, sequence: int) -> str:
    name = questions.name_of(row.agent, spec.subject.digest, task, sequence)
    there = sa.select(approvals.c.name).where(approvals.c.task == task, approvals.c.sequence == sequence)
    if connection.execute(there).one_or_none() is None:
        body = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        connection.execute(
            sa.insert(approvals).values(
                task=task, sequence=sequence, namespace=row.namespace, name=name, spec=body, asked=False
            )
        )
        asked = [*spec.approvers.users, *(f"group {each}" for each in spec.approvers.groups)]
        facts = {
            "approval": name,
            "about": _about(spec),
            "digest": spec.subject.digest,
            "asked": asked,
            "quorum": spec.quorum,
            "question": spec.question,
        }
        recording.told(connection, task, "ApprovalRequested", facts)
    return name


def _about(spec: ApprovalSpec) -> str:
    call = spec.subject.tool_call
    return f"{call.connector}/{call.tool}" if call is not None else "the answer"


def decided(connection: sa.Connection, task: str, sequence: int) -> Decided | None:
    """What was decided about the call; None if nothing was asked, or nothing is decided."""
    row = connection.execute(
        sa.select(approvals).where(
            approvals.c.task == task, approvals.c.sequence == sequence, approvals.c.decision.is_not(None)
        )
    ).one_or_none()
    if row is None:
        return None
    if row.decision == APPROVE:
        answer = row.answer if isinstance(row.answer, dict) else {}
        fault = _unfit(row, answer)
        if fault is not None:
            return Decided(fault, None)
        edited = answer.get("arguments")
        return Decided(None, edited if isinstance(edited, dict) else None, answer.get("output"))
    if row.decision == TIMED_OUT:
        return Decided(Fault(Reason.APPROVAL_TIMED_OUT, f"nobody answered Approval {row.name} in time"), None)
    who, said = ", ".join(row.decided_by or ()), f": {row.comment}" if row.comment else ""
    return Decided(Fault(Reason.APPROVAL_REJECTED, f"{who or 'the approvers'} rejected it{said}"), None)


def _unfit(row: Any, answer: Mapping[str, Any]) -> Fault | None:
    """Why what people filled in is not of the form that they were asked for; whoever wrote the vote."""
    form = row.spec.get("answerSchema")
    found = forms.mismatch(answer, form) if form is not None else None
    if found is None:
        return None
    who, where = ", ".join(row.decided_by or ()) or "people", "/".join(found.path)
    if "output" not in answer:
        return Fault(Reason.INVALID_OUTPUT, f"{who} agreed, and gave no answer")
    return Fault(
        Reason.INVALID_OUTPUT, f"the answer of {who} does not match output.schema at /{where}: {found.message}"
    )


def is_due(connection: sa.Connection, task: str) -> bool:
    """Whether a call of the task that waited for people need wait no longer."""
    return bool(connection.execute(sa.select(tasks.c.id).where(tasks.c.id == task, _told().exists())).all())


def _waits() -> sa.Select[tuple[str]]:
    """Of a task: the calls that its last attempt has asked and that wait for people."""
    return sa.select(calls.c.task).where(
        calls.c.task == tasks.c.id, calls.c.state == CallState.WAITING, calls.c.seen == tasks.c.attempts
    )


def _told() -> sa.Select[tuple[str]]:
    """Of these, those on which people have decided."""
    same = sa.and_(approvals.c.task == calls.c.task, approvals.c.sequence == calls.c.sequence)
    return _waits().join(approvals, same).where(approvals.c.decision.is_not(None))


def of_task(connection: sa.Connection, task: str) -> dict[int, dict[str, Any]]:
    """What was asked about the task's calls and what was decided, by the sequence of the call, as people read it."""
    rows = connection.execute(sa.select(approvals).where(approvals.c.task == task))
    return {
        row.sequence: {
            "name": row.name,
            "decision": row.decision,
            "decidedBy": row.decided_by,
            "comment": row.comment,
            "arguments": row.answer.get("arguments") if isinstance(row.answer, dict) else None,
            "deadline": row.spec["deadline"],
        }
        for row in rows
    }


def due(connection: sa.Connection) -> Sequence[str]:
    """The tasks that wait although people have decided, or for nothing: their unknown effects were resolved."""
    people = sa.select(approvals.c.task).where(approvals.c.task == tasks.c.id, approvals.c.sequence == -tasks.c.leg)
    query = sa.select(tasks.c.id).where(
        tasks.c.phase == Phase.INPUT_REQUIRED,
        sa.or_(_told().exists(), sa.and_(sa.not_(_waits().exists()), sa.not_(people.exists()))),
    )
    return list(connection.execute(query).scalars())


def answered(connection: sa.Connection) -> Sequence[Task]:
    """The tasks that people were asked to answer, and have."""
    query = (
        sa.select(tasks)
        .join(approvals, sa.and_(approvals.c.task == tasks.c.id, approvals.c.sequence == -tasks.c.leg))
        .where(tasks.c.phase == Phase.INPUT_REQUIRED, approvals.c.decision.is_not(None))
    )
    return [to_task(row) for row in connection.execute(query)]


def open_questions(connection: sa.Connection) -> Sequence[Question]:
    """Those that nobody has decided, of tasks that still wait for them."""
    query = (
        sa.select(approvals, tasks.c.agent)
        .join(tasks, tasks.c.id == approvals.c.task)
        .where(approvals.c.decision.is_(None), tasks.c.phase.in_((Phase.RUNNING, Phase.INPUT_REQUIRED)))
    )
    return [_question(row) for row in connection.execute(query)]


def left_open(connection: sa.Connection, limit: int = 100) -> Sequence[tuple[Question, str]]:
    """Questions of tasks that have ended meanwhile, and how these ended: nobody waits for an answer any more."""
    query = (
        sa.select(approvals, tasks.c.agent, tasks.c.phase, tasks.c.reason)
        .join(tasks, tasks.c.id == approvals.c.task)
        .where(approvals.c.decision.is_(None), tasks.c.finished_at.is_not(None))
        .limit(limit)
    )
    rows = connection.execute(query).all()
    return [(_question(row), ", ".join(dict.fromkeys(filter(None, (row.phase, row.reason))))) for row in rows]


def _question(row: Any) -> Question:
    return Question(row.task, row.sequence, row.namespace, row.agent, row.name, row.spec, row.asked)


def asked(connection: sa.Connection, task: str, sequence: int) -> None:
    """The Approval is in the cluster."""
    connection.execute(
        sa.update(approvals).where(approvals.c.task == task, approvals.c.sequence == sequence).values(asked=True)
    )


def decide(connection: sa.Connection, question: Question, said: Decision) -> bool:
    """Write down what was decided, once. Whether it was not known before."""
    changed = connection.execute(
        sa.update(approvals)
        .where(
            approvals.c.task == question.task,
            approvals.c.sequence == question.sequence,
            approvals.c.decision.is_(None),
        )
        .values(
            decision=said.decision,
            decided_by=list(said.decided_by),
            comment=plain(said.comment) if said.comment else None,
            answer=dict(said.answer) if said.answer is not None else None,
        )
    )
    if changed.rowcount:
        facts = {"approval": question.name, "decision": said.decision, "decidedBy": list(said.decided_by)}
        recording.told(connection, question.task, "ApprovalDecided", facts)
    return bool(changed.rowcount)
