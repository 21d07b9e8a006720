"""How is a tool called? Mediated, written down, sent with the credential, and its outcome written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proctor.api.connector import Connector, Effect
from proctor_gateway.calling import Caller, seconds_left
from proctor_gateway.callpath import asking_system, billing, disclosure, planning, quarantine, recovery, rehearsal
from proctor_gateway.callpath.admission import decide_tool, granted
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.context import Context
from proctor_gateway.ledger import Entry, Recorded
from proctor_gateway.rules import mediation, outcomes
from proctor_gateway.rules.bundle import Bundle
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.judgement import Refuse, ToolCall
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.upstream.outcome import McpFailed


@dataclass(frozen=True)
class Answer:
    """What became of the call, and the result as the system gave it, if it gave one."""

    call: str
    outcome: Outcome
    result: Mapping[str, Any] | None


async def list_tools(context: Context, caller: Caller, name: str) -> list[Mapping[str, Any]]:
    """The tools of the connector that the revision may call, as the system defines them. Raises Denied.

    A tool whose definition is not the pinned one is not shown: the model must not read what nobody has admitted.
    """
    bundle = await _bundle(context, caller)
    mediation.check_agent(context.known.agent(caller.claims.namespace, caller.claims.agent))
    connector, grant = granted(context, bundle, caller, name)
    offered = await context.catalog.of(connector)
    allowed = sorted(set(grant.allow) & offered.keys())
    admitted = [
        tool for tool in allowed if not mediation.is_drifted(bundle.pinned(connector, tool), offered[tool].digest)
    ]
    return [
        quarantine.without_promise(offered[tool].definition)
        if quarantine.rule_of(context, caller, name, tool)
        else offered[tool].definition
        for tool in admitted
    ]


async def call_tool(context: Context, caller: Caller, name: str, tool: str, arguments: Mapping[str, Any]) -> Answer:
    """Call the tool: admit, write down, send, settle, disclose. Raises Denied, and then nothing was sent."""
    bundle = await _bundle(context, caller)
    await planning.ensure(context, caller, bundle, name, tool)
    admission = await decide_tool(context, caller, bundle, ToolCall(name, tool, arguments))
    intent = Intent(caller.claims.task, caller.claims.attempt, Kind.TOOL, name, tool, admission.effect, dict(arguments))
    bill = billing.of_tool(context, caller, bundle, admission.connector, tool)
    try:
        verdict = rehearsal.judged(caller, admission.verdict)
        entry = await context.ledger.begin(caller.claims, intent, bundle.behaviour.limits, verdict, bill)
    except Denied as exc:
        if exc.reason is Reason.INPUT_REQUIRED:
            context.questions.set()
        raise
    if isinstance(entry, Recorded):
        return await _repeated(context, caller, entry)
    connector = admission.connector
    if connector is None:
        raise Denied(Reason.POLICY_DENIED, f"connector {name} does not exist")
    if entry.edited is not None:
        # People may set arguments right; they cannot allow what is denied.
        again = await decide_tool(context, caller, bundle, ToolCall(name, tool, entry.edited))
        if isinstance(again.verdict, Refuse):
            return await _withheld(context, entry, again.verdict.fault)
    # From here on the call goes to its end, whoever stops waiting for it.
    work = _carry_out(context, caller, connector, entry)
    return await context.flights.run(caller, admission.effect, work)


async def _bundle(context: Context, caller: Caller) -> Bundle:
    claims = caller.claims
    return await context.bundles.get(claims.namespace, claims.agent, claims.revision)


async def _withheld(context: Context, entry: Entry, fault: Fault) -> Answer:
    """The call was written down, and is not made after all."""
    outcome = outcomes.of_failure(entry.intent.effect, fault, touched=False)
    await context.ledger.settle(entry, outcome)
    return Answer(entry.id, outcome, None)


async def _repeated(context: Context, caller: Caller, recorded: Recorded) -> Answer:
    """The answer that an earlier attempt was given."""
    if recorded.body is None:
        return Answer(recorded.id, recorded.outcome, None)
    intent, result = recorded.intent, json.loads(recorded.body)
    rule = quarantine.rule_of(context, caller, intent.connector, intent.name)
    reading = await disclosure.of_tool(context, caller, intent, result, is_shown=rule is None)
    await disclosure.written_down(context, caller, reading)
    return Answer(recorded.id, recorded.outcome, await quarantine.shown(context, caller, intent, result, rule))


async def _carry_out(context: Context, caller: Caller, connector: Connector, entry: Entry) -> Answer:
    try:
        outcome, result = await _sent(context, caller, connector, entry)
    except Denied as exc:
        outcome, result = outcomes.of_failure(entry.intent.effect, Fault(exc.reason, exc.message), touched=False), None
    except asyncio.CancelledError:
        # Stopped in the turnstile: a call that was sent answers for itself.
        fault = Fault(Reason.INTERRUPTED, "stopped before it was sent")
        outcome, result = outcomes.of_failure(entry.intent.effect, fault, touched=False), None
    if result is None:
        await context.ledger.settle(entry, outcome)
        return Answer(entry.id, outcome, None)
    intent, body = entry.intent, json.dumps(result, ensure_ascii=False).encode()
    rule = quarantine.rule_of(context, caller, intent.connector, intent.name)
    try:
        reading = await disclosure.of_tool(context, caller, intent, result, is_shown=rule is None)
    except BaseException:
        # What became of it is written down, whatever the agent is shown of it.
        await context.ledger.settle(entry, outcome, body)
        raise
    if not await context.ledger.settle(entry, outcome, body, reading) and reading is not None:
        raise disclosure.unread()
    return Answer(entry.id, outcome, await quarantine.shown(context, caller, intent, result, rule))


async def _sent(
    context: Context, caller: Caller, connector: Connector, entry: Entry
) -> tuple[Outcome, Mapping[str, Any] | None]:
    stub = await rehearsal.stubbed(context, caller, entry)
    if stub is not None:
        return stub
    async with context.gates.turn(connector):
        found = await recovery.before(context, caller, connector, entry)
        if found is None:
            found = await exchanged(context, caller, connector, entry)
        again = lambda: exchanged(context, caller, connector, entry)  # noqa: E731 - the same call under the same key
        return await recovery.after(context, caller, connector, entry, found, again)


async def exchanged(
    context: Context, caller: Caller, connector: Connector, entry: Entry
) -> tuple[Outcome, Mapping[str, Any] | None]:
    """Send it once, and what came of it."""
    effect = entry.intent.effect
    rehearsal.check_may_leave(caller, effect)
    seconds = seconds_left(connector, entry.deadline, context.clock.now())
    key = recovery.idempotency_key(entry)
    fresh = effect is not Effect.READ
    try:
        found = await asking_system.ask_tool(
            context, caller, connector, entry.intent.name, entry.arguments, seconds, key=key, fresh=fresh
        )
    except SecretUnusable as exc:
        return outcomes.of_failure(effect, Fault(exc.reason, exc.message), touched=False), None
    except asyncio.CancelledError:
        fault = Fault(Reason.INTERRUPTED, "stopped while it was under way")
        return outcomes.of_failure(effect, fault, touched=True), None
    if isinstance(found, McpFailed):
        return outcomes.of_failure(effect, _fault(connector, found), touched=found.ran), None
    outcome = outcomes.of_tool_result(found, effect, context.settings.max_shown)
    return outcome, found if outcome.state is not CallState.UNKNOWN else None


def _fault(connector: Connector, failed: McpFailed) -> Fault:
    reason = Reason.TOOL_UNAVAILABLE if failed.reason is not Reason.TIMEOUT else Reason.TIMEOUT
    if failed.reason in {Reason.REJECTED, Reason.TOOL_ERROR}:
        reason = failed.reason
    return Fault(reason, f"{connector.metadata.name}: {failed.message}")
