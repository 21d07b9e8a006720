"""What the gateway asks of Kubernetes: five verbs, so that anything that answers them can stand in for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.errors import GatewayError
from proctor_gateway.rules.reasons import Reason


class Kind(StrEnum):
    """What is watched."""

    AGENT = "Agent"
    CONNECTOR = "Connector"
    POD = "Pod"
    POLICY = "Policy"
    CLUSTER_POLICY = "ClusterPolicy"
    NAMESPACE = "Namespace"
    APPROVAL = "Approval"


@dataclass(frozen=True)
class Listing:
    """All objects of a kind at one version."""

    items: Sequence[Mapping[str, Any]]
    version: str


@dataclass(frozen=True)
class Event:
    """One change. A bookmark has no object of its own, only the version up to which all is told."""

    deleted: bool
    bookmark: bool
    body: Mapping[str, Any]


class Gone(GatewayError):  # noqa: N818 - the name of the HTTP status
    """The version is too old to be watched from: list again."""


class SecretUnusable(GatewayError):  # noqa: N818 - a state of the Secret
    """There is no credential to be had. The message names the Secret and the next step, never a value."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Cluster(Protocol):
    """Kubernetes. Every verb raises ClusterAway while the API server cannot be reached."""

    async def list(self, kind: Kind) -> Listing:
        """All objects of the kind."""

    def watch(self, kind: Kind, version: str, seconds: float) -> AsyncIterator[Event]:
        """What changes after the version, for at most so long. Raises Gone."""

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of one Secret. Raises SecretUnusable."""

    async def controller_revision(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The ControllerRevision of that name, or None."""

    async def ask(self, approval: Mapping[str, Any]) -> bool:
        """Create the Approval; whether it was not there yet."""

    async def withdraw(self, namespace: str, name: str, why: str) -> None:
        """Nobody is asked by that Approval any more; nothing if it is gone, decided or over."""

    async def review(self, token: str, audience: str | None) -> Identity | None:
        """Whose token it is, if it is genuine and made for the audience (None: for the API server itself)."""

    async def keep(self, namespace: str, name: str, fresh: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The data of a Secret that is there; what it lacks of `fresh` is written into it. Raises SecretUnusable."""
