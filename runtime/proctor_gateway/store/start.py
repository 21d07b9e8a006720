"""How a call starts: looked up in the journal, held against limits and budgets, and written down. One transaction.

The row of the task is locked, so that limits hold however many calls are made at the same time, by whichever replica;
and a call that was begun is seen by whoever ends the task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from proctor.api.agent import Limits
from proctor.api.connector import Effect
from proctor_gateway.rules.calls import Call, CallState, Intent, Kind
from proctor_gateway.rules.judgement import Ask, Refuse, Verdict
from proctor_gateway.rules.limits import exceeded
from proctor_gateway.rules.reasons import OF_THE_CALL, Reason
from proctor_gateway.rules.spending import Exceeded
from proctor_gateway.rules.tasks import Fault, Usage
from proctor_gateway.store import approvals, budgets, journal, recording, sheets
from proctor_gateway.store.budgets import NOTHING_RESERVED, Bill, Reserved
from proctor_gateway.store.calls import is_running
from proctor_gateway.store.operations import Brief, Untouched
from proctor_gateway.store.rows import plain
from proctor_gateway.store.sheets import Sheet, TaskRow
from proctor_gateway.store.tables import calls

_MOST_CALLS = 10_000
"""Of one task, denied ones included: an agent that asks in a loop must not fill the disk."""


@dataclass(frozen=True)
class Wanted:
    """A call that an agent wants to make, as it was judged. `patience`: it may be held until others are asked."""

    intent: Intent
    limits: Limits
    verdict: Verdict
    bill: Bill | None = None
    patience: bool = False
    sender: str = ""
    """The instance that would send it."""


@dataclass(frozen=True)
class Begun:
    """The call is written down and may be sent. `occurrence` counts equal calls of the task, from 0.

    `arguments` are those that people put in place of the agent's. `is_open` says that it was sent before, and that
    nobody knows what became of that.
    """

    sequence: int
    occurrence: int
    deadline: datetime
    reserved: Reserved = NOTHING_RESERVED
    arguments: Any = None
    is_open: bool = False
    sent_at: datetime | None = None
    """When it was sent first, if it was."""


@dataclass(frozen=True)
class Barred:
    """The call is written down as denied, or waits for people. `exceeded` says by which limit, if that is why."""

    sequence: int
    fault: Fault
    exceeded: Exceeded | None = None


@dataclass(frozen=True)
class Repeated:
    """An earlier attempt has asked it and was answered this."""

    call: Call
    body: bytes | None


@dataclass(frozen=True)
class Held:
    """Nothing is written down: calls that an earlier attempt made have not been asked yet, and go first."""

    unasked: int


class Revoked(Untouched):
    """The attempt that a token names is not running (any more)."""


def begin(connection: sa.Connection, wanted: Wanted, now: datetime) -> Begun | Barred | Repeated | Held:
    """Answer the call from the journal, or write it down: as denied, or to be sent. Raises Revoked."""
    with sheets.opened(connection) as sheet:
        row = sheet.task(wanted.intent.task)
        if row is None or not is_running(row, wanted.intent.attempt):
            raise Revoked(wanted.intent.task)
        if wanted.intent.attempt == 1:
            return _first(sheet, row, wanted, now)
        # What follows reads calls, which others of this transaction may have begun.
        sheet.write()
        return _after_another(sheet, row, wanted, now)


def beginning(wanted: Wanted, now: datetime) -> Brief[Begun | Barred | Repeated | Held]:
    """`begin` as an operation that shares a transaction with others of its kind."""
    return Brief(lambda connection: begin(connection, wanted, now))


def _after_another(sheet: Sheet, row: TaskRow, wanted: Wanted, now: datetime) -> Begun | Barred | Repeated | Held:
    """An attempt before this one may have asked it."""
    connection, intent = sheet.connection, wanted.intent
    found = journal.recall(connection, intent)
    if found is not None:
        return _again(sheet, row, wanted, found, now)
    unasked = journal.unasked(connection, intent.task, intent.attempt)
    if unasked and wanted.patience:
        return Held(len(unasked))
    effects = [call for call in unasked if call.may_have_changed_something]
    if effects:
        wanted = replace(wanted, verdict=Refuse(_diverged(effects[0], intent)))
    elif unasked:
        journal.void(connection, intent.task, intent.attempt)
    return _first(sheet, row, wanted, now)


def _diverged(effect: Call, intent: Intent) -> Fault:
    done = effect.intent
    return Fault(
        Reason.DIVERGED,
        f"attempt {intent.attempt} asks {intent.connector}/{intent.name}, which was not asked before, and has not "
        f"asked {done.connector}/{done.name} again (call {effect.id} of attempt {done.attempt})",
    )


def _first(sheet: Sheet, row: TaskRow, wanted: Wanted, now: datetime) -> Begun | Barred:
    """Nobody asked it before."""
    connection, intent, verdict = sheet.connection, wanted.intent, wanted.verdict
    sequence = row.sequence + 1
    if sequence > _MOST_CALLS:
        return Barred(0, Fault(Reason.LIMIT_EXCEEDED, f"the task has made {_MOST_CALLS} calls"))
    fault = _denial(verdict) or _bar(row, intent.kind, wanted.limits, now)
    waits = isinstance(verdict, Ask) and fault is None
    held, broken = (NOTHING_RESERVED, None) if fault or waits else _reserved(connection, row, wanted, now)
    fault = broken.fault if broken else fault
    place = journal.occurrence(connection, intent) + sheet.equals(intent.task, intent.content)
    entry = _row(intent, sequence, place, fault, now)
    state = CallState.WAITING if waits else entry["state"]
    goes = state is CallState.STARTED
    sheet.add({**entry, "state": state.value, "touched": goes, "sender": wanted.sender, **_kept(held)})
    _count(sheet, row, intent, held, sequence, goes=goes)
    if waits and isinstance(verdict, Ask):
        fault = approvals.ask(connection, intent, verdict, sequence, now)
    recording.begun(connection, intent, sequence, fault, held)
    return Begun(sequence, place, row.deadline, held) if fault is None else Barred(sequence, fault, broken)


def _again(sheet: Sheet, row: TaskRow, wanted: Wanted, found: Call, now: datetime) -> Begun | Barred | Repeated:
    """An earlier attempt asked it. What was answered is answered again; only what was not may be sent."""
    connection, intent, verdict, sequence = sheet.connection, wanted.intent, wanted.verdict, found.sequence
    if row.stop is not None:
        return Barred(sequence, Fault(Reason(row.stop), "the task is being stopped"))
    if found.answered:
        journal.see(connection, intent.task, sequence, intent.attempt)
        return Repeated(found, journal.answer(connection, intent.task, sequence))
    is_open = found.may_have_changed_something
    if is_open and intent.effect is Effect.ONCE:
        journal.see(connection, intent.task, sequence, intent.attempt)
        return Barred(sequence, Fault(Reason.OUTCOME_UNKNOWN, "it was sent before, and is never sent twice"))
    decided = approvals.decided(connection, intent.task, sequence)
    waits = isinstance(verdict, Ask) and decided is None and not is_open
    was_sent = found.outcome.state in {CallState.STARTED, CallState.UNKNOWN, CallState.FAILED}
    fault = _denial(verdict) or (decided.fault if decided else None)
    fault = fault or _bar(row, intent.kind, wanted.limits, now, counted=was_sent)
    held, broken = (NOTHING_RESERVED, None) if fault or waits else _reserved(connection, row, wanted, now)
    fault = broken.fault if broken else fault
    _rewrite(connection, found, intent, fault, now, waits=waits and fault is None)
    goes = fault is None and not waits
    _count(sheet, row, intent, held, row.sequence, goes=goes and not was_sent)
    if goes:
        _set(connection, intent.task, sequence, sender=wanted.sender, **(_kept(held) if held.accounts else {}))
    if waits and fault is None and isinstance(verdict, Ask):
        fault = approvals.ask(connection, intent, verdict, sequence, now)
    recording.begun(connection, intent, sequence, fault, held)
    if fault is not None:
        return Barred(sequence, fault, broken)
    edited = decided.arguments if decided is not None else None
    return Begun(sequence, found.occurrence, row.deadline, held, edited, is_open, found.started_at)


def _reserved(
    connection: sa.Connection, row: TaskRow, wanted: Wanted, now: datetime
) -> tuple[Reserved, Exceeded | None]:
    if wanted.bill is None:
        return NOTHING_RESERVED, None
    found = budgets.reserve(connection, wanted.bill, row, now)
    if isinstance(found, Exceeded):
        return NOTHING_RESERVED, found
    for each in found.over:
        # Once for each period: by the call that may exceed it, not by all that follow.
        if not each.is_over:
            recording.told(connection, wanted.intent.task, "BudgetExceeded", {"limit": each.allowance.name})
    return found, None


def _denial(verdict: Verdict) -> Fault | None:
    return verdict.fault if isinstance(verdict, Refuse) else None


def _bar(row: TaskRow, kind: Kind, limits: Limits, now: datetime, *, counted: bool = False) -> Fault | None:
    if row.stop is not None:
        return Fault(Reason(row.stop), "the task is being stopped")
    # A step that was counted when it was first asked is not counted against itself.
    steps = row.steps - int(counted and kind is Kind.MODEL)
    usage = Usage(steps, row.tool_calls, row.input_tokens, row.output_tokens, row.cost)
    return exceeded(kind, usage, limits, row.deadline, now)


def _count(sheet: Sheet, row: TaskRow, intent: Intent, held: Reserved, last: int, *, goes: bool) -> None:
    row.sequence = last
    row.steps += int(goes and intent.kind is Kind.MODEL)
    row.tool_calls += int(goes and intent.kind is Kind.TOOL)
    row.counted_cost += held.cost
    row.counted_tokens += held.tokens
    sheet.changed(intent.task, row)


def _kept(held: Reserved) -> dict[str, Any]:
    is_held = bool(held.accounts)
    return {"reserved_cost": held.cost if is_held else None, "reserved_tokens": held.tokens if is_held else None}


def _row(intent: Intent, sequence: int, place: int, fault: Fault | None, now: datetime) -> dict[str, Any]:
    return {
        "task": intent.task,
        "sequence": sequence,
        "attempt": intent.attempt,
        "kind": intent.kind.value,
        "connector": intent.connector,
        "name": plain(intent.name)[:256],
        "effect": intent.effect.value,
        "arguments": intent.arguments,
        "digest": intent.content,
        "occurrence": place,
        "seen": intent.attempt,
        "answered": fault is not None and _is_told(intent.kind, fault),
        "void": False,
        "state": CallState.DENIED if fault else CallState.STARTED,
        "reason": fault.reason if fault else None,
        "message": plain(fault.message) if fault else None,
        "started_at": now,
        "finished_at": now if fault else None,
    }


def _rewrite(
    connection: sa.Connection, found: Call, intent: Intent, fault: Fault | None, now: datetime, *, waits: bool
) -> None:
    # What may have happened does not become undone by a denial.
    is_open = found.may_have_changed_something
    state = CallState.WAITING if waits else CallState.STARTED
    if fault is not None:
        state = found.outcome.state if is_open else CallState.DENIED
    _set(
        connection,
        intent.task,
        found.sequence,
        seen=intent.attempt,
        connector=intent.connector,
        name=plain(intent.name)[:256],
        effect=intent.effect,
        state=state,
        touched=is_open or state is CallState.STARTED,
        answered=fault is not None and not is_open and _is_told(intent.kind, fault),
        reason=fault.reason if fault else None,
        message=plain(fault.message) if fault else None,
        finished_at=now if fault else None,
    )


def _set(connection: sa.Connection, task: str, sequence: int, **values: Any) -> None:
    if values:
        connection.execute(sa.update(calls).where(calls.c.task == task, calls.c.sequence == sequence).values(**values))


def _is_told(kind: Kind, fault: Fault) -> bool:
    """Whether the agent is told of the denial and goes on: then it is told the same again. Others end the task."""
    return kind is Kind.TOOL and fault.reason in OF_THE_CALL
