"""Reads what a plan is about: the namespaces of the manifests, the objects as they are, and as they would be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never

from proctor.api import names
from proctor.cli import applying
from proctor.cli.applying import Create, Merge, ServerSide
from proctor.cli.cluster import APPLY_PATCH, MERGE_PATCH, Cluster
from proctor.cli.errors import CliError, Denied, NotFound, Refused
from proctor.cli.manifests import Document, Fault, parsed_path
from proctor.cli.realm import Realm, config_maps_of, platform_of
from proctor.cli.resources import (
    AGENTS,
    CLUSTER_POLICIES,
    CONFIG_MAPS,
    CONNECTORS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    OURS,
    OWNED,
    PODS,
    POLICIES,
    RUNTIME_CLASSES,
    SECRETS,
    Resource,
)
from proctor.cli.views.changeset import Target
from proctor.plan.world import Manifest

_LOOKED_AT: dict[str, Resource] = {**OURS, CONFIG_MAPS.kind: CONFIG_MAPS}


@dataclass
class Surroundings:
    """A cluster, read for one plan. What this person may not see is noted, once for each kind of object."""

    cluster: Cluster
    installation: str = names.INSTALL_NAMESPACE
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def realm(self, namespace: str, config_maps: Iterable[str]) -> Realm:
        """The namespace as it is; `config_maps` are read besides those that its agents refer to."""
        agents = {each["metadata"]["name"]: each for each in self.cluster.list(AGENTS, namespace)}
        wanted = {*config_maps, *config_maps_of(agents.values())}
        found = {name: self._find(CONFIG_MAPS, namespace, name) for name in sorted(wanted)}
        managed = f"{names.MANAGED_BY}=proctor"
        return Realm(
            namespace=namespace,
            platform=platform_of(self._operator()),
            agents=agents,
            connectors={each["metadata"]["name"]: each for each in self.cluster.list(CONNECTORS, namespace)},
            config_maps={name: each for name, each in found.items() if each},
            owned=tuple(each for kind in OWNED for each in self._look(kind, namespace, labelSelector=managed)),
            pods=self._look(PODS, namespace, labelSelector=managed),
            network_policies=self._look(NETWORK_POLICIES, namespace),
            runtime_classes=frozenset(each["metadata"]["name"] for each in self._look(RUNTIME_CLASSES, None)),
            policies=(
                *(_typed(each, POLICIES) for each in self._look(POLICIES, namespace)),
                *(_typed(each, CLUSTER_POLICIES) for each in self._look(CLUSTER_POLICIES, None)),
            ),
            namespace_labels=self._labels(namespace),
            read_at=datetime.now(UTC),
        )

    def _labels(self, namespace: str) -> dict[str, str]:
        try:
            found = self._find(NAMESPACES, "", namespace)
        except Denied:
            # Its name is known all the same, and most policies ask for nothing else.
            return {}
        labels: dict[str, str] = (found or {}).get("metadata", {}).get("labels") or {}
        return labels

    def target(self, document: Document, namespace: str) -> Target:
        """The manifest's object as it is and as it would be: by the API server's dry run where that may be asked."""
        body = {**document.body, "metadata": {**document.body["metadata"], "namespace": namespace}}
        resource = _LOOKED_AT.get(document.kind)
        if resource is None:
            return Target(document.place(), namespace, None, body)
        live = self._find(resource, namespace, document.name)
        request = applying.request(body, live)
        after = applying.outcome(request, live)
        if document.kind in OURS:
            after = self._dry_run(document, resource, namespace, request) or after
        return Target(document.place(), namespace, live, after)

    def secrets(self, wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Manifest | None]]:
        """Those Secrets that exist, without their values; the ones that this person may not ask for are left out."""
        for namespace, name in sorted(wanted):
            try:
                yield (namespace, name), self.cluster.metadata(SECRETS, namespace, name)
            except NotFound:
                yield (namespace, name), None
            except Denied as denied:
                self._note(f"not checked: {denied.message}")

    def _dry_run(
        self, document: Document, resource: Resource, namespace: str, request: applying.Request
    ) -> Manifest | None:
        try:
            return self._ask(resource, namespace, document.name, request)
        except Refused as refused:
            self.faults += _faults(document, refused)
        except NotFound:
            self._note(f"namespace {namespace} does not exist yet, so the API server could not check what goes there")
        except Denied as denied:
            self._note(f"not checked by the API server: {denied.message}")
        return None

    def _ask(self, resource: Resource, namespace: str, name: str, request: applying.Request) -> Manifest:
        about = f"{resource.kind} {namespace}/{name}"
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        send: Callable[..., Manifest] = self.cluster.send
        match request:
            case Create(body=body):
                return send("POST", resource.path(namespace), body, about, **query)
            case Merge(patch=patch):
                path = resource.path(namespace, name)
                return send("PATCH", path, patch, about, content_type=MERGE_PATCH, **query)
            case ServerSide(body=body, manager=manager):
                asked: dict[str, Any] = {**query, "fieldManager": manager, "force": "true"}
                path = resource.path(namespace, name)
                return send("PATCH", path, body, about, content_type=APPLY_PATCH, **asked)
            case _:
                assert_never(request)

    def _operator(self) -> Manifest | None:
        try:
            found = self.cluster.find(DEPLOYMENTS, self.installation, names.OPERATOR)
        except Denied as denied:
            self._note(f"the installation's own image is not known: {denied.message}")
            return None
        if found is None:
            self._note(f"proctor is not installed in namespace {self.installation}: nobody would carry this out")
        return found

    def _find(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        return self.cluster.find(resource, namespace, name)

    def _look(self, resource: Resource, namespace: str | None, **query: str) -> tuple[Manifest, ...]:
        seen = self.cluster.look(resource, namespace, **query)
        if seen.withheld:
            self._note(f"taken for absent: {seen.withheld}")
        return seen.items

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _typed(body: Manifest, of: Resource) -> Manifest:
    # The items of a list do not say what they are.
    return {**body, "apiVersion": of.api_version, "kind": of.kind}


def _faults(document: Document, refused: Refused) -> Iterator[Fault]:
    if not refused.causes:
        yield document.fault((), refused.message)
    for path, message in refused.causes:
        yield document.fault(parsed_path(path), message)


def needs_cluster(error: CliError) -> CliError:
    """The error, with the way to plan without a cluster."""
    return type(error)(error.message, *error.hints, "add --offline to check the manifests without a cluster")
