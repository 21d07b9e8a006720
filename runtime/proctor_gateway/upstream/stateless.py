"""MCP 2026-07-28 by hand: a listing or a call is one POST, whose answer is one JSON document or a stream of events.

It goes over the client of the hot path. The SDK would put a session, a task group and two streams in memory around each
request; here what became of a request is what the one exchange says.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from proctor_gateway.rules import protocol
from proctor_gateway.rules.protocol import HEADER_MISMATCH, STATELESS
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.upstream.http import Http, Patience, Response, UpstreamFailed
from proctor_gateway.upstream.outcome import (
    MOST_PAGES,
    MOST_TOOLS,
    McpFailed,
    Target,
    of_error,
    of_no_message,
    of_status,
)
from proctor_gateway.upstream.sse import Cutter, StreamError, data_of

_MIRRORED: Final = "x-mcp-header"
_META: Final = {
    protocol.META_VERSION: STATELESS,
    protocol.META_CLIENT: protocol.GATEWAY,
    protocol.META_CAPABILITIES: {},
}
_HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": STATELESS,
}

Json = dict[str, Any]


class RpcFailed(McpFailed):
    """A JSON-RPC error, and its code."""

    def __init__(self, meant: McpFailed, code: int) -> None:
        super().__init__(meant.reason, meant.message, sent=meant.sent, ran=meant.ran)
        self.code = code


class Stateless:
    """Asks servers that keep no sessions."""

    def __init__(self, connect_seconds: float, largest: int) -> None:
        self._connect_seconds = connect_seconds
        self._largest = largest
        self._reused, self._fresh = Http(reuse=True), Http(reuse=False)
        self._ids = itertools.count(1)
        self._schemas: dict[tuple[str, str], Json] = {}
        """Of the tools that want arguments in headers."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Requests may be made inside."""
        async with self._reused.running(), self._fresh.running():
            yield

    async def discovers(self, target: Target) -> bool:
        """Whether the server speaks this version. Raises McpFailed if it cannot be asked."""
        try:
            found = await self._ask(target, "server/discover", {})
        except McpFailed as exc:
            # Whoever answers anything else has not understood; who does not answer, or knows us not, has said nothing.
            if not exc.sent or exc.reason in {Reason.UNAUTHORIZED, Reason.TIMEOUT}:
                raise _unsent(exc) from exc
            return False
        versions = found.get("supportedVersions")
        return isinstance(versions, list) and STATELESS in versions

    async def tools(self, target: Target) -> Sequence[Json]:
        """All tool definitions that the server offers; by the spec without those that mirror arguments wrongly."""
        found: list[Json] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            try:
                page = await self._ask(target, "tools/list", {} if cursor is None else {"cursor": cursor})
            except McpFailed as exc:
                raise _unsent(exc) from exc
            listed = page.get("tools")
            if not isinstance(listed, list) or not all(_is_tool(each) for each in listed):
                raise McpFailed(Reason.PROTOCOL_ERROR, "its list of tools is none", sent=False)
            found += listed
            cursor = page.get("nextCursor")
            if cursor is None or len(found) > MOST_TOOLS:
                break
        return self._usable(target.url, found[:MOST_TOOLS])

    async def call(self, target: Target, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, str]) -> Json:
        """The tool's result as the server gave it. Never sends a call twice that may have run."""
        try:
            return await self._call(target, tool, arguments, meta)
        except RpcFailed as exc:
            # The server wants arguments in headers, which its list of tools describes; it did not run the tool.
            if exc.code != HEADER_MISMATCH:
                raise
        await self.tools(target)
        return await self._call(target, tool, arguments, meta)

    async def _call(self, target: Target, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, str]) -> Json:
        schema = self._schemas.get((target.url, tool))
        mirrored = _mirrored(schema, arguments) if schema is not None else {}
        headers = {"mcp-name": protocol.in_header(tool), **mirrored}
        return await self._ask(target, "tools/call", {"name": tool, "arguments": dict(arguments)}, headers, meta)

    async def _ask(
        self,
        target: Target,
        method: str,
        params: Json,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> Json:
        number = next(self._ids)
        params = {**params, "_meta": {**(meta or {}), **_META}}
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}, ensure_ascii=False)
        sent = {**_HEADERS, "mcp-method": method, **(headers or {}), **target.headers}
        patience = Patience(min(self._connect_seconds, target.seconds), target.seconds)
        http = self._fresh if target.fresh else self._reused
        try:
            async with http.request("POST", target.url, sent, body.encode(), patience) as response:
                refused = of_status(response.status, sent=True)
                if refused is not None:
                    raise refused
                message = await self._message(response, number)
        except McpFailed:
            raise
        except UpstreamFailed as exc:
            raise McpFailed(exc.reason, exc.message, sent=exc.sent) from exc
        return _result(response.status, message)

    async def _message(self, response: Response, number: int) -> Any:
        """The message that answers the request; None if there is none."""
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return _parsed(await response.body(self._largest))
        cutter = Cutter()
        async for chunk in response.chunks(self._largest):
            try:
                events = cutter.feed(chunk)
            except StreamError as exc:
                raise UpstreamFailed(Reason.PROTOCOL_ERROR, str(exc), sent=True) from exc
            for each in events:
                message = _parsed(data_of(each))
                if isinstance(message, dict) and message.get("id") == number and "method" not in message:
                    return message
        return None

    def _usable(self, url: str, found: Sequence[Json]) -> Sequence[Json]:
        if not any(_MIRRORED in json.dumps(each) for each in found):
            return found
        from mcp.shared.inbound import find_invalid_x_mcp_header

        usable = [each for each in found if find_invalid_x_mcp_header(each.get("inputSchema")) is None]
        for each in usable:
            self._schemas[url, each["name"]] = each.get("inputSchema") or {}
        return usable


def _mirrored(schema: Json, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The arguments that the tool wants in headers, too. Seldom wanted: the SDK, which knows how, is imported then."""
    from mcp.shared.inbound import mcp_param_headers, x_mcp_header_map

    headers: dict[str, str] = mcp_param_headers(x_mcp_header_map(schema), arguments)
    return headers


def _is_tool(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("name"), str)


def _unsent(exc: McpFailed) -> McpFailed:
    """The same, of a request that calls no tool."""
    return McpFailed(exc.reason, exc.message, sent=False)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _result(status: int, message: Any) -> Json:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or "method" in message:
        raise of_no_message(status, sent=True)
    result, error = message.get("result"), message.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        code = code if isinstance(code, int) else protocol.INTERNAL_ERROR
        raise RpcFailed(of_error(status, code, str(error.get("message", "")), sent=True), code)
    if not isinstance(result, dict) or status != 200:  # noqa: PLR2004 - OK
        raise of_no_message(status, sent=True)
    return result
