"""The gateway as the operator sees it: it probes Connectors, and may be away or behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from proctor.api.connector import Connector
from proctor.delivery.exam import Question
from proctor.plan.connector import NoProbe, Probe, ProbedTool
from proctor.plan.indications import AgentTallies, IndicatorsAnswer, Tally
from proctor.plan.said import Batch, Finished, Judged, NoAnswer, Outcomes, Traffic, Trials, Watched
from tests.sim.cluster.kinds import Ref
from tests.sim.cluster.store import Store
from tests.sim.timeline import Timeline
from tests.sim.traffic import LiveTasks

_PROBE_SECONDS = 0.02
_ANSWER_SECONDS = 0.01


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
        self.agents: dict[Ref, LiveTasks] = {}
        self.counted = (100, 100)
        """Good events of all events, of whatever objective."""

    def go(self) -> None:
        """It answers nobody any more."""
        self.is_up = False

    def come_back(self) -> None:
        """It answers again."""
        self.is_up = True

    async def indicators(self, body: dict[str, Any]) -> IndicatorsAnswer | NoAnswer:
        """The same counts for each objective of each agent, in every window."""
        await asyncio.sleep(_PROBE_SECONDS)
        if not self.is_up:
            return NoAnswer("the gateway cannot be asked: ClientConnectorError")
        good, total = self.counted

        def told(asked: dict[str, Any]) -> dict[str, dict[str, Tally]]:
            windows = dict.fromkeys(asked["windows"], Tally(good=good, total=total))
            return {each["name"]: windows for each in asked["indicators"]}

        agents = (
            AgentTallies(
                namespace=each["namespace"],
                name=each["name"],
                counts=told(each),
                stable=told(each),
                newest=self._timeline.now(),
            )
            for each in body["agents"]
        )
        return IndicatorsAnswer(as_of=self._timeline.now(), agents=tuple(agents))

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

    def live(self, agent: Ref) -> LiveTasks:
        """The tasks of an agent."""
        return self.agents.setdefault(agent, LiveTasks(self._timeline, self._store, agent))

    async def outcomes(self, namespace: str, name: str, rollout: str, after: int) -> Outcomes | NoAnswer:
        """The tasks of an upgrade."""
        found = await self._asked(namespace, name)
        return found if isinstance(found, NoAnswer) else found.outcomes(rollout, after)

    async def traffic(self, namespace: str, name: str) -> Traffic | NoAnswer:
        """What it does now."""
        found = await self._asked(namespace, name)
        return found if isinstance(found, NoAnswer) else found.traffic()

    async def finished(self, namespace: str, name: str, watched: Watched) -> Finished | NoAnswer:
        """The tasks of a revision in the order of their ends."""
        found = await self._asked(namespace, name)
        return found if isinstance(found, NoAnswer) else found.finished(watched)

    async def begin(self, namespace: str, name: str, batch: Batch) -> NoAnswer | None:
        """Takes a batch of trials."""
        found = await self._asked(namespace, name)
        return found if isinstance(found, NoAnswer) else found.put(batch)

    async def trials(self, namespace: str, name: str, batch: str) -> Trials | NoAnswer:
        """What came of a batch."""
        found = await self._asked(namespace, name)
        return found if isinstance(found, NoAnswer) else found.trials(batch)

    async def judge(self, namespace: str, name: str, question: Question) -> Judged | NoAnswer:
        """A judge that is always content."""
        found = await self._asked(namespace, name)
        return found if isinstance(found, NoAnswer) else Judged(text='{"pass": true, "reason": "well done"}')

    async def _asked(self, namespace: str, name: str) -> LiveTasks | NoAnswer:
        await asyncio.sleep(_ANSWER_SECONDS)
        if not self.is_up:
            return NoAnswer("the gateway cannot be asked: ClientConnectorError")
        return self.live(Ref("Agent", namespace, name))
