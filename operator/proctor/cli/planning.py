"""From manifests to all that would follow from them: with a cluster, or with what the files hold alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from proctor.api import kinds
from proctor.api.kinds import Scope
from proctor.api.meta import Invalid
from proctor.cli.errors import CliError
from proctor.cli.manifests import Document
from proctor.cli.realm import UNKNOWN_IMAGE, Realm, config_maps_of, platform_of
from proctor.cli.resources import AGENTS, SECRETS
from proctor.cli.surroundings import Surroundings
from proctor.cli.views import changeset
from proctor.cli.views.changeset import ChangeSet, Knowledge, Target
from proctor.plan.world import Manifest

_CLUSTER_SCOPED = {kind.name for kind in kinds.ALL if kind.scope is Scope.CLUSTER} | {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "RuntimeClass",
}


def offline(documents: Iterable[Document], namespace: str, now: datetime) -> ChangeSet:
    """What would follow in a cluster that holds nothing but these manifests."""
    targets = tuple(_as_new(each, _place_of(each, namespace)) for each in documents)
    before = {each: _empty(each) for each in _namespaces(targets, namespace)}
    classes = frozenset(each.name for each in targets if each.kind == "RuntimeClass")
    after = {
        each: replace(realm.with_objects(_within(targets, each)), runtime_classes=classes)
        for each, realm in before.items()
    }
    notes: tuple[str, ...] = ("offline: what these manifests do not hold is taken for absent",)
    if any("image" not in each.after["spec"].get("runtime", {}) for each in targets if each.kind == AGENTS.kind):
        notes += (f"offline: the default agent's image is not known, so revisions are counted with {UNKNOWN_IMAGE}",)
    return _change_set(Knowledge(targets, before, after, _held(targets), notes), now)


def online(documents: Iterable[Document], surroundings: Surroundings, now: datetime) -> ChangeSet | None:
    """What would follow in this cluster; None if the API server found faults, which `surroundings` then holds."""
    default = surroundings.cluster.namespace
    targets = tuple(surroundings.target(each, _place_of(each, default)) for each in documents)
    if surroundings.faults:
        return None
    new_agents = [each.after for each in targets if each.kind == AGENTS.kind]
    config_maps = config_maps_of(new_agents)
    before = {each: surroundings.realm(each, config_maps) for each in _namespaces(targets, default)}
    after = {each: realm.with_objects(_within(targets, each)) for each, realm in before.items()}
    held = _held(targets)
    asked = dict(surroundings.secrets(changeset.secrets_of(targets) - set(held)))
    return _change_set(Knowledge(targets, before, after, {**asked, **held}, tuple(surroundings.notes)), now)


def _change_set(known: Knowledge, now: datetime) -> ChangeSet:
    try:
        return changeset.make(known, now)
    except Invalid as invalid:
        raise CliError(
            f"an object cannot be read: {invalid}", "use the kubectl-proctor of the installed version"
        ) from invalid


def _as_new(document: Document, namespace: str) -> Target:
    body = {**document.body, "metadata": {**document.body["metadata"], "namespace": namespace}}
    return Target(document.place(), namespace, None, body)


def _place_of(document: Document, default: str) -> str:
    return "" if document.kind in _CLUSTER_SCOPED else document.namespace or default


def _namespaces(targets: Iterable[Target], default: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.namespace for each in targets if each.namespace)) or (default,)


def _within(targets: Iterable[Target], namespace: str) -> list[Manifest]:
    return [each.after for each in targets if each.namespace == namespace]


def _held(targets: Iterable[Target]) -> Mapping[tuple[str, str], Manifest | None]:
    return {(each.namespace, each.name): each.after for each in targets if each.kind == SECRETS.kind}


def _empty(namespace: str) -> Realm:
    return Realm(namespace, platform_of(None), agents={}, connectors={}, config_maps={})
