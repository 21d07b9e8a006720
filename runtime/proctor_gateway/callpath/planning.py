"""planThenExecute: the plan of a task, made from trusted words alone, once, and kept for all its attempts."""

from __future__ import annotations

import structlog

from proctor.api.connector import Effect
from proctor.api.permissions import ToolRules
from proctor.policy import planning
from proctor.policy.effective import Effective
from proctor.policy.planning import Plan
from proctor_gateway.calling import Caller
from proctor_gateway.callpath import aside, policing
from proctor_gateway.context import Context
from proctor_gateway.rules.bundle import Bundle
from proctor_gateway.store import plans

log = structlog.get_logger(__name__)


async def ensure(context: Context, caller: Caller, bundle: Bundle, connector: str, tool: str) -> None:
    """Where a policy holds this call to a plan, there is one when this returns. Raises StoreAway.

    It is made when it is first needed. Nothing that was read until then goes into it, so that it might as well have
    been made before.
    """
    claims, effective = caller.claims, policing.effective_of(context, caller)
    found = context.known.connector(claims.namespace, connector)
    if not effective or found is None or not _is_held(effective, bundle.pinned(found, tool).effect):
        return
    if await context.database.read(lambda c: plans.get(c, claims.task)) is not None:
        return
    facts = await policing.task_facts(context, caller)
    if not facts.tainted:
        return
    plan = await _made(context, caller, bundle, facts.user)
    await context.database.write(lambda c: plans.put(c, claims.task, plan))
    log.info("planned", task=claims.task, steps=len(plan.steps), fault=plan.fault)


def _is_held(effective: Effective, effect: Effect) -> bool:
    rules = (rule.content.plan for rule in effective.of("tools", ToolRules))
    return any(each is not None and planning.covers(each, effect) for each in rules)


async def _made(context: Context, caller: Caller, bundle: Bundle, asked: str) -> Plan:
    namespace = caller.claims.namespace
    tools: list[tuple[str, Effect]] = []
    for grant in bundle.behaviour.tools:
        connector = context.known.connector(namespace, grant.connector)
        for name in sorted(grant.allow) if connector else ():
            effect = bundle.pinned(connector, name).effect if connector else Effect.ONCE
            tools.append((f"{grant.connector}/{name}", effect))
    said, fault = await aside.ask(context, caller, planning.messages(bundle.behaviour.instructions, asked, tools))
    return Plan(fault=fault) if fault is not None else planning.parse(said, [name for name, _ in tools])
