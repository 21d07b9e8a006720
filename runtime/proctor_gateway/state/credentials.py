"""The connectors' credentials: read from Secrets by name, kept for a short time, never written or said anywhere."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from proctor.api.connector import Connector
from proctor_gateway.cluster.known import Key
from proctor_gateway.cluster.port import Cluster, SecretUnusable
from proctor_gateway.rules.errors import ClusterAway
from proctor_gateway.rules.reasons import Reason

log = structlog.get_logger(__name__)

_FAILURE_SECONDS = 5.0
_SHORTEST_HIDDEN = 6
"""A shorter one would be found in what has nothing to do with it."""
_FIELD = re.compile(r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")


@dataclass(frozen=True)
class Credential:
    """The header that opens a system. Its representation shows nothing of the value."""

    header: str
    prefix: str
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.header}: ***)"

    @property
    def headers(self) -> dict[str, str]:
        """The header as a client takes it."""
        return {self.header: self.prefix + self.secret}

    def hidden(self, said: Any) -> Any:
        """What a system said, without the credential: one that repeats its key must not give it to an agent."""
        if len(self.secret) < _SHORTEST_HIDDEN:
            return said
        match said:
            case str():
                return said.replace(self.secret, "***")
            case Mapping():
                return {key: self.hidden(each) for key, each in said.items()}
            case list():
                return [self.hidden(each) for each in said]
            case _:
                return said


@dataclass(frozen=True)
class _Read:
    at: float
    data: Mapping[str, bytes] | None
    fault: SecretUnusable | None


class Credentials:
    """Gives the credential of a connector. A Secret is read again after `ttl` seconds, or at once on `refresh`."""

    def __init__(self, cluster: Cluster, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._ttl = ttl
        self._clock = clock
        self._read: dict[Key, _Read] = {}
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, connector: Connector, *, refresh: bool = False) -> Credential | None:
        """The credential, or None if the connector needs none. Raises SecretUnusable.

        While the API server is away the last value is used on: a key does not become wrong by that.
        """
        auth = connector.spec.auth
        if auth is None:
            return None
        key = Key(connector.metadata.namespace, auth.secret_ref.name)
        data = await self._data(key, refresh=refresh)
        return Credential(auth.header, auth.prefix, _value(key, data, auth.secret_ref.key))

    async def _data(self, key: Key, *, refresh: bool) -> Mapping[str, bytes]:
        asked_at = self._clock()
        async with self._locks[key]:
            read = self._read.get(key)
            if read is None or self._is_old(read, asked_at, refresh=refresh):
                read = await self._fetch(key, read)
                self._read[key] = read
        if read.data is None:
            raise read.fault or SecretUnusable(Reason.SECRET_NOT_FOUND, f"Secret {key.namespace}/{key.name}")
        return read.data

    def _is_old(self, read: _Read, asked_at: float, *, refresh: bool) -> bool:
        # Whoever waited for the lock takes what was read meanwhile: many calls that fail at once cause one read.
        if refresh:
            return read.at < asked_at
        return self._clock() - read.at > (_FAILURE_SECONDS if read.fault else self._ttl)

    async def _fetch(self, key: Key, before: _Read | None) -> _Read:
        try:
            return _Read(self._clock(), await self._cluster.secret(key.namespace, key.name), None)
        except SecretUnusable as exc:
            return _Read(self._clock(), None, exc)
        except ClusterAway:
            if before is None or before.data is None:
                message = f"Secret {key.namespace}/{key.name} was never read, and the API server is away"
                return _Read(self._clock(), None, SecretUnusable(Reason.SECRET_NOT_FOUND, message))
            log.warning("a Secret is used on although it is old", namespace=key.namespace, name=key.name)
            return _Read(self._clock(), before.data, None)


def _value(key: Key, data: Mapping[str, bytes], name: str) -> str:
    raw = data.get(name)
    if raw is None:
        raise SecretUnusable(Reason.SECRET_KEY_MISSING, f"Secret {key.namespace}/{key.name} has no key {name}")
    try:
        value = raw.decode().strip()
    except UnicodeDecodeError:
        value = ""
    if not _FIELD.match(value):
        raise SecretUnusable(
            Reason.SECRET_KEY_MISSING,
            f"key {name} of Secret {key.namespace}/{key.name} is empty or cannot be sent in a header",
        )
    return value
