"""From an admission request to its answer: what is known of other objects, and what they mean for this one.

It reads the cache, which every replica keeps warm, and asks the API server only for a Connector that the cache has not
heard of yet. What cannot be read is not judged here: the operator says so in the object's conditions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.api.policy import ClusterPolicy, Policy
from proctor.plan.world import Manifest
from proctor.policy import crossing, uses
from proctor.policy.crossing import Judged
from proctor.policy.effective import merge, source_of
from proctor.policy.finding import Finding
from proctor.policy.selection import AnyPolicy
from proctor.shell.cache import Cache, Key
from proctor.shell.errors import ProctorError
from proctor.shell.policies import labels_of, policies_of
from proctor.shell.ports import Clock, Kube

_READ_SECONDS: Final = 1.0
_LOOKING: Final = timedelta(seconds=1.5)
"""How long agents are looked at for one Connector: the API server waits two seconds."""
_AT_A_TIME: Final = 50
"""Agents that are looked at before others may work: thousands at once would stop the process for seconds."""
_MOST_WARNINGS: Final = 10
_LONGEST_WARNING: Final = 256
"""Characters: the API server cuts off longer ones when there are several."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """What is said to a change."""

    refusal: str | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """For the audit log alone."""


class Admission:
    """Answers requests. The same question has the same answer in every replica that has heard the same."""

    def __init__(self, kube: Kube, cache: Cache, clock: Clock) -> None:
        self._kube = kube
        self._cache = cache
        self._clock = clock

    async def answer(self, request: Mapping[str, Any]) -> Answer:
        """What is said to the object of the request."""
        body = request.get("object")
        kind = (request.get("kind") or {}).get("kind")
        if not isinstance(body, dict):
            return Answer()
        body.setdefault("metadata", {}).setdefault("namespace", request.get("namespace") or "")
        try:
            match kind:
                case "Agent":
                    return await self._agent(Agent.parse(_complete(body, request)))
                case "Connector":
                    return await self._connector(Connector.parse(_complete(body, request)))
                case "Policy":
                    return self._policy(Policy.parse(_complete(body, request)))
                case "ClusterPolicy":
                    return self._policy(ClusterPolicy.parse(_complete(body, request)))
        except Invalid as exc:
            log.info("object not judged: this version cannot read it", kind=kind, error=str(exc)[:500])
        return Answer()

    async def _agent(self, agent: Agent) -> Answer:
        where = _where(agent)
        faults = [f"{field}: {fault}" for field, fault in crossing.faults_of_agent(agent)]
        if faults:
            return Answer(f"{where}: {'; '.join(faults)}")
        namespace = agent.metadata.namespace
        connectors = await self._connectors(namespace, _used(agent))
        policies, _ = policies_of(self._cache, namespace)
        return _told(where, self._judged(agent, connectors, policies), policies)

    def _judged(self, agent: Agent, connectors: Mapping[str, Connector], policies: Sequence[AnyPolicy]) -> Judged:
        now, labels = self._clock.now(), labels_of(self._cache, agent.metadata.namespace)
        return crossing.judge(agent, connectors, merge(policies, agent, now, labels), now)

    async def _connector(self, connector: Connector) -> Answer:
        """What a Connector says of itself is never refused, for then it would go on saying what is not so."""
        namespace, name = connector.metadata.namespace, connector.metadata.name
        policies, _ = policies_of(self._cache, namespace)
        keys = self._cache.keys("Agent", namespace) if policies else []
        until, warnings = self._clock.now() + _LOOKING, list[str]()
        for number, key in enumerate(keys):
            if number % _AT_A_TIME == 0 and number:
                await asyncio.sleep(0)
                if self._clock.now() > until:
                    left = f"{len(keys) - number} of {len(keys)} agents of {namespace} were not looked at in time"
                    return Answer(warnings=(*_first(warnings), f"{left}: their status will say what they break"))
            agent = self._agent_with(name, key)
            if agent is not None:
                warnings += self._newly(agent, connector, policies)
        return Answer(warnings=_first(warnings))

    def _newly(self, agent: Agent, connector: Connector, policies: Sequence[AnyPolicy]) -> list[str]:
        known = self._known(agent.metadata.namespace, _used(agent))
        after = self._judged(agent, {**known, connector.metadata.name: connector}, policies)
        if not after.refused:
            return []
        found = crossing.newly(self._judged(agent, known, policies), after)
        return [_warning(f"{_where(agent)} will break", each) for each in found]

    def _policy(self, policy: AnyPolicy) -> Answer:
        faults = [f"{field} {fault}" for field, fault in crossing.faults_of_policy(policy, self._clock.now())]
        return Answer(f"{source_of(policy).text}: {'; '.join(faults)}" if faults else None)

    def _agent_with(self, connector: str, key: Key) -> Agent | None:
        body = self._cache.get(*key)
        if body is None or not _mentions(body, connector):
            return None
        try:
            return Agent.parse(body)
        except Invalid:
            return None

    def _known(self, namespace: str, wanted: Iterable[str]) -> dict[str, Connector]:
        bodies = {name: self._cache.get("Connector", namespace, name) for name in wanted}
        return {name: found for name, body in bodies.items() if body is not None and (found := _read(body))}

    async def _connectors(self, namespace: str, wanted: frozenset[str]) -> dict[str, Connector]:
        found = self._known(namespace, wanted)
        # Applied in the same breath as the agent, it may not have come through the watch yet.
        missing = sorted(wanted - found.keys())
        for name, body in zip(missing, await asyncio.gather(*(self._now(namespace, n) for n in missing)), strict=True):
            connector = _read(body) if body is not None else None
            if connector is not None:
                found[name] = connector
        return found

    async def _now(self, namespace: str, name: str) -> Manifest | None:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await self._kube.get("Connector", namespace, name)
        except (ProctorError, TimeoutError) as exc:
            log.warning("connector not read", connector=f"{namespace}/{name}", error=str(exc))
            return None


def _complete(body: Manifest, request: Mapping[str, Any]) -> Manifest:
    """The object as if it were stored: what is being created has neither uid nor version, and perhaps no name yet."""
    metadata = {"name": request.get("name") or "(unnamed)", "uid": "", "resourceVersion": "0", "generation": 1}
    return {**body, "metadata": {**metadata, **{k: v for k, v in body["metadata"].items() if v is not None}}}


def _read(body: Manifest) -> Connector | None:
    try:
        return Connector.parse(body)
    except Invalid:
        return None


def _used(agent: Agent) -> frozenset[str]:
    models = (model.connector for _, model in uses.models_of(agent))
    return frozenset([*models, *(grant.connector for grant in agent.spec.tools)])


def _mentions(body: Manifest, connector: str) -> bool:
    spec = body.get("spec", {})
    named = [spec.get("model", {}), *(spec.get("tools") or ())]
    named += [each.get("model", {}) for each in spec.get("fallbacks") or ()]
    return any(each.get("connector") == connector for each in named)


def _where(agent: Agent) -> str:
    return f"Agent {agent.metadata.namespace}/{agent.metadata.name}"


def _told(where: str, judged: Judged, policies: Iterable[AnyPolicy]) -> Answer:
    warnings = tuple(_warning(where, each) for each in judged.warned)
    notes = tuple(_line(each) for each in judged.noted)
    if not judged.refused:
        return Answer(None, warnings, notes)
    contacts = {source_of(each).text: each.spec.owner.contact for each in policies}
    whom = dict.fromkeys(f"{contacts[e.policy]} (owner of {e.policy})" for e in judged.refused if e.policy in contacts)
    said = "; ".join(_line(each) for each in judged.refused)
    return Answer(f"{where}: {said}. Change that, or ask {', '.join(whom)} for an exception", warnings, notes)


def _first(warnings: Sequence[str]) -> tuple[str, ...]:
    """As many as the API server hands on, and how many more there are."""
    more = len(warnings) - _MOST_WARNINGS
    rest = (f"and {more} more faults, which status.violations of the policies will name",) if more > 0 else ()
    return (*warnings[:_MOST_WARNINGS], *rest)


def _line(finding: Finding) -> str:
    at = f" at {finding.path}" if finding.path else ""
    return f"{finding.policy} {finding.rule}{at}: {finding.message}"


def _warning(where: str, finding: Finding) -> str:
    text = f"{where}: {_line(finding)}"
    return text if len(text) <= _LONGEST_WARNING else f"{text[: _LONGEST_WARNING - 1]}…"
