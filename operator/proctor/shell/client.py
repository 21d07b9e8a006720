"""One request to the API server, and what its failure means for the loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from yarl import URL

from proctor.plan.world import Manifest
from proctor.shell.access import Credentials, connection
from proctor.shell.errors import Blocked, ProctorError, Retry

_TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
"""Shorter than the time between the last renewal of a lease and its end: no write of a deposed leader can arrive."""

_LIST_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=2)
_IN_FLIGHT = 100

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
EDIT = "application/json-patch+json"


class NotFound(ProctorError):  # noqa: N818 - what was found
    """There is no such object. Callers decide what that means."""


class Conflict(Retry):
    """The object is not the version that the request named, or exists already."""


class Client:
    """The connection to one API server. Create it within a running event loop; close it at the end.

    Plain aiohttp: a generated client costs more than the request itself, and 35 MiB.
    """

    def __init__(self, session: aiohttp.ClientSession, server: str, credentials: Credentials) -> None:
        self._session = session
        self._server = server.rstrip("/")
        self._credentials = credentials
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Client:
        """By the pod's own ServiceAccount, or by a kubeconfig outside of a cluster."""
        info = connection(kubeconfig)
        connector = aiohttp.TCPConnector(ssl=info.as_ssl_context(), limit=_IN_FLIGHT)
        session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "proctor-operator"})
        return cls(session, info.server, Credentials(info))

    async def close(self) -> None:
        """Ends all connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> Manifest:
        """The answer's JSON. Raises NotFound, Conflict, Retry or Blocked."""
        timeout = _LIST_TIMEOUT if query and "limit" in query else _TIMEOUT
        try:
            async with (
                self._slots,
                self._session.request(
                    method,
                    URL(self._server + path).with_query(query),
                    data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                    headers={"Content-Type": content, "Accept": "application/json", **self._credentials.headers()},
                    timeout=timeout,
                ) as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise Retry(f"{method} {path}: {type(exc).__name__} {exc}".strip()) from exc
        if response.status >= 300:  # noqa: PLR2004 - all that is not a success
            raise _error(method, path, response.status, text, response.headers.get("Retry-After"))
        answer: Manifest = json.loads(text)
        return answer


def _error(method: str, path: str, status: int, text: str, retry_after: str | None) -> ProctorError:
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason") or status), str(answer.get("message") or text)
    except (ValueError, AttributeError):
        reason, message = str(status), text[:500]
    what = f"{method} {path}: {status} {message}"
    match status:
        case 404:
            return NotFound(what)
        case 409:
            return Conflict(what)
        case 401 | 408 | 410 | 429 | 500 | 502 | 503 | 504:
            return Retry(what, float(retry_after) if retry_after and retry_after.isdigit() else 0.0)
        case 403 if "being terminated" in message:
            # Its agents are about to go too: nothing is to be told to anybody, only not to be tried again at once.
            return Retry(what, after_seconds=10)
        case _:
            return Blocked(_camel(reason), message)


def _camel(reason: str) -> str:
    return reason if reason.isalpha() else f"ApiServerRefused{reason if reason.isalnum() else ''}"
