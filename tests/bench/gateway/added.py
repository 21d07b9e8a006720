"""What the gateway adds to one call at a time: to a question, to an effect that waits for its intent, to a stream.

Each call is made by turns directly and through the gateway, over a kept connection, and timed to the first byte of
what is said and to the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.gateway.load import PATH, QUESTION

_WARM = 20
_VERSION = "2026-07-28"


@dataclass(frozen=True)
class Way:
    """An address, and the tokens that open it."""

    port: int
    tool_path: str
    tokens: Sequence[str]


@dataclass(frozen=True)
class Added:
    """Milliseconds: directly, and through the gateway."""

    name: str
    direct: float
    through: float
    through_p99: float


class _Line:
    """A kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        self._reader, self._writer, self._way = reader, writer, way
        self._tokens = itertools.cycle(way.tokens)

    @classmethod
    async def to(cls, way: Way) -> _Line:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", way.port), way)

    async def timed(self, kind: str, number: int) -> tuple[float, float]:
        """Milliseconds to the first byte of what is said, and to the end. Raises RuntimeError for a refusal."""
        path, headers, body = _request(kind, number, self._way)
        lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [
            f"authorization: Bearer {next(self._tokens)}",
            "accept: application/json, text/event-stream",
            *headers,
        ]
        began = time.perf_counter()
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        first, said = 0.0, b""
        async for part in self._parts(head):
            first, said = first or time.perf_counter(), said + part
        if b" 200 " not in head or b'"error"' in said:
            raise RuntimeError(f"{kind} is refused: {head[:100]!r} {said[:300]!r}")
        return (first - began) * 1000, (time.perf_counter() - began) * 1000

    async def _parts(self, head: bytes) -> Any:
        if b"transfer-encoding: chunked" in head:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readuntil(b"\r\n")
        else:
            yield await self._reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))


def _request(kind: str, number: int, way: Way) -> tuple[str, list[str], bytes]:
    if kind == "effect":
        meta = {"io.modelcontextprotocol/protocolVersion": _VERSION}
        params = {"name": "pay", "arguments": {"n": number}, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        said = [f"mcp-protocol-version: {_VERSION}", "mcp-method: tools/call", "mcp-name: pay"]
        return way.tool_path, said, json.dumps(message).encode()
    return PATH, [], json.dumps({**QUESTION, **({"stream": True} if kind == "stream" else {})}).encode()


async def _measured(direct: Way, through: Way, count: int) -> list[Added]:
    lines = [await _Line.to(each) for each in (direct, through)]
    numbers, found = itertools.count(), []
    for kind, until_first in (("question", False), ("effect", False), ("stream", True)):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(count + _WARM):
            for line, taken in zip(lines, times, strict=True):
                first, end = await line.timed(kind, next(numbers))
                taken.append(first if until_first else end)
        kept = [sorted(each[_WARM:]) for each in times]
        medians = [statistics.median(each) for each in kept]
        name = f"{kind}, to its first event" if until_first else kind
        found.append(Added(name, *medians, kept[1][int(len(kept[1]) * 0.99)]))
    return found


def measure(direct: Way, through: Way, core: int, count: int = 300) -> list[Added]:
    """Measure on that core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return asyncio.run(_measured(direct, through, count))
    finally:
        os.sched_setaffinity(0, before)
