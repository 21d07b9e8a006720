"""observe → plan → apply, for each kind of key."""

from __future__ import annotations

from datetime import datetime

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.approval import Approval
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.api.policy import ClusterPolicy, Policy
from proctor.plan import isolation, records
from proctor.plan.acknowledge import plan_invalid, plan_kept
from proctor.plan.agent import plan_agent, plan_refused
from proctor.plan.approval import plan_approval
from proctor.plan.connector import plan_connector
from proctor.plan.policy import plan_policy
from proctor.plan.reports import plan_report
from proctor.plan.rules import plan_rules
from proctor.plan.world import Manifest, Plan, World
from proctor.policy.selection import AnyPolicy
from proctor.shell.apply import apply
from proctor.shell.cache import Key
from proctor.shell.errors import Blocked
from proctor.shell.observe import observe_agent, observe_connector, observe_isolation, observe_kept
from proctor.shell.policies import observe_policy
from proctor.shell.ports import Ports
from proctor.shell.reports import REPORT
from proctor.shell.resources import RULES

ISOLATION = "Isolation"
"""The kind of the keys that stand for the probe of a namespace's network; there is no object of it."""


async def reconcile(key: Key, ports: Ports) -> datetime | None:
    """Brings one key to where it should be; when to look again, or None if there is nothing to look at."""
    if key.kind == ISOLATION:
        return await _isolation(key.namespace, ports)
    if key.kind == RULES.kind:
        return await _rules(key, ports)
    if key.kind == REPORT:
        return await _report(key, ports)
    body = ports.cache.get(*key)
    if body is None or body["metadata"].get("deletionTimestamp"):
        return None
    try:
        return await _object(key.kind, body, ports)
    except Invalid as exc:
        return await _carry_out(plan_invalid(observe_kept(body), str(exc), ports.clock.now()), body, ports)


async def _object(kind: str, body: Manifest, ports: Ports) -> datetime:
    match kind:
        case "Agent":
            return await _agent(body, ports)
        case "Connector":
            return await _connector(body, ports)
        case "Approval":
            return await _approval(body, ports)
        case "Policy":
            return await _policy(Policy.parse(body), body, ports)
        case "ClusterPolicy":
            return await _policy(ClusterPolicy.parse(body), body, ports)
        case _:
            return await _carry_out(plan_kept(observe_kept(body), ports.clock.now()), body, ports)


async def _agent(body: Manifest, ports: Ports) -> datetime:
    world = await observe_agent(Agent.parse(body), ports)
    try:
        return await _carry_out(plan_agent(world, ports.clock.now()), body, ports)
    except Blocked as exc:
        await _tell_refused(world, exc, body, ports)
        raise


async def _tell_refused(world: World, refusal: Blocked, body: Manifest, ports: Ports) -> None:
    plan = plan_refused(world, refusal.obstacle, ports.clock.now())
    await _carry_out(Plan(plan.wake_at, status=plan.status, events=plan.events), body, ports)


async def _connector(body: Manifest, ports: Ports) -> datetime:
    world = await observe_connector(Connector.parse(body), ports, ports.clock.now())
    return await _carry_out(plan_connector(world, ports.clock.now()), body, ports)


async def _approval(body: Manifest, ports: Ports) -> datetime:
    plan = plan_approval(Approval.parse(body), ports.clock.now())
    wake_at = await _carry_out(plan, body, ports)
    ports.notifier.tell({**body, "status": plan.status or {}}, plan.events, ports.clock.now())
    return wake_at


async def _policy(policy: AnyPolicy, body: Manifest, ports: Ports) -> datetime:
    world = await observe_policy(policy, ports)
    return await _carry_out(plan_policy(world, ports.clock.now()), body, ports)


async def _rules(key: Key, ports: Ports) -> datetime | None:
    """Apart from the Agent: rules that are refused are no reason to call an agent broken."""
    body = ports.cache.get("Agent", key.namespace, key.name)
    if body is None or body["metadata"].get("deletionTimestamp"):
        return None
    try:
        agent = Agent.parse(body)
    except Invalid:
        return None
    found = await ports.kube.get(RULES.kind, key.namespace, names.of_agent(key.name))
    return await _carry_out(plan_rules(agent, found, ports.clock.now()), body, ports)


async def _report(key: Key, ports: Ports) -> datetime | None:
    """Apart from the Agent, as its rules are."""
    body, of = ports.cache.get("Agent", key.namespace, key.name), ports.reports.kind
    if body is None or body["metadata"].get("deletionTimestamp") or of is None:
        return None
    try:
        agent = Agent.parse(body)
    except Invalid:
        return None
    found = await ports.kube.get(of.kind, key.namespace, names.of_agent(key.name))
    called = ports.reports.of(key.namespace, key.name)
    return await _carry_out(plan_report(agent, called, found, of, ports.clock.now()), body, ports)


async def _isolation(namespace: str, ports: Ports) -> datetime:
    world = observe_isolation(namespace, ports)
    owner = ports.cache.get("Agent", namespace, isolation.owner(world).metadata.name) if world.agents else None
    return await _carry_out(isolation.plan_isolation(world, ports.clock.now()), owner or {}, ports)


async def _carry_out(plan: Plan, body: Manifest, ports: Ports) -> datetime:
    await apply(plan, body, ports)
    if body:
        now = body if plan.status is None else {**body, "status": plan.status}
        uid = body["metadata"]["uid"]
        ports.outbox.put(uid, records.of_object(now, ports.cache.owned(uid), ports.clock.now()))
    return plan.wake_at
