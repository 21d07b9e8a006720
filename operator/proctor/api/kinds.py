"""The registry of the kinds: what each is called, where it lives, and which columns `kubectl get` shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.meta import Object


class Scope(StrEnum):
    """Whether objects of a kind live in a namespace."""

    NAMESPACED = "Namespaced"
    CLUSTER = "Cluster"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; a wide one is shown only with `-o wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Scale:
    """Where the scale subresource finds its numbers. The field of the wish must have a default: HPAs start from it."""

    spec_replicas: str
    status_replicas: str
    selector: str


@dataclass(frozen=True)
class Kind:
    """One kind of proctor.dev/v1alpha1, described once for the schema, the operator and the command line."""

    model: type[Object]
    plural: str
    short: str
    columns: tuple[Column, ...]
    scope: Scope = Scope.NAMESPACED
    scale: Scale | None = None
    longest_name: int = 63
    rules: tuple[tuple[str, str], ...] = ()
    """CEL rules that need more than the spec: the object's name, or its status."""

    @property
    def name(self) -> str:
        """The kind's name, as in a manifest."""
        return self.model.__name__

    @property
    def singular(self) -> str:
        """What `kubectl get` also accepts."""
        return self.name.lower()


def _condition(type_: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{part}'


_READY: Final = Column("Ready", _condition("Ready", "status"), "Whether it does what its spec says.")
_REASON: Final = Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.")
_MESSAGE: Final = Column("Message", _condition("Ready", "message"), "The reason in full.", wide=True)
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Since when it exists.", type="date")

AGENT: Final = Kind(
    model=Agent,
    plural="agents",
    short="ag",
    scale=Scale(".spec.runtime.replicas", ".status.replicas", ".status.selector"),
    rules=(
        (
            "!has(self.spec.fallbacks) || self.spec.fallbacks.all(f, !has(f.agent) || f.agent != self.metadata.name)",
            "spec.fallbacks: an agent must not be its own fallback; name another agent",
        ),
    ),
    columns=(
        _READY,
        _REASON,
        Column("Stable", ".status.revision.stable", "The revision that serves."),
        Column("Candidate", ".status.revision.candidate", "The revision that is tried."),
        Column("Pods", ".status.readyReplicas", "Pods that are ready for tasks.", type="integer"),
        Column("Isolation", ".status.sandbox.networkIsolation", "Whether the pods' network was seen to be closed."),
        _AGE,
        Column("Model", ".spec.model.name", "What the agent thinks with.", wide=True),
        Column("Owner", ".spec.owner.team", "Who answers for the agent.", wide=True),
        Column("Risk", ".spec.riskTier", "How much harm a wrong answer can do.", wide=True),
        Column("Suspended", ".spec.suspend", "Whether the agent is stopped.", type="boolean", wide=True),
        _MESSAGE,
    ),
)

CONNECTOR: Final = Kind(
    model=Connector,
    plural="connectors",
    short="conn",
    columns=(
        _READY,
        _REASON,
        Column("Type", ".spec.type", "The protocol that the system speaks."),
        Column("Found", ".status.summary", "What the last probe found."),
        Column("Probed", ".status.lastProbe", "When the system was last asked.", type="date"),
        _AGE,
        Column("URL", ".spec.url", "Where the system is.", wide=True),
        Column("Secret", ".spec.auth.secretRef.name", "Where its credential is kept.", wide=True),
        _MESSAGE,
    ),
)

ALL: Final = (AGENT, CONNECTOR)
