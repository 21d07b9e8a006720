"""The HTTP client of the hot path: agent pods and models. The one module to change for another client.

What it promises beyond a response: whether a failure happened before anything was sent. Redirects are not followed,
because a credential would follow them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

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
        with _translated():
            async for chunk in self._raw.content.iter_any():
                size += len(chunk)
                if limit is not None and size > limit:
                    raise UpstreamFailed(Reason.PROTOCOL_ERROR, f"the answer has more than {limit} bytes", sent=True)
                yield chunk


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

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, patience: Patience
    ) -> AsyncIterator[Response]:
        """Send a request. Leaving the block before the body was read closes the connection. Raises UpstreamFailed."""
        if self._session is None:
            raise RuntimeError("the client is not running")
        timeout = aiohttp.ClientTimeout(total=patience.total, connect=patience.connect, sock_read=patience.silence)
        with _translated():
            async with self._session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False, read_bufsize=_CHUNK
            ) as raw:
                yield Response(raw.status, raw.headers, raw)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as exc:
        raise UpstreamFailed(Reason.TLS_ERROR, "its certificate is not accepted", sent=False) from exc
    except (aiohttp.ClientSSLError, ssl.SSLError) as exc:
        raise UpstreamFailed(Reason.TLS_ERROR, f"TLS failed: {type(exc).__name__}", sent=False) from exc
    except aiohttp.ClientConnectorError as exc:
        message = exc.os_error.strerror or type(exc.os_error).__name__
        raise UpstreamFailed(Reason.UNREACHABLE, f"no connection: {message}", sent=False) from exc
    except (aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as exc:
        raise UpstreamFailed(Reason.UNREACHABLE, f"no connection: {type(exc).__name__}", sent=False) from exc
    except TimeoutError as exc:
        raise UpstreamFailed(Reason.TIMEOUT, "no answer in time", sent=True) from exc
    except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as exc:
        raise UpstreamFailed(Reason.UNREACHABLE, f"the connection broke: {type(exc).__name__}", sent=True) from exc
