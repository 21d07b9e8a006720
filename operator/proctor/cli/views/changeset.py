"""All that a set of manifests would change, in the order of the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctor.api import kinds
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.cli.applying import LAST_APPLIED
from proctor.cli.checks import structure
from proctor.cli.realm import Realm, config_maps_of
from proctor.cli.resources import AGENTS, CONFIG_MAPS, CONNECTORS
from proctor.cli.views import cautions, forecast
from proctor.cli.views.differences import Difference, differences
from proctor.cli.views.forecast import AgentForecast
from proctor.plan.world import Manifest


@dataclass(frozen=True)
class Target:
    """One manifest: the object as it is, and as it would be."""

    place: str
    namespace: str
    live: Manifest | None
    after: Manifest

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.after["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.after["metadata"]["name"])


@dataclass(frozen=True)
class ManifestForecast:
    """One manifest, and what would follow from it."""

    place: str
    kind: str
    namespace: str
    name: str
    state: str
    """`new`, `changed` or `same`."""
    differences: tuple[Difference, ...]
    """Of the fields that are not part of the revision."""
    agent: AgentForecast | None
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class ChangeSet:
    """Everything."""

    manifests: tuple[ManifestForecast, ...]
    affected: tuple[AgentForecast, ...]
    """Agents that no manifest names but that change with what they use."""
    others: tuple[str, ...]
    """Objects of kinds that are not proctor's: not looked into."""
    notes: tuple[str, ...]

    @property
    def changes_something(self) -> bool:
        """Whether applying the manifests would change anything that was looked at."""
        return bool(self.affected) or any(each.state != "same" for each in self.manifests)


@dataclass(frozen=True)
class Knowledge:
    """What the change set is made from."""

    targets: tuple[Target, ...]
    before: Mapping[str, Realm]
    after: Mapping[str, Realm]
    secrets: Mapping[tuple[str, str], Manifest | None]
    """Those that could be asked for; None for one that does not exist."""
    notes: tuple[str, ...] = ()


def make(known: Knowledge, now: datetime) -> ChangeSet:
    """The change set. Raises Invalid if an Agent of the manifests, or a Connector that it uses, cannot be read."""
    ours = {kind.name for kind in kinds.ALL}
    instructions = {
        (namespace, name) for namespace, realm in known.after.items() for name in config_maps_of(realm.agents.values())
    }
    shown = [
        each
        for each in known.targets
        if each.kind in ours or (each.kind == CONFIG_MAPS.kind and (each.namespace, each.name) in instructions)
    ]
    others = Counter(each.kind for each in known.targets if each not in shown)
    return ChangeSet(
        manifests=tuple(_manifest(each, known, now) for each in shown),
        affected=tuple(_affected(known, now)),
        others=tuple(f"{kind} ({count})" if count > 1 else kind for kind, count in sorted(others.items())),
        notes=known.notes,
    )


def _manifest(target: Target, known: Knowledge, now: datetime) -> ManifestForecast:
    agent = None
    if target.kind == AGENTS.kind:
        agent = forecast.of_agent(known.before[target.namespace], known.after[target.namespace], target.name, now)
    changed = tuple(_changed(target)) if target.live else ()
    told = {each.path for each in agent.revision.behaviour} if agent else set()
    return ManifestForecast(
        place=target.place,
        kind=target.kind,
        namespace=target.namespace,
        name=target.name,
        state="new" if target.live is None else "changed" if changed else "same",
        differences=tuple(each for each in changed if each.path.removeprefix("spec.") not in told),
        agent=agent,
        cautions=agent.cautions if agent else tuple(_cautions(target, known)),
    )


def _changed(target: Target) -> Iterator[Difference]:
    before, after = _whole(target.live or {}), _whole(target.after)
    if target.kind == CONFIG_MAPS.kind:
        yield from differences(before.get("data", {}), after.get("data", {}), "data")
    else:
        yield from differences(before.get("spec", {}), after.get("spec", {}), "spec")
    for part in ("labels", "annotations"):
        yield from differences(_metadata(before, part), _metadata(after, part), f"metadata.{part}")


def _whole(body: Manifest) -> Manifest:
    kind = next((each for each in kinds.ALL if each.name == body.get("kind")), None)
    if kind is None:
        return body
    defaulted: Manifest = structure.with_defaults(structure.of_kind(kind), body)
    return defaulted


def _metadata(body: Manifest, part: str) -> dict[str, Any]:
    values = body.get("metadata", {}).get(part) or {}
    return {key: value for key, value in values.items() if key != LAST_APPLIED}


def _cautions(target: Target, known: Knowledge) -> Iterator[str]:
    if target.kind != CONNECTORS.kind:
        if target.kind != CONFIG_MAPS.kind:
            yield f"this version keeps a {target.kind} but does not act on it"
        return
    connector = Connector.parse(
        {**target.after, "metadata": {**target.after["metadata"], "namespace": target.namespace}}
    )
    secret = (target.namespace, connector.spec.auth.secret_ref.name if connector.spec.auth else "")
    yield from cautions.of_connector(connector, known.secrets.get(secret), is_secret_known=secret in known.secrets)


def _affected(known: Knowledge, now: datetime) -> Iterator[AgentForecast]:
    for namespace, realm in sorted(known.after.items()):
        named = {each.name for each in known.targets if each.kind == AGENTS.kind and each.namespace == namespace}
        yield from forecast.affected(known.before[namespace], realm, named, now)


def secrets_of(targets: Iterable[Target]) -> frozenset[tuple[str, str]]:
    """The Secrets that the Connectors among the targets refer to, as (namespace, name)."""
    found = set()
    for each in targets:
        if each.kind != CONNECTORS.kind:
            continue
        try:
            auth = Connector.parse(each.after).spec.auth
        except Invalid:
            continue
        if auth:
            found.add((each.namespace, auth.secret_ref.name))
    return frozenset(found)
