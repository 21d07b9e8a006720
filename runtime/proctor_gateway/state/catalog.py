"""What tools does a connector's system offer? Asked for rarely, remembered for its bad days."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from proctor.api import digest
from proctor.api.connector import Connector
from proctor_gateway.cluster.known import Key
from proctor_gateway.cluster.port import SecretUnusable
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.upstream.outcome import McpFailed

log = structlog.get_logger(__name__)

_SECONDS = 30.0
_LAST_GOOD_SECONDS = 600.0


@dataclass(frozen=True)
class Offered:
    """A tool's definition, and the digest that pins it."""

    definition: Mapping[str, Any]
    digest: str


@dataclass(frozen=True)
class _Known:
    at: float
    url: str
    tools: Mapping[str, Offered]


Fetch = Callable[[Connector], Awaitable[Sequence[dict[str, Any]]]]


class Catalog:
    """The tools of each connector. A system that is away is taken to offer what it last did, for ten minutes."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._known: dict[Key, _Known] = {}
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, connector: Connector) -> Mapping[str, Offered]:
        """The tools by name. Raises Denied ToolUnavailable if they were never, or not lately, to be had."""
        key = Key(connector.metadata.namespace, connector.metadata.name)
        async with self._locks[key]:
            known = self._known.get(key)
            if known is not None and known.url != connector.spec.url:
                known = None
            if known is not None and time.monotonic() - known.at < _SECONDS:
                return known.tools
            return (await self._refreshed(key, connector, known)).tools

    async def _refreshed(self, key: Key, connector: Connector, known: _Known | None) -> _Known:
        try:
            found = await self._fetch(connector)
        except (McpFailed, SecretUnusable, Denied) as exc:
            if known is not None and time.monotonic() - known.at < _LAST_GOOD_SECONDS:
                log.warning(
                    "the last known tools are used", namespace=key.namespace, connector=key.name, cause=str(exc)
                )
                return known
            raise Denied(Reason.TOOL_UNAVAILABLE, f"connector {key.name} cannot list its tools: {exc}") from exc
        tools = {each["name"]: Offered(each, digest.of_tool(each)) for each in found}
        fresh = _Known(time.monotonic(), connector.spec.url, tools)
        self._known[key] = fresh
        return fresh
