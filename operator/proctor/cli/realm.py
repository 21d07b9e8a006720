"""One namespace as the planners need it: what is there, and what would be there if some manifests were applied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.api.policy import ClusterPolicy, Policy
from proctor.cli.resources import AGENTS, CONFIG_MAPS, CONNECTORS
from proctor.plan import isolation, restoring
from proctor.plan.standing import Standing, stand
from proctor.plan.world import Manifest, Platform, Restorable, World, name_of

_PREFIX = "PROCTOR_OPERATOR_"
UNKNOWN_IMAGE = "(the installation's own)"
"""Stands for the default agent's image where the installation could not be asked."""


@dataclass(frozen=True)
class Realm:
    """All of a namespace that bears on its agents."""

    namespace: str
    platform: Platform
    agents: Mapping[str, Manifest]
    connectors: Mapping[str, Manifest]
    config_maps: Mapping[str, Manifest]
    """Those that instructions are read from, as far as they exist."""
    owned: tuple[Manifest, ...] = ()
    """Every object that proctor manages here."""
    pods: tuple[Manifest, ...] = ()
    network_policies: tuple[Manifest, ...] = ()
    runtime_classes: frozenset[str] = frozenset()
    policies: tuple[Manifest, ...] = ()
    """Those that may mean its agents: its own, and those of the cluster."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    read_at: datetime | None = None
    """When all this was read: a policy's mode and its exceptions depend on the time."""

    def with_objects(self, objects: Iterable[Manifest]) -> Realm:
        """The namespace when these objects have been applied; kinds that no planner asks for change nothing."""
        kept = {
            AGENTS.kind: dict(self.agents),
            CONNECTORS.kind: dict(self.connectors),
            CONFIG_MAPS.kind: dict(self.config_maps),
        }
        for each in objects:
            if each["kind"] in kept:
                kept[each["kind"]][name_of(each)] = each
        return replace(
            self,
            agents=kept[AGENTS.kind],
            connectors=kept[CONNECTORS.kind],
            config_maps=kept[CONFIG_MAPS.kind],
        )

    def world(self, name: str) -> World:
        """What is known when this Agent is planned. Raises Invalid if it, or a Connector of its own, cannot be read."""
        agent = Agent.parse(dict(self.agents[name]))
        owned = tuple(each for each in self.owned if _is_owned(each, agent))
        forms = restoring.owned_bundles(owned, agent, self.platform)
        return World(
            agent=agent,
            instructions=self._instructions(agent),
            connectors=self._connectors(agent, *forms.values()),
            children=owned,
            pods=tuple(each for each in self.pods if each["metadata"].get("labels", {}).get(names.AGENT) == name),
            network_policies=self.network_policies,
            isolation=isolation.measure(self._probe()),
            runtime_classes=self.runtime_classes,
            platform=self.platform,
            standing=self._standing(agent),
            restorable={name: Restorable(each, self._standing(each)) for name, each in forms.items()},
        )

    def _standing(self, agent: Agent) -> Standing:
        if not self.policies or self.read_at is None:
            return Standing()
        policies = [
            Policy.parse(each) if each["kind"] == "Policy" else ClusterPolicy.parse(each) for each in self.policies
        ]
        sandbox, measured = agent.status.sandbox, isolation.measure(self._probe())
        found = sandbox.network_isolation if sandbox and measured.probed_at is None else measured.state
        return stand(agent, self._connectors(agent), policies, self.namespace_labels, (), found, self.read_at)

    def _instructions(self, agent: Agent) -> str | None:
        source = agent.spec.instructions_from
        if source is None:
            return agent.spec.instructions
        ref = source.config_map_key_ref
        text: str | None = self.config_maps.get(ref.name, {}).get("data", {}).get(ref.key)
        return text

    def _connectors(self, *forms: Agent) -> dict[str, Connector]:
        specs = [each.spec for each in forms]
        used = {each.model.connector for each in specs} | {grant.connector for each in specs for grant in each.tools}
        return {name: Connector.parse(self.connectors[name]) for name in sorted(used) if name in self.connectors}

    def _probe(self) -> Manifest | None:
        name = isolation.probe_name(self.namespace)
        return next((each for each in self.pods if name_of(each) == name), None)


def config_maps_of(agents: Iterable[Manifest]) -> frozenset[str]:
    """The ConfigMaps that these Agents read their instructions from."""
    found = set()
    for body in agents:
        try:
            source = Agent.parse(body).spec.instructions_from
        except Invalid:
            continue
        if source:
            found.add(source.config_map_key_ref.name)
    return frozenset(found)


def platform_of(operator: Manifest | None) -> Platform:
    """What the installation decides, as its operator's Deployment says it; without one, the defaults."""
    if operator is None:
        return Platform(agent_image=UNKNOWN_IMAGE)
    namespace = operator["metadata"]["namespace"]
    said = _settings(operator)
    host = f"{names.GATEWAY}.{said.get('NAMESPACE', namespace)}.svc"
    return Platform(
        agent_image=said.get("AGENT_IMAGE", UNKNOWN_IMAGE),
        namespace=said.get("NAMESPACE", namespace),
        gateway_host=host,
        public_url=f"http://{host}:{names.CALLER_PORT}",
        isolated_runtime_class=said.get("ISOLATED_RUNTIME_CLASS"),
        dns_cidrs=tuple(json.loads(said.get("DNS_CIDRS", "[]"))),
    )


def _settings(operator: Manifest) -> dict[str, str]:
    containers = operator["spec"]["template"]["spec"]["containers"]
    variables = (each for container in containers for each in container.get("env", ()) if "value" in each)
    return {each["name"].removeprefix(_PREFIX): each["value"] for each in variables if each["name"].startswith(_PREFIX)}


def _is_owned(body: Manifest, agent: Agent) -> bool:
    if not agent.metadata.uid:
        return False
    return any(each.get("uid") == agent.metadata.uid for each in body["metadata"].get("ownerReferences", ()))
