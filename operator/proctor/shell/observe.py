"""From a key to a World: reads only, and from the cache wherever the cache can know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.meta import Invalid, Object, ObjectMeta, Status
from proctor.plan import isolation, rehearsal, restoring, upgrade
from proctor.plan.acknowledge import KeptWorld
from proctor.plan.connector import ConnectorWorld, is_probe_due
from proctor.plan.examination import Examination, Seat
from proctor.plan.isolation import IsolationWorld
from proctor.plan.progress import rollout_of
from proctor.plan.said import Heard, Sitting, Trials
from proctor.plan.upgrade import Questions
from proctor.plan.world import Manifest, NoRoute, Restorable, World
from proctor.shell.errors import Blocked
from proctor.shell.judging import judged
from proctor.shell.policies import standing_of
from proctor.shell.ports import Ports
from proctor.shell.resources import ROUTES

_Kind = TypeVar("_Kind", bound=Object)


async def observe_agent(agent: Agent, ports: Ports) -> World:
    """All that is known of the Agent and its surroundings."""
    cache, namespace = ports.cache, agent.metadata.namespace
    owned = cache.owned(agent.metadata.uid)
    bundles = restoring.owned_bundles(owned, agent, ports.platform)
    connectors = _connectors((agent, *bundles.values()), ports)
    probe = cache.get("Pod", namespace, isolation.probe_name(namespace))
    asked = upgrade.questions(agent, owned)
    # Read live, as instructions are.
    suites = {name: await ports.kube.get("ConfigMap", namespace, source) for name, source in asked.suites}
    return World(
        agent=agent,
        instructions=await _instructions(agent, ports),
        connectors={name: found for name, found in connectors.items() if found is not None},
        children=owned,
        pods=cache.of_agent("Pod", namespace, agent.metadata.name),
        network_policies=tuple(cache.within("NetworkPolicy", namespace)),
        isolation=isolation.measure(probe),
        runtime_classes=frozenset(key.name for key in cache.keys("RuntimeClass")),
        platform=ports.platform,
        heard=await _heard(agent, asked, suites, owned, ports),
        suites=suites,
        standing=standing_of(agent, connectors, isolation.measure(probe), ports),
        restorable={
            name: Restorable(each, standing_of(each, connectors, isolation.measure(probe), ports))
            for name, each in bundles.items()
        },
        indications=ports.indicators.of(namespace, agent.metadata.name),
        spending=ports.usages.of(namespace, agent.metadata.name),
        unreadable=frozenset(name for name, found in connectors.items() if found is None),
        route=await _route(agent, ports),
    )


async def _route(agent: Agent, ports: Ports) -> Manifest | NoRoute | None:
    """The HTTPRoute that splits the agent's tasks, read live; None for an agent that names none."""
    traffic = agent.spec.rollout.traffic
    if traffic is None:
        return None
    namespace, name = agent.metadata.namespace, traffic.http_route.name
    try:
        found = await ports.kube.get(ROUTES.kind, namespace, name)
    except Blocked as exc:
        return NoRoute("RouteForbidden", f"HTTPRoute {namespace}/{name} may not be read: {exc}")
    if found is not None:
        return found
    if await ports.kube.serves(ROUTES.kind):
        return NoRoute("RouteNotFound", f"there is no HTTPRoute {namespace}/{name}; create it")
    message = f"the cluster has no kind HTTPRoute of {ROUTES.api_version}: install the Gateway API's CRDs"
    return NoRoute("GatewayAPIMissing", message)


