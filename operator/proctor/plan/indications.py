"""What the gateway says of the indicators of agents' objectives, and how it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic import Field

from proctor.api.agent import Agent
from proctor.api.fields import Time, format_duration, parse_duration
from proctor.api.meta import Report
from proctor.api.objectives import Objective, ObjectiveStatus, ReleaseGate
from proctor.slo.counts import Counts, Measured, Windows
from proctor.slo.standing import windows_of


class Tally(Report):
    """Good events of all events."""

    good: int
    total: int


Tallies = dict[str, dict[str, Tally]]
"""By objective, and by window."""


class AgentTallies(Report):
    """What was counted of one agent."""

    namespace: str
    name: str
    counts: Tallies = Field(default_factory=dict)
    stable: Tallies = Field(default_factory=dict)
    """Without the tasks that were given to a candidate."""
    newest: Time | None = None


class IndicatorsAnswer(Report):
    """What was counted of all agents that were asked for."""

    as_of: Time
    agents: tuple[AgentTallies, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What of an Agent its objectives are reported from; less than the whole, for all of them are kept."""

    namespace: str
    name: str
    objectives: tuple[Objective, ...]
    stable: str | None = None
    """The revision that serves."""
    reported: tuple[ObjectiveStatus, ...] = ()
    """What the status says now."""
    gate: ReleaseGate | None = None

    @classmethod
    def of(cls, agent: Agent) -> Subject:
        """The Agent, as far as it matters here."""
        metadata, status = agent.metadata, agent.status
        return cls(
            metadata.namespace,
            metadata.name,
            agent.spec.slos,
            status.revision.stable,
            status.slos,
            status.release_gate,
        )


@dataclass(frozen=True)
class Indications:
    """What is known of one agent's indicators."""

    measured: Measured | None = None
    """The newest measurement; None if there was none since the operator began."""
    silent_since: datetime | None = None
    """Since when the gateway cannot be asked; None while it answers."""


def question(subjects: Iterable[Subject]) -> dict[str, Any]:
    """The body of the request that asks for the indicators of all these agents."""
    return {"agents": [_asked(each) for each in subjects]}


def _asked(subject: Subject) -> dict[str, Any]:
    return {
        "namespace": subject.namespace,
        "name": subject.name,
        "indicators": [
            {"name": each.name, **each.indicator.model_dump(mode="json", by_alias=True, exclude_none=True)}
            for each in subject.objectives
        ],
        "windows": [format_duration(each) for each in windows_of(subject.objectives)],
    }


def measured(subject: Subject, said: AgentTallies, as_of: datetime) -> Measured:
    """The measurement in an answer."""
    return Measured(
        objectives=subject.objectives,
        as_of=as_of,
        counts=_windows(said.counts),
        stable=_windows(said.stable),
        newest=said.newest,
    )


def _windows(tallies: Tallies) -> Mapping[str, Windows]:
    return {
        objective: {_duration(window): Counts(tally.good, tally.total) for window, tally in windows.items()}
        for objective, windows in tallies.items()
    }


@lru_cache(maxsize=256)
def _duration(window: str) -> timedelta:
    return parse_duration(window)
