"""What becomes of an effect when nobody knows whether it happened? By its declared class, and never by a guess.

Idempotent: it is sent again under the same key. Verify: the system is asked first, and the call is sent again only when
it says that nothing was done, at a time when nothing can still be under way. Once: never; a person decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import structlog

from proctor.api import digest
from proctor.api.connector import Connector, Effect
from proctor_gateway.calling import Caller
from proctor_gateway.callpath import probing
from proctor_gateway.callpath.probing import Applied, NotApplied
from proctor_gateway.context import Context
from proctor_gateway.ledger import Entry
from proctor_gateway.rules import outcomes
from proctor_gateway.rules.calls import CallState, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault

log = structlog.get_logger(__name__)

_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each further try within one attempt of the task; a later attempt tries again."""

Found = tuple[Outcome, Mapping[str, Any] | None]


def idempotency_key(entry: Entry) -> str:
    """The key under which a system may recognise a repeated call: the same in every attempt of the task."""
    intent = entry.intent
    return digest.short(
        [intent.task, intent.connector, intent.name, digest.sha256(intent.arguments), entry.occurrence], 32
    )


async def before(context: Context, caller: Caller, connector: Connector, entry: Entry) -> Found | None:
    """What became of a call that an earlier attempt has sent; None if it is to be sent (again)."""
    if not entry.is_open or entry.intent.effect is not Effect.VERIFY:
        return None
    try:
        return await _verified(context, caller, connector, entry)
    except asyncio.CancelledError:
        return _stopped(entry)


async def after(
    context: Context,
    caller: Caller,
    connector: Connector,
    entry: Entry,
    found: Found,
    again: Callable[[], Awaitable[Found]],
) -> Found:
    """What became of the call, after all that may be done to find it out."""
    try:
        return await _found_out(context, caller, connector, entry, found, again)
    except asyncio.CancelledError:
        return _stopped(entry)


async def _found_out(
    context: Context,
    caller: Caller,
    connector: Connector,
    entry: Entry,
    found: Found,
    again: Callable[[], Awaitable[Found]],
) -> Found:
    for pause in _PAUSES:
        outcome = found[0]
        left = (entry.deadline - context.clock.now()).total_seconds()
        if outcome.state is not CallState.UNKNOWN or _was_stopped(outcome) or left <= pause:
            return found
        match entry.intent.effect:
            case Effect.IDEMPOTENT:
                log.info("an effect of unknown outcome is sent again under its key", call=entry.id)
                await asyncio.sleep(pause)
                found = await again()
            case Effect.VERIFY:
                await asyncio.sleep(pause)
                known = await _verified(context, caller, connector, entry)
                found = await again() if known is None else known
            case _:
                return found
    return found


async def _verified(context: Context, caller: Caller, connector: Connector, entry: Entry) -> Found | None:
    """The outcome as the probe tells it; None if it says that nothing was done, and nothing can be under way."""
    quiet_at = entry.sent_at + connector.spec.limits.timeout
    while True:
        began = context.clock.now()
        said = await probing.ask(context, caller, connector, entry, idempotency_key(entry))
        log.info("an effect of unknown outcome was probed", call=entry.id, said=type(said).__name__)
        match said:
            case Applied(result=result):
                shown = outcomes.shown(result, context.settings.max_shown)
                return Outcome(CallState.SUCCEEDED, result=shown), result
            case NotApplied() if began >= quiet_at:
                return None
            case NotApplied() if quiet_at < entry.deadline:
                # A request that was given up may still be at work: its answer counts only when it cannot be any more.
                await asyncio.sleep(max((quiet_at - context.clock.now()) / timedelta(seconds=1), 0.05))
            case _:
                fault = Fault(Reason.OUTCOME_UNKNOWN, f"{connector.metadata.name}: the probe cannot tell: {said.why}")
                return outcomes.unknown(entry.intent.effect, fault), None


def _stopped(entry: Entry) -> Found:
    # It was sent, whatever the one who waits for it does: only its own answer can say that nothing happened.
    fault = Fault(Reason.INTERRUPTED, "stopped before its outcome was known")
    return outcomes.of_failure(entry.intent.effect, fault, touched=True), None


def _was_stopped(outcome: Outcome) -> bool:
    return outcome.fault is not None and outcome.fault.reason is Reason.INTERRUPTED
