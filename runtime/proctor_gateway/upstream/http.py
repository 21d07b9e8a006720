"""The HTTP client of the hot path: agent pods and models. The one module to change for another client.

What it promises beyond a response: whether a failure happened before anything was sent. Redirects are not followed,
because a credential would follow them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import aiohttp

from proctor_gateway.rules.errors import GatewayError
from proctor_gateway.rules.reasons import Reason

_LIMIT = 4096
_CHUNK = 64 << 10


class UpstreamFailed(GatewayError):  # noqa: N818 - what happened
    """No whole answer came. `sent` is False only if it is certain that nothing reached the other side."""

    def __init__(self, reason: Reason, message: str, *, sent: bool) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.sent = sent


@dataclass(frozen=True)
class Patience:
    """Seconds: for a connection, for the whole exchange, and for silence within it."""

    connect: float
    total: float
    silence: float | None = None


@dataclass(frozen=True)
class Response:
    """An answer whose body has not been read yet."""

    status: int
    headers: Mapping[str, str]
    _raw: aiohttp.ClientResponse

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamFailed if it breaks off or is larger than the limit."""
        return b"".join([part async for part in self.chunks(limit)])

    async def chunks(self, limit: int | None = None) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamFailed if it breaks off or is larger than the limit."""
        size = 0
        while chunk := await self._next():
            size += len(chunk)
            if limit is not None and size > limit:
                raise UpstreamFailed(Reason.PROTOCOL_ERROR, f"the answer has more than {limit} bytes", sent=True)
            yield chunk

    async def _next(self) -> bytes:
        try:
            return await self._raw.content.readany()
        except _FAILURES as exc:
            raise _failure(exc) from exc


class Http:
    """A pool of connections. Use one for each kind of other side."""

    def __init__(self, *, reuse: bool) -> None:
        self._reuse = reuse
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Requests may be made inside."""
        connector = aiohttp.TCPConnector(limit=_LIMIT, force_close=not self._reuse, ttl_dns_cache=10)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True, trust_env=False
        ) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, patience: Patience
    ) -> Exchange:
        """A request that is sent when the block is entered."""
        if self._session is None:
            raise RuntimeError("the client is not running")
        timeout = aiohttp.ClientTimeout(total=patience.total, connect=patience.connect, sock_read=patience.silence)
        return Exchange(
            self._session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False, read_bufsize=_CHUNK
            )
        )


class Exchange:
    """A request and its answer. Leaving the block before the body was read closes the connection."""

    def __init__(self, asked: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> None:
        self._asked = asked

    async def __aenter__(self) -> Response:
        """Send it. Raises UpstreamFailed."""
        try:
            raw = await self._asked.__aenter__()
        except _FAILURES as exc:
            raise _failure(exc) from exc
        return Response(raw.status, raw.headers, raw)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        """Give the connection back, or close it."""
        await self._asked.__aexit__(kind, exc, where)


_FAILURES: Final = (aiohttp.ClientError, ssl.SSLError, ConnectionError, TimeoutError, asyncio.IncompleteReadError)


def _failure(exc: BaseException) -> UpstreamFailed:
    """What it means, and whether anything was sent."""
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            return UpstreamFailed(Reason.TLS_ERROR, "its certificate is not accepted", sent=False)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return UpstreamFailed(Reason.TLS_ERROR, f"TLS failed: {type(exc).__name__}", sent=False)
        case aiohttp.ClientConnectorError():
            message = exc.os_error.strerror or type(exc.os_error).__name__
            return UpstreamFailed(Reason.UNREACHABLE, f"no connection: {message}", sent=False)
        case aiohttp.ConnectionTimeoutError() | aiohttp.InvalidURL():
            return UpstreamFailed(Reason.UNREACHABLE, f"no connection: {type(exc).__name__}", sent=False)
        case TimeoutError():
            return UpstreamFailed(Reason.TIMEOUT, "no answer in time", sent=True)
        case _:
            return UpstreamFailed(Reason.UNREACHABLE, f"the connection broke: {type(exc).__name__}", sent=True)
