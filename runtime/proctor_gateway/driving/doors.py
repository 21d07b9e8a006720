"""The doors by which an HTTPRoute sends in what it has split: the port says which arm it drew.

A proxy that is told other weights draws by the old ones for a moment. What comes in until then has a propensity that
nobody knows, so it is no evidence (docs/rollouts.md, "Weights in an HTTPRoute").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from proctor.api.agent import Agent
from proctor_gateway.clock import Clock
from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.rules.arms import Arm, Entry, split_of
from proctor_gateway.settings import Settings


class Weights:
    """Since when each agent's route has had the weights that it has."""

    def __init__(self, clock: Clock, known: Known, settle: timedelta) -> None:
        self._clock = clock
        self._known = known
        self._settle = settle
        self._since: dict[Key, tuple[tuple[str, int], datetime]] = {}
        known.listen(self._on_change)

    def settled(self, agent: Agent) -> tuple[str, int] | None:
        """The upgrade and the weight by which all proxies draw by now; None while some may not, or none has to."""
        found = self._since.get(Key(agent.metadata.namespace, agent.metadata.name))
        if found is None or self._clock.now() < found[1] + self._settle:
            return None
        return found[0]

    def _on_change(self, kind: Kind, key: Key, _body: object) -> None:
        if kind is not Kind.AGENT:
            return
        agent = self._known.agent(key.namespace, key.name)
        split = split_of(agent) if agent else None
        if split is None or not split.is_routed or not split.weight:
            self._since.pop(key, None)
            return
        drawn_by = (split.rollout, split.weight)
        if key not in self._since or self._since[key][0] != drawn_by:
            self._since[key] = (drawn_by, self._clock.now())


@dataclass(frozen=True)
class Door:
    """One of the two."""

    port: int
    arm: Arm
    weights: Weights

    def entry(self, agent: Agent) -> Entry | None:
        """What was drawn for a task that comes in here now."""
        found = self.weights.settled(agent)
        return Entry(*found, self.arm) if found is not None else None


def doors_of(settings: Settings, clock: Clock, known: Known) -> tuple[Door, ...]:
    """The doors that are open; without a port of its own there is none."""
    weights = Weights(clock, known, timedelta(seconds=settings.route_settle))
    ports = ((settings.stable_port, Arm.STABLE), (settings.candidate_port, Arm.CANDIDATE))
    return tuple(Door(port, arm, weights) for port, arm in ports if port is not None)
