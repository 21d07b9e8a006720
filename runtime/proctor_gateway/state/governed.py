"""Which policies hold for an agent now? Merged once, kept until a policy, its agent or the time changes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proctor.api.agent import Agent
from proctor.policy import demands
from proctor.policy.effective import Effective, merge, turns_at
from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind

_OF_POLICIES: Final = frozenset({Kind.POLICY, Kind.CLUSTER_POLICY})


@dataclass(frozen=True)
class Governed:
    """An agent and what holds for it. `body` is the Agent as expressions see it."""

    effective: Effective
    body: dict[str, Any]
    unreadable: tuple[str, ...]
    """Policies that may hold for it and that this version cannot read: nobody knows what they forbid."""


@dataclass(frozen=True)
class _Kept:
    governed: Governed
    epoch: int
    generation: int
    labels: Mapping[str, str]
    until: datetime | None


class Policies:
    """What holds for each agent, and how old that knowledge is."""

    def __init__(self, known: Known, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._known = known
        self._monotonic = monotonic
        self._kept: dict[Key, _Kept] = {}
        self._epoch = 0
        self._told: dict[Kind, float] = {}
        known.listen(self._changed)

    def of(self, agent: Agent, now: datetime) -> Governed:
        """The agent and what holds for it now."""
        metadata = agent.metadata
        key = Key(metadata.namespace, metadata.name)
        kept = self._kept.get(key)
        if (
            kept is not None
            and (kept.epoch, kept.generation, kept.labels) == (self._epoch, metadata.generation, metadata.labels)
            and (kept.until is None or now < kept.until)
        ):
            return kept.governed
        policies = self._known.policies(metadata.namespace)
        effective = merge(policies, agent, now, self._known.namespace_labels(metadata.namespace))
        unreadable = tuple(self._known.unreadable_policies(metadata.namespace))
        governed = Governed(effective, demands.dumped(agent) if effective else {}, unreadable)
        until = min((turn for each in policies if (turn := turns_at(each, now))), default=None)
        self._kept[key] = _Kept(governed, self._epoch, metadata.generation, metadata.labels, until)
        return governed

    def heard(self, kind: Kind) -> None:
        """The API server said something about the kind, if only that nothing has changed."""
        self._told[kind] = self._monotonic()

    @property
    def age(self) -> float:
        """Seconds since the API server last said that these are all policies; without end if it never did."""
        now = self._monotonic()
        return max(now - self._told[kind] if kind in self._told else float("inf") for kind in _OF_POLICIES)

    def _changed(self, kind: Kind, key: Key, body: Mapping[str, Any] | None) -> None:
        if kind in _OF_POLICIES or kind is Kind.NAMESPACE:
            self._epoch += 1
        elif kind is Kind.AGENT and body is None:
            self._kept.pop(key, None)
