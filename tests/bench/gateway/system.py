"""What stands behind the gateway for `added`: a model and a tool on raw sockets.

`python -m tests.bench.gateway.system PORT`. A question is answered at once; a stream says its first event at once and
the others 20 ms later; the tool does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from tests.bench.gateway.load import ANSWER

PAUSE_SECONDS = 0.02
_CACHE = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
_TOOL = {"name": "pay", "description": "Pays.", "inputSchema": {"type": "object"}}


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0].partition(b":")[2])) if lengths else b"{}"
            await _answered(writer, json.loads(body))
    writer.close()


async def _answered(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    match message:
        case {"method": "server/discover"}:
            _result(writer, message, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **_CACHE})
        case {"method": "tools/list"}:
            _result(writer, message, {"tools": [_TOOL], **_CACHE})
        case {"method": "tools/call"}:
            _result(writer, message, {"content": [{"type": "text", "text": "done"}], "resultType": "complete"})
        case {"stream": True}:
            await _streamed(writer)
        case _:
            _said(writer, json.dumps(ANSWER).encode())
    await writer.drain()


async def _streamed(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(4):
        delta = {"index": 0, "delta": {"content": "word "}, "finish_reason": "stop" if number == 3 else None}
        _event(writer, {**ANSWER, "object": "chat.completion.chunk", "choices": [delta], "usage": None})
        await writer.drain()
        if number == 0:
            await asyncio.sleep(PAUSE_SECONDS)
    _event(writer, {**ANSWER, "object": "chat.completion.chunk", "choices": []})
    _chunk(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")


def _event(writer: asyncio.StreamWriter, content: Any) -> None:
    _chunk(writer, b"data: " + json.dumps(content).encode() + b"\n\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def _result(writer: asyncio.StreamWriter, message: dict[str, Any], result: Any) -> None:
    _said(writer, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())


def _said(writer: asyncio.StreamWriter, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    writer.write(head + body)


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
