"""One request to the API server, and what its failure means for the loop."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config

from proctor.plan.world import Manifest
from proctor.shell.errors import Blocked, ProctorError, Retry

_TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
"""Shorter than the time between the last renewal of a lease and its end: no write of a deposed leader can arrive."""

_LIST_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=2)
_IN_FLIGHT = 100
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class NotFound(ProctorError):  # noqa: N818 - what was found
    """There is no such object. Callers decide what that means."""


class Conflict(Retry):
    """The object is not the version that the request named, or exists already."""


class Client:
    """The connection to one API server. Create it within a running event loop; close it at the end."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Client:
        """By the pod's own ServiceAccount, or by a kubeconfig outside of a cluster."""
        configuration = client.Configuration()
        configuration.connection_pool_maxsize = _IN_FLIGHT
        if kubeconfig is None and _is_in_cluster():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """Ends all connections."""
        await self._api.close()

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
            async with self._slots:
                response = await self._api.call_api(
                    path,
                    method,
                    query_params=list((query or {}).items()),
                    header_params={"Content-Type": content, "Accept": "application/json"},
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=timeout,
                )
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise Retry(f"{method} {path}: {type(exc).__name__} {exc}".strip()) from exc
        if response.status >= 300:  # noqa: PLR2004 - all that is not a success
            raise _error(method, path, response.status, text, response.headers.get("Retry-After"))
        answer: Manifest = json.loads(text)
        return answer


def _is_in_cluster() -> bool:
    return _NAMESPACE_FILE.exists()


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
        case 401 | 408 | 429 | 500 | 502 | 503 | 504:
            return Retry(what, float(retry_after) if retry_after and retry_after.isdigit() else 0.0)
        case 403 if "being terminated" in message:
            # Its agents are about to go too: nothing is to be told to anybody, only not to be tried again at once.
            return Retry(what, after_seconds=10)
        case _:
            return Blocked(_camel(reason), message)


def _camel(reason: str) -> str:
    return reason if reason.isalpha() else f"ApiServerRefused{reason if reason.isalnum() else ''}"
