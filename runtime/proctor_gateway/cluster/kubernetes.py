"""Kubernetes over plain HTTP: a generated client brings thirty MiB for a handful of requests."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from proctor.api import names
from proctor.api.approval import ApprovalPhase
from proctor_gateway.cluster.access import Access
from proctor_gateway.cluster.port import Event, Gone, Kind, Listing, SecretUnusable
from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.errors import ClusterAway
from proctor_gateway.rules.reasons import Reason

_PAGE: Final = 500
_REQUEST_SECONDS: Final = 15.0
_WATCH_GRACE: Final = 10.0
_LONGEST_LINE: Final = 16 << 20
_CONNECTIONS: Final = 100

_PATHS: Final = {
    Kind.AGENT: f"/apis/{names.API_VERSION}/agents",
    Kind.CONNECTOR: f"/apis/{names.API_VERSION}/connectors",
    Kind.POD: "/api/v1/pods",
    Kind.POLICY: f"/apis/{names.API_VERSION}/policies",
    Kind.CLUSTER_POLICY: f"/apis/{names.API_VERSION}/clusterpolicies",
    Kind.NAMESPACE: "/api/v1/namespaces",
    Kind.APPROVAL: f"/apis/{names.API_VERSION}/approvals",
}
_SELECTORS: Final = {Kind.POD: names.AGENT}

_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"

_OK = 200
_CREATED = 201
_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409
_INVALID = 422
_GONE = 410


class Kubernetes:
    """The API server of the cluster that the gateway runs in, or of the current kubeconfig."""

    def __init__(self, session: aiohttp.ClientSession, access: Access) -> None:
        self._session = session
        self._access = access

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, access: Access) -> AsyncIterator[Kubernetes]:
        """A connection pool that is closed in the end."""
        connector = aiohttp.TCPConnector(ssl=access.tls or True, limit=_CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, headers={"user-agent": names.GATEWAY}) as session:
            yield cls(session, access)

    async def list(self, kind: Kind) -> Listing:
        """All objects of the kind, read page by page."""
        items: list[Mapping[str, Any]] = []
        query = {"limit": str(_PAGE)} | _selector(kind)
        while True:
            status, body = await self._json("GET", _PATHS[kind], query)
            if status == _GONE:
                raise Gone(f"the list of {kind} expired between two pages")
            _expect(status, body, _OK)
            items += body["items"]
            following = body["metadata"].get("continue")
            if not following:
                return Listing(items, body["metadata"]["resourceVersion"])
            query["continue"] = following

    async def watch(self, kind: Kind, version: str, seconds: float) -> AsyncIterator[Event]:
        """What changes after the version. The server ends the watch in time; if it is dead, the client does."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(int(seconds)),
        } | _selector(kind)
        timeout = aiohttp.ClientTimeout(total=seconds + _WATCH_GRACE, sock_connect=_WATCH_GRACE)
        async with self._request("GET", _PATHS[kind], query, None, timeout) as response:
            if response.status == _GONE:
                raise Gone(f"the watch of {kind} from {version}")
            if response.status != _OK:
                raise ClusterAway(f"the API server answers {response.status} to the watch of {kind}")
            async for line in _lines(response):
                yield _event(line)

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of one Secret, got by its name."""
        status, body = await self._json("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}", {})
        if status == _NOT_FOUND:
            raise SecretUnusable(Reason.SECRET_NOT_FOUND, f"there is no Secret {namespace}/{name}")
        if status == _FORBIDDEN:
            raise SecretUnusable(
                Reason.SECRET_FORBIDDEN,
                f"the gateway may not get Secret {namespace}/{name}: a Role with this resourceName and a RoleBinding "
                f"to ServiceAccount {names.INSTALL_NAMESPACE}/{names.GATEWAY} are missing in {namespace}",
            )
        _expect(status, body, _OK)
        try:
            return {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}
        except binascii.Error as exc:
            raise SecretUnusable(Reason.SECRET_KEY_MISSING, f"Secret {namespace}/{name} is not base64") from exc

    async def keep(self, namespace: str, name: str, fresh: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The data of a Secret that is there; of two gateways that fill it, the later takes what the first wrote."""
        while True:
            found = await self.secret(namespace, name)
            lacking = {key: value for key, value in fresh.items() if key not in found}
            if not lacking:
                return found
            path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
            status, body = await self._json("GET", path, {})
            _expect(status, body, _OK)
            added = {key: base64.b64encode(value).decode() for key, value in lacking.items()}
            # With the version that was read: a conflict means that somebody else has filled it, and is read again.
            whole = {**body, "data": {**added, **(body.get("data") or {})}}
            status, body = await self._json("PUT", path, {}, whole)
            if status == _FORBIDDEN:
                raise SecretUnusable(Reason.SECRET_FORBIDDEN, f"the gateway may not write Secret {namespace}/{name}")
            _expect(status, body, _OK, _CONFLICT)

    async def controller_revision(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The ControllerRevision of that name."""
        status, body = await self._json("GET", f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions/{name}", {})
        if status == _NOT_FOUND:
            return None
        _expect(status, body, _OK)
        return body

    async def ask(self, approval: Mapping[str, Any]) -> bool:
        """Create the Approval; whether it was not there yet."""
        namespace = approval["metadata"]["namespace"]
        path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/approvals"
        status, body = await self._json("POST", path, {"fieldManager": names.GATEWAY}, approval)
        if status == _CONFLICT:
            return False
        _expect(status, body, _CREATED)
        return True

    async def withdraw(self, namespace: str, name: str, why: str) -> None:
        """Nobody is asked by that Approval any more; nothing if it is gone, decided or over."""
        path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/approvals/{name}/status"
        patch = {"status": {"phase": ApprovalPhase.WITHDRAWN.value, "withdrawn": why}}
        status, body = await self._json("PATCH", path, {"fieldManager": names.GATEWAY}, patch, _MERGE)
        # What is refused was decided at the same moment: then the decision stands, and nobody is waiting for it.
        _expect(status, body, _OK, _NOT_FOUND, _FORBIDDEN, _INVALID)

    async def review(self, token: str, audience: str | None) -> Identity | None:
        """Whose token it is, as the API server says."""
        spec: dict[str, Any] = {"token": token}
        if audience is not None:
            spec["audiences"] = [audience]
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        status, body = await self._json("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {}, asked)
        _expect(status, body, _CREATED, _OK)
        answer = body.get("status", {})
        if not answer.get("authenticated"):
            return None
        # A server that does not know of audiences leaves them out, and then the token was checked for none of ours.
        if audience is not None and audience not in answer.get("audiences", ()):
            return None
        user = answer.get("user", {})
        return Identity(user["username"], frozenset(user.get("groups") or ()))

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        content: str = _JSON,
    ) -> tuple[int, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        async with self._request(method, path, query, body, timeout, content) as response:
            try:
                found = json.loads(await response.read())
            except ValueError:
                found = {}
            return response.status, found if isinstance(found, dict) else {}

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed to the client, which distinguishes its parts
        content: str = _JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method,
                URL(self._access.server + path).with_query(dict(query)),
                data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers={"accept": _JSON, "content-type": content, **self._access.headers},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise ClusterAway(f"{method} {path}: {type(exc).__name__}") from exc


def _selector(kind: Kind) -> dict[str, str]:
    return {"labelSelector": _SELECTORS[kind]} if kind in _SELECTORS else {}


def _expect(status: int, body: Mapping[str, Any], *wanted: int) -> None:
    if status not in wanted:
        raise ClusterAway(f"the API server answers {status}: {str(body.get('message', ''))[:200]}")


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a watch. An object may be larger than the client's own limit for a line."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > _LONGEST_LINE:
            raise ClusterAway(f"a line of the watch has more than {_LONGEST_LINE} bytes")


def _event(line: bytes) -> Event:
    try:
        event = json.loads(line)
        kind, body = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ClusterAway("the watch sent something that is not an event") from exc
    if kind == "ERROR":
        if body.get("code") == _GONE:
            raise Gone(str(body.get("message", ""))[:200])
        raise ClusterAway(f"the watch ended: {str(body.get('message', ''))[:200]}")
    return Event(deleted=kind == "DELETED", bookmark=kind == "BOOKMARK", body=body)
