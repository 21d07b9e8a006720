"""The seams of the shell: what it needs of the cluster, of the gateway and of time. Simulations stand behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from proctor.api.connector import Connector
from proctor.delivery.exam import Question
from proctor.plan.connector import NoProbe, Probe
from proctor.plan.said import Batch, Finished, Judged, NoAnswer, Outcomes, Traffic, Trials, Watched
from proctor.plan.world import Deletion, Edit, Event, Manifest, Platform
from proctor.shell.cache import Cache
from proctor.shell.indicators import Indicators
from proctor.shell.notifier import Notifier
from proctor.shell.outbox import Outbox
from proctor.shell.reports import Reports
from proctor.shell.usages import Usages


class Kube(Protocol):
    """The API server. Every call raises Retry or Blocked, never anything of a client library."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object as it is now; None if there is none."""

    def list(self, kind: str) -> AsyncIterator[Manifest]:
        """All objects of the kind that concern us, in all namespaces."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply, with force, under our field manager: the object as it is then."""

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """The same for the status subresource. With metadata.resourceVersion set, only onto that version."""

    async def serves(self, kind: str) -> bool:
        """Whether the cluster has the kind. Never raises."""

    async def edit(self, edit: Edit) -> Manifest:
        """Changes a few fields of somebody else's object; Retry if it is not the version that the edit names."""

    async def delete(self, deletion: Deletion) -> Manifest | None:
        """Deletes exactly the object with that uid: the object if it lingers, None if it is gone, or was already."""

    async def tell(self, about: Manifest, event: Event, now: datetime) -> None:
        """Writes an Event, or counts it up if it was written before. Never raises: a story with a hole beats none."""


class Prober(Protocol):
    """The gateway, which alone holds the credentials."""

    async def probe(self, connector: Connector) -> Probe | NoProbe:
        """Calls the system. Never raises: what went wrong is part of the answer."""


class Tasks(Protocol):
    """The gateway, which alone sees the tasks. It never raises: that it could not be asked is an answer."""

    async def outcomes(self, namespace: str, name: str, rollout: str, after: int) -> Outcomes | NoAnswer:
        """The live tasks of a rollout after an assignment number, in the order of assignment."""

    async def traffic(self, namespace: str, name: str) -> Traffic | NoAnswer:
        """What the gateways do now."""

    async def finished(self, namespace: str, name: str, watched: Watched) -> Finished | NoAnswer:
        """The live tasks of a revision in the order in which they ended."""

    async def begin(self, namespace: str, name: str, batch: Batch) -> NoAnswer | None:
        """Has a batch of trials run, once however often it is asked for; None if it is taken."""

    async def trials(self, namespace: str, name: str, batch: str) -> Trials | NoAnswer:
        """What came of a batch so far."""

    async def judge(self, namespace: str, name: str, question: Question) -> Judged | NoAnswer:
        """What a judging model says of an answer."""


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The time in UTC."""


@dataclass(frozen=True)
class Ports:
    """All that a reconcile may touch."""

    kube: Kube
    cache: Cache
    prober: Prober
    tasks: Tasks
    clock: Clock
    platform: Platform
    indicators: Indicators = field(default_factory=Indicators)
    outbox: Outbox = field(default_factory=Outbox)
    notifier: Notifier = field(default_factory=Notifier)
    usages: Usages = field(default_factory=Usages)
    reports: Reports = field(default_factory=Reports)
