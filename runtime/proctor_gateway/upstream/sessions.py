"""MCP servers of versions with a handshake, through the protocol's own SDK. What became of a call the wire says.

Each call has a session of its own over shared connections: the SDK ends a whole session when one request breaks, and
a session that many tasks shared would make the outcome of all their calls unknown. It costs the handshake.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import RootModel, ValidationError

from proctor_gateway.rules.protocol import GATEWAY
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.upstream.outcome import MOST_PAGES, MOST_TOOLS, McpFailed, Target, of_error, of_status

_CONNECTIONS: Final = 512
_CLIENT_INFO: Final = types.Implementation(**GATEWAY)
_ANSWERED: Final = 200
_OK: Final = range(200, 400)


class _AsItCame(RootModel[dict[str, Any]]):
    """A result that nothing was added to and nothing taken from."""


class Sessions:
    """Lists and calls tools. Raises McpFailed."""

    def __init__(self, connect_seconds: float, largest: int) -> None:
        self._connect_seconds = connect_seconds
        self._largest = largest
        self._reused: httpx2.AsyncBaseTransport | None = None
        self._fresh: httpx2.AsyncBaseTransport | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Calls may be made inside."""
        verify = ssl.create_default_context()
        reused = httpx2.AsyncHTTPTransport(verify=verify, limits=httpx2.Limits(max_connections=_CONNECTIONS))
        fresh = httpx2.AsyncHTTPTransport(
            verify=verify, limits=httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=0)
        )
        async with reused, fresh:
            self._reused, self._fresh = reused, fresh
            yield

    async def tools(self, target: Target) -> Sequence[dict[str, Any]]:
        """All tool definitions that the server offers, as JSON. Raises McpFailed."""
        wire = self._wire(target, "tools/list")
        async with self._session(target, wire) as client:
            found: list[dict[str, Any]] = []
            cursor: str | None = None
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                found += [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in page.tools]
                cursor = page.next_cursor
                if cursor is None or len(found) > MOST_TOOLS:
                    return found[:MOST_TOOLS]
            return found

    async def call(
        self, target: Target, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, str]
    ) -> dict[str, Any]:
        """The result as the server gave it. Raises McpFailed; never sends a call twice that may have run."""
        wire = self._wire(target, "tools/call")
        async with self._session(target, wire) as client:
            request = types.CallToolRequest(
                params=types.CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=dict(meta))
            )
            return (await client.session.send_request(request, _AsItCame)).root

    def _wire(self, target: Target, method: str) -> _Wire:
        inner = self._fresh if target.fresh else self._reused
        if inner is None:
            raise RuntimeError("the client is not running")
        return _Wire(inner, method, self._largest)

    @contextlib.asynccontextmanager
    async def _session(self, target: Target, wire: _Wire) -> AsyncIterator[Client]:
        timeout = httpx2.Timeout(target.seconds, connect=min(self._connect_seconds, target.seconds))
        try:
            async with httpx2.AsyncClient(
                transport=wire, headers=dict(target.headers), timeout=timeout, trust_env=False
            ) as http:
                client = Client(
                    streamable_http_client(target.url, http_client=http, max_sse_event_size=self._largest),
                    mode="legacy",
                    client_info=_CLIENT_INFO,
                    read_timeout_seconds=target.seconds,
                    cache=None,
                )
                async with client:
                    yield client
        except BaseExceptionGroup as group:
            raise _failed(wire, _leaf(group)) from group
        except (MCPError, httpx2.HTTPError, ValidationError, RuntimeError, OSError, TimeoutError) as exc:
            raise _failed(wire, exc) from exc


class _Wire(httpx2.AsyncBaseTransport):
    """Sees each request of a session and what happened to it. A broken one becomes an answer, not a broken session."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, method: str, largest: int) -> None:
        self._inner = inner
        self._method = method
        self._largest = largest
        self.sent = False
        self.status: int | None = None
        self.failure: tuple[Reason, str] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        mine = _method_of(request) == self._method
        before = self.sent
        self.sent = self.sent or mine
        try:
            response = await self._inner.handle_async_request(request)
            if request.method == "POST":
                self.status = response.status_code
            return await self._whole(request, response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as exc:
            self.sent = before
            self.failure = _unreachable(exc)
        except httpx2.TimeoutException:
            self.failure = (Reason.TIMEOUT, "no answer in time")
        except (httpx2.HTTPError, OSError) as exc:
            self.failure = (Reason.UNREACHABLE, f"the connection broke: {type(exc).__name__}")
        return httpx2.Response(502, request=request)

    async def _whole(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """The answer, its body read if it is no stream. What the SDK would take for the server's own error is noted."""
        kind = response.headers.get("content-type", "").lower()
        if kind.startswith("text/event-stream"):
            return response
        body = b""
        async for part in response.aiter_raw():
            body += part
            if len(body) > self._largest:
                await response.aclose()
                self.failure = (Reason.PROTOCOL_ERROR, f"the answer has more than {self._largest} bytes")
                return httpx2.Response(502, request=request)
        await response.aclose()
        whole = httpx2.Response(response.status_code, headers=response.headers, content=body, request=request)
        # A notification is answered with 202 and nothing; a request is not.
        if whole.status_code in _OK and _method_of(request) == self._method and not _is_message(whole):
            self.failure = (Reason.PROTOCOL_ERROR, f"it answers {whole.status_code} without a JSON-RPC message")
            return httpx2.Response(502, request=request)
        return whole

    async def aclose(self) -> None:
        """The connections are shared; they stay open."""


def _method_of(request: httpx2.Request) -> str | None:
    try:
        message = json.loads(request.content)
    except (ValueError, httpx2.RequestNotRead):
        return None
    return message.get("method") if isinstance(message, dict) else None


def _is_message(response: httpx2.Response) -> bool:
    """Whether it is what was asked for. Looked at before the SDK does, which logs what it cannot read."""
    kind = response.headers.get("content-type", "")
    if response.status_code != _ANSWERED or not kind.startswith("application/json"):
        return False
    try:
        message = json.loads(response.content)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("jsonrpc") == "2.0" and "method" not in message


def _unreachable(exc: Exception) -> tuple[Reason, str]:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return Reason.TLS_ERROR, f"TLS failed: {cause.reason or type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    return Reason.UNREACHABLE, f"no connection: {str(exc)[:200] or type(exc).__name__}"


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _failed(wire: _Wire, exc: BaseException) -> McpFailed:
    """What the exception means, the facts of the wire first."""
    if isinstance(exc, McpFailed):
        return exc
    if wire.failure is not None:
        return McpFailed(*wire.failure, sent=wire.sent)
    refused = of_status(wire.status, sent=wire.sent) if wire.status is not None else None
    if refused is not None:
        return refused
    if isinstance(exc, MCPError):
        return _rpc_error(wire, exc)
    if isinstance(exc, TimeoutError):
        return McpFailed(Reason.TIMEOUT, "no answer in time", sent=wire.sent)
    return McpFailed(Reason.PROTOCOL_ERROR, f"not understood: {type(exc).__name__}", sent=wire.sent)


def _rpc_error(wire: _Wire, exc: MCPError) -> McpFailed:
    if exc.code == types.REQUEST_TIMEOUT:
        return McpFailed(Reason.TIMEOUT, "no answer in time", sent=wire.sent)
    if exc.code == types.CONNECTION_CLOSED and wire.status in _OK:
        return McpFailed(Reason.UNREACHABLE, f"the connection broke: {exc.message[:500]}", sent=wire.sent)
    return of_error(wire.status, exc.code, exc.message, sent=wire.sent)
