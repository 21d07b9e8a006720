"""The gateway as the operator sees it: it probes Connectors, and may be away or behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from proctor.api.connector import Connector
from proctor.plan.connector import NoProbe, Probe, ProbedTool
from proctor.plan.said import Batch, NoAnswer, Outcomes, Traffic, Trials
from tests.sim.cluster.kinds import Ref
from tests.sim.cluster.store import Store
from tests.sim.timeline import Timeline

_PROBE_SECONDS = 0.02


@dataclass
class System:
    """An outside system: what a probe of it finds."""

    reachable: bool = True
    reason: str = "Unreachable"
    tools: dict[str, str] = field(default_factory=dict)
    """Digests by tool."""
    models: tuple[str, ...] = ()


class SimulatedGateway:
    """The ports `Prober` and `Tasks`."""

    def __init__(self, timeline: Timeline, store: Store) -> None:
        self._timeline = timeline
        self._store = store
        self.systems: dict[str, System] = {}
        self.is_up = True
        self.generations_behind = 0

    async def probe(self, connector: Connector) -> Probe | NoProbe:
        """What the system shows now, by the Connector that the gateway knows."""
        await asyncio.sleep(_PROBE_SECONDS)
        if not self.is_up:
            return NoProbe("the gateway cannot be asked: ClientConnectorError")
        metadata = connector.metadata
        known = self._store.get(Ref("Connector", metadata.namespace, metadata.name))
        if known is None:
            return NoProbe("the gateway answered 404")
        system = self.systems.get(known["spec"]["url"], System(reachable=False))
        return Probe(
            generation=known["metadata"]["generation"] - self.generations_behind,
            reachable=system.reachable,
            reason="" if system.reachable else system.reason,
            message="" if system.reachable else f"{known['spec']['url']} did not answer",
            tools=tuple(ProbedTool(name, digest) for name, digest in system.tools.items()) if system.reachable else (),
            models=system.models if system.reachable else (),
            probed_at=self._timeline.now(),
        )

    async def outcomes(self, namespace: str, name: str, rollout: str, after: int) -> Outcomes | NoAnswer:
        """No tasks."""
        return Outcomes(as_of=self._timeline.now())

    async def traffic(self, namespace: str, name: str) -> Traffic | NoAnswer:
        """No traffic."""
        return Traffic(as_of=self._timeline.now(), gateways=1, agreed=True)

    async def begin(self, namespace: str, name: str, batch: Batch) -> NoAnswer | None:
        """Takes nothing."""
        return NoAnswer("the gateway answered 404", is_missing=True)

    async def trials(self, namespace: str, name: str, batch: str) -> Trials | NoAnswer:
        """Knows nothing."""
        return NoAnswer("the gateway answered 404", is_missing=True)
