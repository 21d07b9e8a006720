"""Stage "label and redact" of the call path: what of an answer the agent is shown, and what it is taken for.

The journal keeps the answer as it came; a replayed answer passes here again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from proctor.api.connector import Tool
from proctor.policy.effective import Effective
from proctor.policy.facts import Answered, TaskFacts
from proctor.policy.provenance import answered, asks_for_named_sources, value_of
from proctor_gateway.calling import Caller
from proctor_gateway.callpath.policing import effective_of, task_facts
from proctor_gateway.context import Context
from proctor_gateway.rules.calls import Intent
from proctor_gateway.rules.errors import Denied, Problem, StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.screening import Screen, screen_of
from proctor_gateway.store import readings
from proctor_gateway.store.operations import Brief


async def of_tool(
    context: Context, caller: Caller, intent: Intent, result: Mapping[str, Any], *, is_shown: bool
) -> Answered | None:
    """What a tool's result is taken for, if the agent is shown it, or values from it; None where no policy asks.

    Raises Denied if the result holds what the agent must not see: the call was made all the same.
    """
    connector = context.known.connector(caller.claims.namespace, intent.connector)
    if not is_shown:
        data = connector.spec.tool(intent.name).data if connector is not None else ()
        return Answered(intent.connector, intent.name, trusted=False, data=data, text="", secluded=True)
    effective = effective_of(context, caller)
    if connector is None or not effective:
        return None
    fault = screen_of(effective).fault(result)
    if fault is not None:
        raise Denied(fault.reason, fault.message)
    return await _believed(context, caller, intent, result, connector.spec.tool(intent.name), effective)


async def written_down(context: Context, caller: Caller, answer: Answered | None) -> None:
    """What the agent is going to read is on the disk before it reads it. Raises Problem."""
    if answer is None:
        return
    claims = caller.claims
    try:
        await context.database.write(Brief(lambda c: readings.add(c, claims.task, claims.attempt, answer)))
    except StoreAway as exc:
        raise unread() from exc


def unread() -> Problem:
    """What an agent is told that is not shown an answer, because nobody would know that it has read it."""
    return Problem(503, Reason.STORE_UNAVAILABLE, "what was read cannot be written down, so it is not read")


async def _believed(
    context: Context, caller: Caller, intent: Intent, result: Mapping[str, Any], tool: Tool, effective: Effective
) -> Answered:
    """How far the answer is believed. What the task knows is asked for only where that matters."""
    matters = bool(tool.trusted_parts) or asks_for_named_sources(effective)
    facts = await task_facts(context, caller) if matters and not tool.trusted else TaskFacts()
    text = json.dumps(result, ensure_ascii=False) if tool.trusted or matters else ""
    arguments = intent.arguments if isinstance(intent.arguments, Mapping) else {}
    return answered(intent.connector, tool, arguments, value_of(result), facts, text=text)


def of_model(context: Context, caller: Caller, intent: Intent, body: bytes) -> bytes:  # noqa: ARG001 - the seam
    """A model's answer as the agent is shown it."""
    return body


def screen(context: Context, caller: Caller) -> Screen:
    """What policies want done with what is said to a model, and with what it answers."""
    effective = effective_of(context, caller)
    return Screen() if effective is None else screen_of(effective)
