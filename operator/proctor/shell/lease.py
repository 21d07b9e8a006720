"""One leader, by a Lease of coordination.k8s.io; what is not surely ours is not written.

The periods are those of client-go: a lease lasts 15 s, its holder renews it every 2 s and stops acting when 10 s have
passed since the last renewal that succeeded. A request lasts 5 s at most, so a write that began while the lease was
surely ours has ended before another can hold it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from proctor.api import names
from proctor.plan.world import Manifest
from proctor.shell import metrics
from proctor.shell.client import Client, Conflict, NotFound
from proctor.shell.errors import Blocked, Lost, Retry
from proctor.shell.ports import Clock
from proctor.shell.resources import LEASE

DURATION = 15.0
RENEW_DEADLINE = 10.0
PERIOD = 2.0
_NAME = names.OPERATOR

log = structlog.get_logger()


class Leadership:
    """Whether this process surely leads. Asked before every write."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = float("-inf")

    def renewed(self, asked_at: float) -> None:
        """The lease was renewed by a request that began at `asked_at` on the monotonic clock."""
        self._until = asked_at + RENEW_DEADLINE

    def resign(self) -> None:
        """From now on nothing is written."""
        self._until = float("-inf")

    @property
    def is_held(self) -> bool:
        """Whether the lease is surely ours."""
        return self._monotonic() < self._until

    def check(self) -> None:
        """Raises Lost unless the lease is surely ours."""
        if not self.is_held:
            raise Lost("the lease is not ours: another operator may be acting")


@dataclass(frozen=True)
class Held:
    """A Lease as it was seen: who holds it, and when we first saw it so, on our own clock."""

    holder: str
    version: str
    seen_at: float


class Elector:
    """Gets the Lease, keeps it, gives it back."""

    def __init__(
        self,
        client: Client,
        leadership: Leadership,
        *,
        identity: str,
        namespace: str,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._leadership = leadership
        self._identity = identity
        self._namespace = namespace
        self._clock = clock
        self._monotonic = monotonic
        self._seen: Held | None = None

    async def acquire(self) -> None:
        """Returns when the lease is ours."""
        log.info("waiting for the lease", lease=f"{self._namespace}/{_NAME}", identity=self._identity)
        while not await self._attempt():  # noqa: ASYNC110 - nobody tells us when another's lease ends
            await asyncio.sleep(PERIOD / 2)
        metrics.LEADER.set(1)
        log.info("leading", identity=self._identity)

    async def keep(self) -> None:
        """Renews the lease until it is lost. Raises Lost."""
        while True:
            await asyncio.sleep(PERIOD)
            await self._attempt()
            self._leadership.check()

    async def release(self) -> None:
        """Gives the lease back, so that the next leader need not wait for its end."""
        was_held = self._leadership.is_held
        self._leadership.resign()
        metrics.LEADER.set(0)
        if not was_held:
            return
        try:
            lease = await self._client.request("GET", LEASE.path(self._namespace, _NAME))
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._put(lease, {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        except (Retry, Blocked, NotFound) as exc:
            log.warning("lease not given back", error=str(exc))

    async def _attempt(self) -> bool:
        asked_at = self._monotonic()
        try:
            lease = await self._read_or_create()
            if not self._may_take(lease):
                # Whoever took it from us may be writing already: that ours has not run out is no right to it.
                self._leadership.resign()
                return False
            await self._put(lease, self._spec(lease["spec"]))
        except Conflict:
            return False
        except (Retry, Blocked) as exc:
            log.warning("lease not renewed", error=str(exc))
            return False
        self._leadership.renewed(asked_at)
        return True

    async def _read_or_create(self) -> Manifest:
        try:
            return await self._client.request("GET", LEASE.path(self._namespace, _NAME))
        except NotFound:
            body = {
                "apiVersion": LEASE.api_version,
                "kind": "Lease",
                "metadata": {"name": _NAME, "namespace": self._namespace},
                "spec": {},
            }
            return await self._client.request("POST", LEASE.path(self._namespace), body=body)

    def _may_take(self, lease: Manifest) -> bool:
        holder, version = lease["spec"].get("holderIdentity") or "", lease["metadata"]["resourceVersion"]
        if holder in {"", self._identity}:
            return True
        # Another's lease has ended when it did not change for its whole duration by our own clock: theirs may be off.
        if self._seen is None or self._seen.version != version:
            self._seen = Held(holder, version, self._monotonic())
            return False
        duration = float(lease["spec"].get("leaseDurationSeconds") or DURATION)
        return self._monotonic() - self._seen.seen_at > duration

    def _spec(self, old: dict[str, Any]) -> dict[str, Any]:
        now = _micro(self._clock.now())
        is_ours = old.get("holderIdentity") == self._identity
        transitions = int(old.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": old.get("acquireTime") if is_ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if is_ours else transitions + 1,
        }

    async def _put(self, lease: Manifest, spec: dict[str, Any]) -> None:
        await self._client.request("PUT", LEASE.path(self._namespace, _NAME), body={**lease, "spec": spec})


def _micro(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
