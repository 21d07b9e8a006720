"""What does not keep a manifest from being carried out, but that a person should know before it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proctor.api.connector import Connector, ConnectorType, Effect
from proctor.cli.wording import one_line
from proctor.plan import findings
from proctor.plan.world import Manifest, World


def of_world(world: World) -> Iterator[str]:
    """Everything that is worth a second look."""
    spec = world.agent.spec
    ignored = findings.not_acted_on(spec)
    if ignored:
        yield f"kept, but not acted on by this version: {', '.join(ignored)}"
    if spec.suspend:
        yield "spec.suspend is true: no task is taken, no pod runs"
    if not spec.access.callers:
        yield "spec.access.callers is empty: nobody may send tasks"
    if spec.runtime.replicas == 0 and not spec.suspend:
        yield "spec.runtime.replicas is 0: no pod runs"
    # A Connector that is yet to be created cannot have been probed: that is no news.
    there = {name for name, each in world.connectors.items() if each.metadata.uid}
    for connector in findings.unready_connectors(world):
        if connector.partition(":")[0] in there:
            yield f"connector {connector}"
    yield from _models(world)
    yield from _tools(world)


def _models(world: World) -> Iterator[str]:
    wanted = world.agent.spec.model
    connector = world.connectors.get(wanted.connector)
    if connector is None or connector.spec.type is not ConnectorType.MODEL:
        return
    if connector.status.models and wanted.name not in connector.status.models:
        yield f"model {wanted.name}: {wanted.connector} offers {_some(connector.status.models)}"
    if world.agent.spec.limits.max_cost is not None and connector.spec.price(wanted.name) is None:
        yield f"limits.maxCost is set, but Connector {wanted.connector} has no price for {wanted.name}"


def _tools(world: World) -> Iterator[str]:
    for grant in world.agent.spec.tools:
        connector = world.connectors.get(grant.connector)
        if connector is None:
            continue
        offered = {tool.name for tool in connector.status.tools}
        declared = {tool.name for tool in connector.spec.tools}
        for name in grant.allow:
            if offered and name not in offered:
                yield f"tool {grant.connector}/{name}: the system does not offer it; it has {_some(sorted(offered))}"
            elif name not in declared:
                yield f"tool {grant.connector}/{name}: not declared in the Connector, so it counts as {Effect.ONCE}"


def of_connector(connector: Connector, secret: Manifest | None, *, is_secret_known: bool) -> Iterator[str]:
    """What is doubtful about a Connector. `secret` holds the names of its keys only, never a value."""
    if connector.spec.type not in {ConnectorType.MODEL, ConnectorType.MCP}:
        yield f"type {connector.spec.type} is kept, but not acted on by this version"
    auth = connector.spec.auth
    if auth is None:
        yield "no auth: the gateway calls the system without a credential"
    elif is_secret_known:
        place = f"Secret {connector.metadata.namespace}/{auth.secret_ref.name}"
        if secret is None:
            yield f"{place} does not exist: the gateway could not call the system"
        elif auth.secret_ref.key not in keys_of(secret):
            yield f"{place} has no key {auth.secret_ref.key}; it has: {_some(sorted(keys_of(secret)))}"
    if connector.spec.url.startswith("http://") and auth is not None and ".svc" not in connector.spec.url:
        yield f"{one_line(connector.spec.url)} is not encrypted: the credential can be read on the way"
    unpinned = [tool.name for tool in connector.spec.tools if tool.definition_digest is None]
    if unpinned:
        yield f"definitions are not pinned: {_some(unpinned)}"


def keys_of(secret: Manifest) -> frozenset[str]:
    """The keys of a Secret, told by its own data or, without reading any value, by who set which field."""
    own = {*(secret.get("data") or {}), *(secret.get("stringData") or {})}
    for entry in secret.get("metadata", {}).get("managedFields", ()):
        fields: Mapping[str, object] = entry.get("fieldsV1", {}).get("f:data", {})
        own |= {each.removeprefix("f:") for each in fields if each.startswith("f:")}
    return frozenset(own)


def _some(names: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    shown = list(names)
    return (", ".join(shown[:6]) + (" …" if len(shown) > 6 else "")) or "none"  # noqa: PLR2004 - what fits a line
