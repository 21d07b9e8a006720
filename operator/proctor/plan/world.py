"""What a planner knows and what it answers: World and Plan. A fact that is not in the World cannot decide anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from proctor.api import names
from proctor.api.agent import Agent, NetworkIsolation
from proctor.api.connector import Connector
from proctor.plan.indications import Indications
from proctor.plan.said import Batch, Heard
from proctor.plan.spending import Spending
from proctor.plan.standing import Standing

Manifest = dict[str, Any]
"""A Kubernetes object as JSON. Made whole by one `make_…`, never changed afterwards."""

CHILD_KINDS = (
    "ServiceAccount",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ControllerRevision",
    "ConfigMap",
    "Deployment",
)
"""What an Agent owns, in the order in which it is created: the fence before what it fences."""


@dataclass(frozen=True)
class Platform:
    """What the installation decides for all agents."""

    agent_image: str
    namespace: str = names.INSTALL_NAMESPACE
    gateway_host: str = f"{names.GATEWAY}.{names.INSTALL_NAMESPACE}.svc"
    public_url: str = f"http://{names.GATEWAY}.{names.INSTALL_NAMESPACE}.svc:{names.CALLER_PORT}"
    isolated_runtime_class: str | None = None
    dns_cidrs: tuple[str, ...] = ()
    """Where DNS answers, if not from pods in kube-system: a node-local cache, a server on the nodes."""
    resync_seconds: int = 600
    reference_poll_seconds: int = 60
    isolation_max_age_seconds: int = 6 * 3600

    @property
    def gateway_url(self) -> str:
        """Where agents find the gateway."""
        return f"http://{self.gateway_host}:{names.AGENT_FACING_PORT}"


@dataclass(frozen=True)
class Isolation:
    """What the last probe of a namespace's network measured."""

    state: NetworkIsolation
    message: str
    probed_at: datetime | None = None


@dataclass(frozen=True)
class NoRoute:
    """Why an HTTPRoute cannot be weighted, in words that name it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Restorable:
    """The Agent as it would run after somebody went back to a recorded revision, and how policies look at that."""

    agent: Agent
    standing: Standing


@dataclass(frozen=True)
class World:
    """All that is known when an Agent is planned."""

    agent: Agent
    instructions: str | None
    """The text that the spec holds or refers to; None if what it refers to does not exist."""
    connectors: Mapping[str, Connector]
    children: tuple[Manifest, ...]
    """Every object that the Agent owns."""
    pods: tuple[Manifest, ...]
    network_policies: tuple[Manifest, ...]
    """Every NetworkPolicy in the namespace: they add up, so a foreign one can undo ours."""
    isolation: Isolation
    runtime_classes: frozenset[str]
    platform: Platform
    unreadable: frozenset[str] = frozenset()
    """The Connectors of the spec that exist, but that this version cannot read."""
    indications: Indications = field(default_factory=Indications)
    """What was counted for the agent's objectives."""
    spending: Spending = field(default_factory=Spending)
    """What was counted for the agent's budgets."""
    standing: Standing = field(default_factory=Standing)
    """How the agent stands with its policies."""
    restorable: Mapping[str, Restorable] = field(default_factory=dict)
    """By revision: those that somebody went back to, or asks to go back to."""
    heard: Heard = field(default_factory=Heard)
    """What the gateway said of the agent's upgrade."""
    suites: Mapping[str, Manifest | None] = field(default_factory=dict)
    """The ConfigMaps of the agent's exam, by the suite's name, while one is taken; None for one that does not exist."""
    route: Manifest | NoRoute | None = None
    """The HTTPRoute that splits the agent's tasks; None if its spec names none."""

    def child(self, kind: str, name: str) -> Manifest | None:
        """The owned object of that kind and name."""
        return next((each for each in self.children if each["kind"] == kind and name_of(each) == name), None)


@dataclass(frozen=True)
class Deletion:
    """An object to delete, by the uid on which that was decided."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Withdrawal:
    """A question of ours that nobody waits for any more."""

    question: Manifest
    """The Approval, as it was seen: who answers at the same moment is heard."""
    status: Manifest


@dataclass(frozen=True)
class Edit:
    """A change of a few fields of somebody else's object, in exactly the version that was seen (RFC 6902)."""

    kind: str
    namespace: str
    name: str
    operations: tuple[Manifest, ...]


@dataclass(frozen=True)
class Event:
    """Something for the object's list of Events."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order: apply, report, tell, delete."""

    wake_at: datetime
    applies: tuple[Manifest, ...] = ()
    status: Manifest | None = None
    """The whole new status; None if it is as it was."""
    events: tuple[Event, ...] = ()
    deletions: tuple[Deletion, ...] = field(default=())
    """Last: if we crash before them, whatever serves still serves."""
    batches: tuple[Batch, ...] = ()
    """Trials that the gateway is to run for the agent."""
    edits: tuple[Edit, ...] = ()
    """Changes of objects that are not ours, after everything that they follow from."""
    withdrawals: tuple[Withdrawal, ...] = ()
    """After the status by which nobody waits for them."""
    rests_on: tuple[Manifest, ...] = ()
    """Objects as seen, on which a decision rests that is not taken back: if one is not so any more, do nothing."""

    @property
    def is_noop(self) -> bool:
        """Whether nothing would be written."""
        return not (self.applies or self.status or self.edits or self.events or self.deletions or self.withdrawals)


def name_of(manifest: Manifest) -> str:
    """The object's name."""
    return str(manifest["metadata"]["name"])


def label_of(manifest: Manifest, label: str) -> str | None:
    """The object's value of a label."""
    value: str | None = manifest["metadata"].get("labels", {}).get(label)
    return value


def deletion_of(manifest: Manifest) -> Deletion:
    """The deletion of exactly this object, not of a later one with its name."""
    metadata = manifest["metadata"]
    return Deletion(
        manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"], metadata["uid"]
    )
