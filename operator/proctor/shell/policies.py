"""From the cache to what policies say: of one agent, and of all agents that a policy means."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.compliance import PolicyStanding
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.api.policy import ClusterPolicy, Policy
from proctor.plan.policy import PolicyWorld, Stood
from proctor.plan.standing import Standing, stand
from proctor.plan.world import Isolation, Manifest
from proctor.policy.selection import AnyPolicy, Marks, is_meant
from proctor.shell.cache import Cache, Key, key_of
from proctor.shell.ports import Ports

_PARSED: Final = 4096
_AT_A_TIME: Final = 100
"""Agents that a scan looks at before it lets others work: ten thousand at once would stop the process for seconds."""


class _Parsed:
    """Policies by their version: every agent asks for the same few, and to parse one costs far more than to keep it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Key, str], AnyPolicy | None] = OrderedDict()

    def of(self, body: Manifest) -> AnyPolicy | None:
        """The policy; None if this version cannot read it."""
        at = (key_of(body), f"{body['metadata']['uid']}/{body['metadata']['resourceVersion']}")
        if at not in self._kept:
            self._kept[at] = _read(body)
            if len(self._kept) > _PARSED:
                self._kept.popitem(last=False)
        return self._kept[at]


_parsed = _Parsed()


def _read(body: Manifest) -> AnyPolicy | None:
    kind: type[Policy | ClusterPolicy] = Policy if body["kind"] == "Policy" else ClusterPolicy
    try:
        return kind.parse(body)
    except Invalid:
        return None


def standing_of(
    agent: Agent, connectors: Mapping[str, Connector | None], measured: Isolation, ports: Ports
) -> Standing:
    """How the agent stands with its policies now."""
    cache, namespace = ports.cache, agent.metadata.namespace
    policies, unreadable = policies_of(cache, namespace)
    return stand(
        agent,
        {name: each for name, each in connectors.items() if each is not None},
        policies,
        labels_of(cache, namespace),
        unreadable,
        _isolation(agent, measured),
        ports.clock.now(),
    )


def policies_of(cache: Cache, namespace: str) -> tuple[list[AnyPolicy], tuple[str, ...]]:
    """The policies that may mean agents of the namespace, and those of them that this version cannot read."""
    bodies = [*cache.within("ClusterPolicy", ""), *cache.within("Policy", namespace)]
    found = [(body, _parsed.of(body)) for body in bodies]
    unreadable = tuple(f"{body['kind']} {body['metadata']['name']}" for body, policy in found if policy is None)
    return [policy for _, policy in found if policy is not None], unreadable


def _isolation(agent: Agent, measured: Isolation) -> NetworkIsolation:
    # While it is measured again, the last measurement holds.
    before = agent.status.sandbox
    if measured.probed_at is None and before is not None and before.probed_at is not None:
        return before.network_isolation
    return measured.state


def labels_of(cache: Cache, namespace: str) -> Mapping[str, str]:
    """The labels of the namespace."""
    body = cache.get("Namespace", "", namespace)
    labels: Mapping[str, str] = (body or {}).get("metadata", {}).get("labels") or {}
    return labels


async def observe_policy(policy: AnyPolicy, ports: Ports) -> PolicyWorld:
    """The policy and how the agents that it means stand, as their own statuses say."""
    cache = ports.cache
    keys = cache.keys("Agent", policy.metadata.namespace if isinstance(policy, Policy) else None)
    agents: list[Stood] = []
    for count, key in enumerate(keys):
        if count % _AT_A_TIME == _AT_A_TIME - 1:
            await asyncio.sleep(0)
        body = cache.get(*key)
        if body is not None and not body["metadata"].get("deletionTimestamp") and is_meant(policy, _marks(body, cache)):
            agents.append(Stood(key.namespace, key.name, _standing(body)))
    return PolicyWorld(policy, tuple(agents))


def _marks(body: Manifest, cache: Cache) -> Marks:
    metadata: dict[str, Any] = body["metadata"]
    namespace = metadata["namespace"]
    tier = body.get("spec", {}).get("riskTier", "Limited")
    return Marks(namespace, metadata["name"], metadata.get("labels") or {}, tier, labels_of(cache, namespace))


def _standing(body: Manifest) -> PolicyStanding | None:
    said = body.get("status", {}).get("policy")
    try:
        return PolicyStanding.model_validate(said) if said else None
    except ValidationError:
        # Another version wrote it: nobody can say until this one has looked.
        return None


def named_by(body: Manifest) -> frozenset[Key]:
    """The policies that an Agent's status speaks of."""
    standing = body.get("status", {}).get("policy") or {}
    return frozenset(_key(each["policy"]) for each in standing.get("effective", ()) if each.get("policy"))


def _key(text: str) -> Key:
    kind, *rest = text.split("/")
    return Key(kind, rest[0], rest[1]) if len(rest) > 1 else Key(kind, "", rest[0])
