"""Stage "admit" of the call path, the policies' part: what they say to a call, given what the task has read so far.

An agent under no policy pays nothing for this. What only watches or warns is counted and lets the call pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.approval import Asking
from proctor.api.bounds import SandboxBounds
from proctor.api.connector import Connector, Effect
from proctor.api.permissions import ToolRules
from proctor.policy import runtime
from proctor.policy.effective import Effective
from proctor.policy.facts import ModelCall, TaskFacts, ToolCall
from proctor.policy.finding import Finding
from proctor.policy.runtime import decide
from proctor_gateway.calling import Caller
from proctor_gateway.context import Context
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.judgement import Allow, Ask, Refuse, Verdict
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.state.governed import Governed
from proctor_gateway.store import plans, readings

log = structlog.get_logger(__name__)


async def of_tool(
    context: Context, caller: Caller, connector: Connector, tool: str, effect: Effect, arguments: Mapping[str, Any]
) -> Verdict:
    """What the policies say to this call of a tool."""
    declared = connector.spec.tool(tool)
    call = ToolCall(connector.metadata.name, tool, effect, declared.data, arguments)
    return await _judged(context, caller, call, effect)


async def of_model(
    context: Context, caller: Caller, connector: Connector, model: str, body: Mapping[str, Any]
) -> Verdict:
    """What the policies say to this question to a model."""
    metadata = connector.metadata
    call = ModelCall(metadata.name, metadata.labels, model, tuple(texts_of(body)))
    return await _judged(context, caller, call, Effect.READ)


async def _judged(context: Context, caller: Caller, call: ModelCall | ToolCall, effect: Effect) -> Verdict:
    claims = caller.claims
    agent = context.known.agent(claims.namespace, claims.agent)
    if agent is None:
        return Refuse(Fault(Reason.POLICY_DENIED, "the agent does not exist any more"))
    governed = context.policies.of(agent, context.clock.now())
    doubt = _doubt(context, governed, effect) or _unfenced(agent, governed)
    if doubt is not None:
        return Refuse(Fault(Reason.POLICY_DENIED, doubt))
    if not governed.effective:
        return Allow()
    facts = await task_facts(context, caller, call)
    if isinstance(call, ToolCall) and facts.tainted and _plans(governed.effective):
        facts = await _with_plan(context, caller, call, facts)
    decision = decide(call, facts, governed.effective, governed.body)
    match decision:
        case runtime.Allow(noted=noted):
            await _note(context, caller, noted)
            return Allow()
        case runtime.Refuse(findings=findings, noted=noted):
            await _note(context, caller, (*findings, *noted))
            return Refuse(Fault(Reason.POLICY_DENIED, decision.message, _rules(findings)))
        case runtime.Ask(findings=findings, asking=asking, noted=noted):
            await _note(context, caller, (*findings, *noted))
            return Ask(decision.message, _strictest(asking), _rules(findings))


def _rules(findings: Iterable[Finding]) -> str:
    """By name, each once."""
    return ", ".join(dict.fromkeys(f"{each.policy} {each.rule}" for each in findings))


def _doubt(context: Context, governed: Governed, effect: Effect) -> str | None:
    """Why nobody can say whether the call may be made: policies that cannot be read, or that may be out of date."""
    if governed.unreadable and effect is not Effect.READ:
        return f"this version cannot read {', '.join(governed.unreadable)}: upgrade the gateway, or mend the policy"
    age = context.policies.age
    if not governed.effective or age <= context.settings.policy_ttl:
        return None
    if effect is Effect.READ and governed.effective.reads_when_stale:
        return None
    since = "since the start" if age == float("inf") else f"for {age:.0f} s"
    return f"nothing was heard of the policies {since}, so nobody knows whether they still allow this"


def _unfenced(agent: Agent, governed: Governed) -> str | None:
    """Why an agent whose network was not measured as isolated calls nothing, where a policy demands that it was."""
    measured = agent.status.sandbox.network_isolation if agent.status.sandbox else NetworkIsolation.UNKNOWN
    if measured is NetworkIsolation.VERIFIED:
        return None
    for rule in governed.effective.of("sandbox", SandboxBounds):
        if rule.content.require_verified_isolation and rule.binds("requireVerifiedIsolation"):
            demanded = f"{rule.source.text} sandbox/requireVerifiedIsolation"
            return f"{demanded}: the network's isolation must be measured as Verified, and is {measured}"
    return None


def _plans(effective: Effective) -> bool:
    return any(rule.content.plan is not None for rule in effective.of("tools", ToolRules))


async def _with_plan(context: Context, caller: Caller, call: ToolCall, facts: TaskFacts) -> TaskFacts:
    task, attempt = caller.claims.task, caller.claims.attempt
    plan = await context.database.read(lambda c: plans.get(c, task))
    made = await context.database.read(lambda c: plans.made(c, task, attempt, call.connector, call.tool))
    return replace(facts, plan=plan, made=made)


def effective_of(context: Context, caller: Caller) -> Effective | None:
    """What the policies ask of the caller's agent now; None if there is no such agent any more."""
    agent = context.known.agent(caller.claims.namespace, caller.claims.agent)
    return context.policies.of(agent, context.clock.now()).effective if agent is not None else None


async def task_facts(context: Context, caller: Caller, call: ModelCall | ToolCall | None = None) -> TaskFacts:
    """What the task knows, before this call if one is about to be made."""
    claims = caller.claims
    bundle = await context.bundles.get(claims.namespace, claims.agent, claims.revision)
    asked = readings.Asked(call.connector, call.tool, call.arguments) if isinstance(call, ToolCall) else None
    read = await context.database.read(readings.own_facts(claims.task, claims.attempt, asked))
    if read is None:
        read = await context.database.read(lambda c: readings.facts(c, claims.task, claims.attempt, asked))
    facts = TaskFacts(user=read.user, operator=bundle.behaviour.instructions, repeated=read.repeated, body=read.body)
    for answer in read.answers:
        facts = facts.having_read(answer)
    return facts


async def _note(context: Context, caller: Caller, findings: Iterable[Finding]) -> None:
    """Count what policies found, whether it stopped the call or not. That the count is away stops nothing."""
    found = tuple(findings)
    if not found:
        return
    claims, now = caller.claims, context.clock.now()
    for each in found:
        context.metrics.policy(claims, each)
        log.info("policy finding", task=claims.task, policy=each.policy, rule=each.rule, mode=each.mode)
    try:
        await context.database.write(lambda c: readings.note(c, claims.namespace, claims.agent, found, now))
    except StoreAway:
        log.warning("findings are not counted", task=claims.task, count=len(found))


def _strictest(asking: tuple[Asking, ...]) -> Asking | None:
    """One question for several: the one that most must agree to; of equals the first in order."""
    return max(asking, key=lambda each: (each.quorum, each.four_eyes, -each.timeout.total_seconds()), default=None)


def texts_of(body: Mapping[str, Any]) -> Iterable[str]:
    """Every text of a question to a model: what is said, and the arguments of the calls in it."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif content is not None:
            yield json.dumps(content, ensure_ascii=False)
        if message.get("tool_calls"):
            yield json.dumps(message["tool_calls"], ensure_ascii=False)
