"""Stage "send" of a task that is not live: its effects go nowhere, and are answered here instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proctor.api.connector import Effect
from proctor_gateway.calling import Caller
from proctor_gateway.context import Context
from proctor_gateway.ledger import Entry
from proctor_gateway.rules import outcomes
from proctor_gateway.rules.calls import CallState, Outcome
from proctor_gateway.rules.errors import Denied, StoreAway
from proctor_gateway.rules.judgement import Allow, Ask, Verdict
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.stubs import Asked, Script, Send, Stub, answer
from proctor_gateway.rules.tasks import Fault, Purpose
from proctor_gateway.store import lifecycle, trials

_UNANSWERED = Fault(Reason.UNANSWERED, "the original asked nothing like it, and no stub is declared for the tool")


async def stubbed(context: Context, caller: Caller, entry: Entry) -> tuple[Outcome, Mapping[str, Any] | None] | None:
    """What a tool call of a rehearsal is answered, or None if the call is to be sent.

    Raises Denied if nobody can say what to answer: then nothing is sent either.
    """
    purpose, intent = caller.claims.purpose, entry.intent
    if purpose is Purpose.LIVE:
        return None
    try:
        cue = await context.database.read(lambda c: trials.cue(c, intent.task, intent.content, entry.occurrence))
    except StoreAway as exc:
        raise Denied(Reason.STORE_UNAVAILABLE, "what the call is answered cannot be read, so it is not made") from exc
    schema = await _output_schema(context, caller, entry)
    asked = Asked(intent.connector, intent.name, intent.effect, intent.arguments)
    found = answer(purpose, asked, Script(cue.recorded, cue.declared, schema))
    if isinstance(found, Send):
        return None
    if not isinstance(found, Stub):
        return await _unusable(context, entry)
    if found.is_unanswered:
        await context.database.write(lambda c: trials.unanswered(c, intent.task, is_usable=True))
    outcome = outcomes.of_tool_result(found.result, intent.effect, context.settings.max_shown)
    # Nothing was touched: whatever becomes of the task, this call has not to be made good.
    return replace(outcome, touched=False), found.result


def check_may_leave(caller: Caller, effect: Effect) -> None:
    """The last fence, right before sending. Raises Denied for an effect of a task that is not live."""
    if caller.claims.purpose is not Purpose.LIVE and effect is not Effect.READ:
        raise Denied(
            Reason.POLICY_DENIED, f"an effect of a task for {caller.claims.purpose} does not leave the gateway"
        )


def judged(caller: Caller, verdict: Verdict) -> Verdict:
    """The verdict as it counts for the task: people are not asked about what is not going to happen."""
    return Allow() if isinstance(verdict, Ask) and caller.claims.purpose is not Purpose.LIVE else verdict


async def _output_schema(context: Context, caller: Caller, entry: Entry) -> Mapping[str, Any] | None:
    connector = context.known.connector(caller.claims.namespace, entry.intent.connector)
    if connector is None or entry.intent.effect is Effect.READ:
        return None
    offered = (await context.catalog.of(connector)).get(entry.intent.name)
    found = offered.definition.get("outputSchema") if offered else None
    return found if isinstance(found, Mapping) else None


async def _unusable(context: Context, entry: Entry) -> tuple[Outcome, Mapping[str, Any] | None]:
    """The trial goes no further: what it did from here on would not be what its original did."""
    task, now = entry.intent.task, context.clock.now()
    await context.database.write(lambda c: trials.unanswered(c, task, is_usable=False))
    await context.database.write(lambda c: lifecycle.stop(c, task, _UNANSWERED, now))
    return Outcome(CallState.FAILED, touched=False, fault=_UNANSWERED), None
