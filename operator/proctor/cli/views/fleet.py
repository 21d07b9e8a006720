"""All agents, a line each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from proctor.api.agent import Agent
from proctor.api.meta import Invalid
from proctor.cli.views.tone import Tone, of_status
from proctor.cli.wording import moment
from proctor.plan.world import Manifest


@dataclass(frozen=True)
class FleetRow:
    """What a person needs to know of one agent among many."""

    namespace: str
    name: str
    tone: Tone
    ready: str
    """`True`, `False` or `Unknown`."""
    reason: str
    message: str
    stable: str | None = None
    candidate: str | None = None
    phase: str | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    isolation: str | None = None
    model: str | None = None
    owner: str | None = None
    created: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the agent does what its newest spec says."""
        return self.ready == "True"


def rows(bodies: Iterable[Manifest]) -> tuple[FleetRow, ...]:
    """A row for each Agent, by namespace and name; also for one that cannot be read."""
    return tuple(sorted((_row(each) for each in bodies), key=lambda row: (row.namespace, row.name)))


def changes(before: Iterable[FleetRow], after: Iterable[FleetRow]) -> tuple[FleetRow, ...]:
    """The rows that are new or differ; one that went has the reason Deleted."""
    old = {(row.namespace, row.name): row for row in before}
    new = {(row.namespace, row.name): row for row in after}
    gone = (
        FleetRow(row.namespace, row.name, Tone.OFF, "Unknown", "Deleted", "")
        for key, row in old.items()
        if key not in new
    )
    return (*(row for key, row in new.items() if old.get(key) != row), *gone)


def _row(body: Manifest) -> FleetRow:
    try:
        return of_agent(Agent.parse(body))
    except Invalid as invalid:
        metadata = body["metadata"]
        return FleetRow(
            metadata.get("namespace", ""),
            metadata["name"],
            Tone.UNKNOWN,
            "Unknown",
            "Unreadable",
            f"another version of proctor wrote it: {invalid}",
            created=moment(metadata.get("creationTimestamp")),
        )


def of_agent(agent: Agent) -> FleetRow:
    """The agent's row."""
    metadata, spec, status = agent.metadata, agent.spec, agent.status
    ready, reason, message = readiness(agent)
    return FleetRow(
        namespace=metadata.namespace,
        name=metadata.name,
        tone=of_status(status, metadata.generation, is_off=spec.suspend),
        ready=ready,
        reason=reason,
        message=message,
        stable=status.revision.stable,
        candidate=status.revision.candidate,
        phase=status.rollout.phase if status.rollout else None,
        replicas=spec.runtime.replicas,
        ready_replicas=status.ready_replicas,
        isolation=status.sandbox.network_isolation.value if status.sandbox else None,
        model=spec.model.name,
        owner=spec.owner.team,
        created=metadata.creation_timestamp,
    )


def readiness(agent: Agent) -> tuple[str, str, str]:
    """Ready's status, reason and message, as far as they are about the newest spec."""
    status, generation = agent.status, agent.metadata.generation
    ready = status.condition("Ready")
    if agent.is_deleting:
        return "False", "Deleting", "it is being deleted"
    if ready is None:
        return "Unknown", "NotObserved", "the operator has not looked at it yet"
    if status.observed_generation < generation:
        behind = f"the operator has seen generation {status.observed_generation} of {generation}"
        return "Unknown", "NotObserved", behind
    return ready.status.value, ready.reason, ready.message
