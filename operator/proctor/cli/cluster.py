"""The connection to the API server: what the user's own kubeconfig may do, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from proctor.cli import access
from proctor.cli.errors import CliError, Denied, NotFound
from proctor.cli.facts import Listing
from proctor.cli.refusals import refusal
from proctor.cli.resources import Resource
from proctor.plan.world import Manifest

_PAGE = 500
_SECONDS = 30.0
_JSON = "application/json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Cluster:
    """One API server, as one user of one kubeconfig. Raises only `CliError`s."""

    def __init__(self, way: access.Access) -> None:
        self.namespace = way.namespace
        self.host: str = way.client.configuration.host
        self._way = way

    def get(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """The object. Raises NotFound, Denied, or CliError when the API server cannot be reached."""
        found = self._call("GET", resource.path(namespace, name), f"{resource.kind} {_spoken(namespace, name)}")
        return _whole(resource, found)

    def find(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """The object; None if there is none."""
        try:
            return self.get(resource, namespace, name)
        except NotFound:
            return None

    def metadata(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """The object's metadata alone. Its content, which may be secret, never leaves the API server."""
        return self._call(
            "GET", resource.path(namespace, name), f"{resource.kind} {_spoken(namespace, name)}", accept=_METADATA_ONLY
        )

    def list(self, resource: Resource, namespace: str | None = None, **query: str) -> tuple[Manifest, ...]:
        """All objects in the namespace (None: in the cluster). `query` are labelSelector, fieldSelector and such."""
        place = f" in namespace {namespace}" if namespace else ""
        return tuple(self._pages(resource, namespace, f"the {resource.plural}{place}", query))

    def look(self, resource: Resource, namespace: str | None = None, **query: str) -> Listing:
        """As `list`, but where the person may not look the answer says so instead of being an error."""
        try:
            return Listing(self.list(resource, namespace, **query))
        except Denied as denied:
            return Listing(withheld=denied.message)

    def send(
        self, method: str, path: str, body: object, about: str, *, content_type: str = _JSON, **query: str
    ) -> Manifest:
        """A request that says something: a token to be issued, a dry run. `about` names the object in an error."""
        return self._call(method, path, about, body=body, content_type=content_type, query=query)

    def events(self, resource: Resource, namespace: str | None, *, seconds: int, **query: str) -> Iterator[Manifest]:
        """What changes from now on, as watch events, for so many seconds."""
        path = resource.path(namespace)
        asked = {"watch": "true", "timeoutSeconds": str(seconds), **query}
        for line in self.lines(path, f"the {resource.plural}", timeout=(10.0, seconds + 5.0), **asked):
            yield json.loads(line)

    def lines(self, path: str, about: str, *, timeout: tuple[float, float | None], **query: str) -> Iterator[str]:
        """The lines of an endless answer, as they come."""
        response = self._open("GET", path, about, query=query, timeout=timeout)
        rest = b""
        with refusal(about, self.host):
            for chunk in response.stream(65_536, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole if line)
        if rest:
            yield rest.decode(errors="replace")

    def bearer(self) -> str | None:
        """The token by which this kubeconfig is known to the API server; None if it is known by a certificate."""
        with refusal("the kubeconfig's credential", self.host):
            setting: Mapping[str, Any] = self._way.client.configuration.auth_settings().get("BearerToken", {})
        scheme, _, token = str(setting.get("value", "")).partition(" ")
        return token if scheme.lower() == "bearer" and token else None

    def new_client(self) -> Any:
        """Another `ApiClient` with the same settings, for a caller that bends it to its own use."""
        from kubernetes.client import ApiClient

        return ApiClient(configuration=self._way.client.configuration)

    def _pages(
        self, resource: Resource, namespace: str | None, about: str, query: dict[str, str]
    ) -> Iterator[Manifest]:
        rest: str | None = ""
        while rest is not None:
            page = self._call(
                "GET", resource.path(namespace), about, query={"limit": str(_PAGE), "continue": rest, **query}
            )
            yield from (_whole(resource, each) for each in page["items"])
            rest = page["metadata"].get("continue") or None

    def _call(
        self,
        method: str,
        path: str,
        about: str,
        *,
        body: object = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        headers = {"Accept": accept, **({"Content-Type": content_type} if body is not None else {})}
        response = self._open(method, path, about, body=body, headers=headers, query=query or {})
        with refusal(about, self.host):
            answer = response.data
        try:
            parsed: Manifest = json.loads(answer)
        except ValueError as exc:
            raise CliError(f"{about}: {self.host} did not answer with JSON; is it a Kubernetes API server?") from exc
        return parsed

    def _open(
        self,
        method: str,
        path: str,
        about: str,
        *,
        query: Mapping[str, str],
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: tuple[float, float | None] = (10.0, _SECONDS),
    ) -> Any:
        client = self._way.client
        with refusal(about, self.host):
            request = client.param_serialize(
                method,
                path,
                query_params=[(key, value) for key, value in query.items() if value],
                header_params=dict(headers or {"Accept": _JSON}),
                body=body,
                auth_settings=["BearerToken"],
            )
            response = client.call_api(*request, _request_timeout=timeout).response
            if response.status >= 400:  # noqa: PLR2004 - HTTP's own line
                access.refuse(response.status, response.data, about)
        return response


def _whole(resource: Resource, item: Manifest) -> Manifest:
    # The items of a list do not say what they are; the planners ask.
    return {"apiVersion": resource.api_version, "kind": resource.kind, **item}


def _spoken(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