async def _heard(
    agent: Agent,
    asked: Questions,
    suites: Mapping[str, Manifest | None],
    owned: tuple[Manifest, ...],
    ports: Ports,
) -> Heard:
    """What the gateway says of the agent's upgrade; nothing is asked while none is under way."""
    namespace, name = agent.metadata.namespace, agent.metadata.name
    batch = rehearsal.batch_to_read(agent, rollout_of(agent.status))
    candidate, stable = await _sittings(agent, suites, owned, ports)
    return Heard(
        outcomes=await ports.tasks.outcomes(namespace, name, *asked.outcomes) if asked.outcomes else None,
        traffic=await ports.tasks.traffic(namespace, name) if asked.traffic else None,
        finished=await ports.tasks.finished(namespace, name, asked.finished) if asked.finished else None,
        trials=await ports.tasks.trials(namespace, name, batch) if batch else None,
        exam=candidate,
        baseline=stable,
    )


async def _sittings(
    agent: Agent, suites: Mapping[str, Manifest | None], owned: tuple[Manifest, ...], ports: Ports
) -> tuple[Sitting, Sitting]:
    """What is heard of the candidate's exam, and of the stable revision's, if it is asked, too."""
    exam = upgrade.examination_of(agent, rollout_of(agent.status), suites, owned)
    if exam is None:
        return Sitting(), Sitting()
    of_candidate = await _sitting(exam, exam.candidate, ports)
    exam = replace(exam, of_candidate=of_candidate)
    return of_candidate, await _sitting(exam, exam.stable, ports) if exam.needs_stable else Sitting()


async def _sitting(exam: Examination, seat: Seat, ports: Ports) -> Sitting:
    agent, batch = exam.agent, seat.open_batch
    if batch is None:
        return Sitting()
    trials = await ports.tasks.trials(agent.metadata.namespace, agent.metadata.name, batch)
    asked = exam.questions(trials) if isinstance(trials, Trials) else ()
    return Sitting(trials, await judged(agent, asked, ports) if asked else None)


async def observe_connector(connector: Connector, ports: Ports, now: datetime) -> ConnectorWorld:
    """The Connector, measured anew if a measurement is due."""
    probe = await ports.prober.probe(connector) if is_probe_due(connector, now) else None
    return ConnectorWorld(connector, probe)


def observe_isolation(namespace: str, ports: Ports) -> IsolationWorld:
    """The namespace's agents and the probe of its network."""
    name, cache = isolation.probe_name(namespace), ports.cache
    agents = (_readable(Agent, body) for body in cache.within("Agent", namespace))
    return IsolationWorld(
        namespace=namespace,
        agents=tuple(agent for agent in agents if agent is not None and not agent.is_deleting),
        pod=cache.get("Pod", namespace, name),
        policy=cache.get("NetworkPolicy", namespace, name),
        platform=ports.platform,
    )


def observe_kept(body: Manifest) -> KeptWorld:
    """An object of a kind that nothing acts on yet."""
    status = body.get("status", {})
    return KeptWorld(body["kind"], ObjectMeta.model_validate(body["metadata"]), Status.model_validate(status), status)


async def _instructions(agent: Agent, ports: Ports) -> str | None:
    source = agent.spec.instructions_from
    if source is None:
        return agent.spec.instructions
    ref = source.config_map_key_ref
    # Read live: to watch every ConfigMap of the cluster for the few that are referred to would cost far more.
    found = await ports.kube.get("ConfigMap", agent.metadata.namespace, ref.name)
    text: str | None = (found or {}).get("data", {}).get(ref.key)
    return text


def _connectors(forms: tuple[Agent, ...], ports: Ports) -> dict[str, Connector | None]:
    """The Connectors of an agent in all these forms, as far as they exist.

    None for what cannot be read, which is no fault of the Agent's.
    """
    namespace, specs = forms[0].metadata.namespace, [each.spec for each in forms]
    names = {each.model.connector for each in specs} | {grant.connector for each in specs for grant in each.tools}
    bodies = ((name, ports.cache.get("Connector", namespace, name)) for name in sorted(names))
    return {name: _readable(Connector, body) for name, body in bodies if body is not None}


def _readable(kind: type[_Kind], body: Manifest) -> _Kind | None:
    try:
        return kind.parse(body)
    except Invalid:
        return None
