"""Stage "record" of the call path: what happens to a call is told here, in the transaction that makes it so.

What is told inside a transaction cannot be missing from the record when the call went out. Of what was said, only
keyed hashes are told: nobody can guess from them, and whoever has the words can show that these were the ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from proctor.audit.records import Draft, EventType, present, spelling
from proctor_gateway.record.pending import Desk, Facts, Said, desk
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Purpose
from proctor_gateway.store.budgets import NOTHING_RESERVED, Reserved
from proctor_gateway.store.tables import tasks

_MICROS: Final = 1_000_000
_LONGEST_NAME: Final = 128
_ASKED: Final = {Reason.INPUT_REQUIRED, Reason.APPROVAL_UNAVAILABLE}
_WRITTEN: Final = {"question", "comment"}
EVENTS: Final = {
    "ApprovalRequested": (EventType.APPROVAL_REQUESTED, "approval"),
    "ApprovalDecided": (EventType.APPROVAL_DECIDED, "approval"),
    "EffectResolved": (EventType.APPROVAL_DECIDED, "approval"),
    "Fallback": (EventType.FALLBACK, "fallback"),
    "BudgetExceeded": (EventType.BUDGET_EXCEEDED, "budget"),
    "Killed": (EventType.KILL, "result"),
}
"""What can be told of a task beside its calls: the type of the record, and the field that holds the facts."""
_FACTS: Final = sa.select(
    tasks.c.namespace,
    tasks.c.agent,
    tasks.c.revision,
    tasks.c.principal,
    tasks.c.conversation,
    tasks.c.trace_id,
    tasks.c.purpose,
).where(tasks.c.id == sa.bindparam("task"))


def begun(
    connection: sa.Connection, intent: Intent, sequence: int, fault: Fault | None, held: Reserved = NOTHING_RESERVED
) -> None:
    """The call was written down: as denied, or to be sent, with what is set aside for it."""
    found = desk(connection)
    if found is None:
        return
    facts = _facts(connection, found, intent.task)
    asked = _what(intent.kind, intent.connector, intent.name, intent.effect)
    asked[_group(intent.kind)]["args_hmac"] = found.keyed([intent.task, intent.arguments])
    kept = _kept(connection, found, facts.subject, intent.arguments)
    call = {"id": f"{intent.task}.{sequence}", "state": CallState.STARTED if fault is None else CallState.DENIED}
    who = _who(facts, intent.task, intent.attempt)
    fields = {**who.fields, **asked, "call": call, **kept}
    if fault is not None:
        outcome = "ask" if fault.reason in _ASKED else "deny"
        fields["decision"] = present(outcome=outcome, reason=fault.reason, rule=fault.rule or None)
        found.add(Draft(EventType.POLICY_DECISION, found.now, fields, spelt=who.spelt))
        return
    if held.accounts:
        fields["budget"] = present(reserved_micros=_micros(held.cost), reserved_tokens=held.tokens)
    kind = EventType.TOOL_REQUEST if intent.kind is Kind.TOOL else EventType.LLM_CALL
    found.add(Draft(kind, found.now, fields, spelt=who.spelt))


def settled(connection: sa.Connection, task: str, sequence: int, outcome: Outcome, row: Any) -> None:
    """The outcome of the call in that row of `calls` is known."""
    found = desk(connection)
    if found is None:
        return
    facts = _facts(connection, found, task)
    latency = (found.now - row.started_at).total_seconds() * 1000
    result = present(
        reason=outcome.fault.reason if outcome.fault else None,
        hmac=None if outcome.result is None else found.keyed([task, outcome.result]),
        latency_ms=max(0, int(latency)),
    )
    who = _who(facts, task, row.attempt)
    fields = {
        **who.fields,
        **_what(Kind(row.kind), row.connector, row.name, row.effect),
        "call": {"id": f"{task}.{sequence}", "state": outcome.state},
        "result": result,
        "usage": present(input=outcome.input_tokens, output=outcome.output_tokens, cost_micros=_micros(outcome.cost)),
        **_kept(connection, found, facts.subject, outcome.result),
    }
    if outcome.resolved is not None:
        fields["model"] = {**fields["model"], **present(resolved=outcome.resolved[:_LONGEST_NAME])}
    kind = EventType.TOOL_RESULT if row.kind == Kind.TOOL else EventType.LLM_CALL
    found.add(Draft(kind, found.now, fields, spelt=who.spelt))


def told(connection: sa.Connection, task: str, event: str, facts: Mapping[str, Any]) -> None:
    """Something else happened to a task: an approval was asked for or decided, an effect was resolved by a person.

    `event` is one of EVENTS, or else a state that changed. Of `facts`, texts are kept as they are: names, digests and
    decisions. `question` and `comment`, which people write, are kept as keyed hashes.
    """
    found = desk(connection)
    if found is None:
        return
    kind, group = EVENTS.get(event, (EventType.STATE_CHANGED, "state"))
    known = _facts(connection, found, task)
    kept = {
        f"{key}_hmac" if key in _WRITTEN else key: found.keyed([task, value]) if key in _WRITTEN else _plain(value)
        for key, value in facts.items()
        if value is not None
    }
    who = _who(known, task, None)
    found.add(Draft(kind, found.now, {**who.fields, group: kept}, spelt=who.spelt))


def _plain(value: Any) -> Any:
    """The value as a record can hold it."""
    match value:
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value)


def dispatched(connection: sa.Connection, task: str, attempt: int) -> None:
    """An attempt of the task begins: it may call out from now on."""
    found = desk(connection)
    if found is not None:
        # The revision is bound by the first dispatch: what was known before is not asked again after.
        found.facts.pop(task, None)
        facts = _facts(connection, found, task)
        who = _who(facts, task, attempt)
        found.add(Draft(EventType.RUN_START, found.now, who.fields, spelt=who.spelt))


def ended(connection: sa.Connection, row: Any, phase: str, fault: Fault | None, output: Any) -> None:
    """The task in that row of `tasks` has ended."""
    found = desk(connection)
    if found is None:
        return
    facts = _facts(connection, found, row.id)
    who = _who(facts, row.id, row.attempts)
    fields = {
        **who.fields,
        "result": present(
            phase=phase,
            reason=fault.reason if fault else None,
            output_hmac=None if output is None else found.keyed([row.id, output]),
        ),
        "usage": present(
            steps=row.steps,
            tool_calls=row.tool_calls,
            input=row.input_tokens,
            output=row.output_tokens,
            cost_micros=_micros(row.cost),
        ),
    }
    found.add(Draft(EventType.RUN_END, found.now, fields, spelt=who.spelt))


def _who(facts: Facts, task: str, attempt: int | None) -> Said:
    """Put together once for each attempt: every call of it says the same."""
    known = facts.said.get(attempt)
    if known is not None:
        return known
    fields = {
        "agent": present(namespace=facts.namespace, name=facts.agent, revision=facts.revision or None),
        "run": present(id=task, attempt=attempt, trace=facts.trace, purpose=facts.purpose),
        "principal": present(sub=facts.principal),
        "subject": facts.subject,
    }
    said = Said(fields, spelling(fields))
    facts.said[attempt] = said
    return said


def _what(kind: Kind, connector: str, name: str, effect: str) -> dict[str, Any]:
    if kind is Kind.TOOL:
        return {"tool": present(server=connector, name=name, effect=effect)}
    return {"model": present(connector=connector, requested=name)}


def _kept(connection: sa.Connection, found: Desk, subject: str, payload: Any) -> dict[str, Any]:
    """Where the payload is kept, if payloads are kept."""
    if found.vault is None or payload is None:
        return {}
    return {"payload": {"id": found.vault.keep(connection, subject, payload, found.now)}}


def _group(kind: Kind) -> str:
    return "tool" if kind is Kind.TOOL else "model"


def _facts(connection: sa.Connection, found: Desk, task: str) -> Facts:
    """What does not change of a task; asked once, for it is needed with every call."""
    known = found.facts.get(task)
    if known is not None:
        return known
    row = connection.execute(_FACTS, {"task": task}).one()
    subject = found.keyed([row.namespace, row.conversation or row.principal])
    purpose = None if row.purpose == Purpose.LIVE else row.purpose
    facts = Facts(row.namespace, row.agent, row.revision, row.principal, row.trace_id, subject, purpose)
    if row.revision:
        found.remember(task, facts)
    return facts


def _micros(cost: Decimal | None) -> int | None:
    return None if cost is None else int((cost * _MICROS).to_integral_value())
