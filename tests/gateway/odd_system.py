"""An MCP server with every bad habit, on raw sockets: the name of the tool says what happens to its call."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

HABITS = (
    "works",
    "hangs",
    "resets",
    "fails_500",
    "fails_400",
    "rejects_arguments",
    "answers_202",
    "answers_text",
    "answers_nonsense",
    "answers_error",
    "breaks_off",
    "wants_input",
    "says_no",
    "is_huge",
    "wants_header",
    "streams",
    "ends_its_stream",
    "breaks_its_stream",
)
_SCHEMAS = {
    "wants_header": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Number"}}},
}


@dataclass
class OddSystem:
    """Counts the calls of each tool, and keeps what came with them."""

    modern: bool = True
    description: str = "A tool."
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    hang_seconds: float = 30
    url: str = ""
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def times(self, tool: str) -> int:
        """How often the tool was called."""
        return sum(call["name"] == tool for call in self.calls)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[OddSystem]:
        """Serve inside."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        async with server:
            yield self
            for connection in self.connections:
                connection.cancel()
            await asyncio.gather(*self.connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _request(reader)) is not None:
                await self._answer(writer, *request)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, headers: dict[str, str], message: dict[str, Any]) -> None:
        self.methods.append(message["method"])
        match message["method"]:
            case "server/discover" if self.modern:
                _result(writer, message, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **_CACHE})
            case "initialize":
                info = {"name": "odd", "version": "1"}
                version = message["params"]["protocolVersion"]
                _result(
                    writer, message, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
                )
            case "notifications/initialized":
                _send(writer, 202, b"")
            case "tools/list":
                tools = [
                    {
                        "name": name,
                        "description": self.description,
                        "inputSchema": _SCHEMAS.get(name, {"type": "object"}),
                    }
                    for name in HABITS
                ]
                _result(writer, message, {"tools": tools, **(_CACHE if self.modern else {})})
            case "tools/call" if message["params"]["name"] == "wants_header" and "mcp-param-number" not in headers:
                _error(writer, message, -32020, 400)
            case "tools/call":
                self.calls.append(message["params"])
                self.headers.append(headers)
                await self._call(writer, message)
            case _:
                _error(writer, message, -32601, 404)

    async def _call(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        done = {"content": [{"type": "text", "text": "done"}], **({"resultType": "complete"} if self.modern else {})}
        match message["params"]["name"]:
            case "hangs":
                await asyncio.sleep(self.hang_seconds)
                _result(writer, message, done)
            case "resets":
                writer.transport.abort()
            case "breaks_off":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
                await writer.drain()
                writer.transport.abort()
            case "streams" | "ends_its_stream" | "breaks_its_stream" as name:
                progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
                answer = {"jsonrpc": "2.0", "id": message["id"], "result": done}
                _stream(
                    writer, progress, *((answer,) if name == "streams" else ()), is_whole=name != "breaks_its_stream"
                )
                await writer.drain()
                if name == "breaks_its_stream":
                    writer.transport.abort()
            case name if name in _RESULTS:
                _result(writer, message, {**done, **_RESULTS[name]})
            case name if name in _ANSWERS:
                _send(writer, *_ANSWERS[name])
            case name if name in _ERRORS:
                _error(writer, message, *_ERRORS[name])
            case _:
                _result(writer, message, done)


_ANSWERS = {
    "fails_500": (500, b"oops", "text/plain"),
    "fails_400": (400, b"oops", "text/plain"),
    "answers_202": (202, b""),
    "answers_text": (200, b"hello", "text/html"),
    "answers_nonsense": (200, b"{]"),
}
_RESULTS: dict[str, dict[str, Any]] = {
    "wants_input": {"resultType": "input_required", "inputRequests": {}},
    "says_no": {"isError": True},
    "is_huge": {"content": [{"type": "text", "text": "x" * 2_000_000}]},
}
_ERRORS = {"rejects_arguments": (-32602, 200), "answers_error": (-32603, 200)}
_CACHE = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}


async def _request(reader: asyncio.StreamReader) -> tuple[dict[str, str], dict[str, Any]] | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    headers[":path"] = first.split(" ")[1]
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if not first.startswith("POST"):
        return headers, {"method": "delete"}
    return headers, json.loads(body)


def _result(writer: asyncio.StreamWriter, message: dict[str, Any], result: dict[str, Any]) -> None:
    _send(writer, 200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())


def _error(writer: asyncio.StreamWriter, message: dict[str, Any], code: int, status: int) -> None:
    error = {"code": code, "message": "no"}
    _send(writer, status, json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode())


def _stream(writer: asyncio.StreamWriter, *messages: dict[str, Any], is_whole: bool) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for each in messages:
        event = b"event: message\ndata: " + json.dumps(each).encode() + b"\n\n"
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
    if is_whole:
        writer.write(b"0\r\n\r\n")


def _send(writer: asyncio.StreamWriter, status: int, body: bytes, kind: str = "application/json") -> None:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
