"""What keeps an Agent from being planned, and what of it is not acted on yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proctor.api.agent import AgentSpec, Profile
from proctor.api.connector import ConnectorType
from proctor.api.meta import ConditionStatus
from proctor.plan.world import Manifest, World, name_of
from proctor.policy import replies

FORBIDDEN = "PolicyViolation"
"""The reason of what an enforced policy does not allow."""

_UNFIT = "ReplyMismatch"

OF_CONTENT = frozenset({FORBIDDEN, _UNFIT})
"""Reasons for which nothing is missing: what revision the spec asks for is known all the same."""


@dataclass(frozen=True)
class Obstacle:
    """Why the spec cannot be carried out until somebody changes something, in words that name it."""

    reason: str
    message: str


def obstacles(world: World) -> tuple[Obstacle, ...]:
    """All of them, not the first: a person should need one look."""
    return (
        *_instructions(world),
        *_connectors(world),
        *_runtime_class(world),
        *(Obstacle(_UNFIT, f"{field} {fault}") for field, fault in replies.faults(world.agent.spec)),
        *forbidden(world),
    )


def forbidden(world: World) -> tuple[Obstacle, ...]:
    """What enforced policies do not allow. What serves goes on serving; what is tried is withdrawn."""
    found = (Obstacle(FORBIDDEN, f"{e.policy} {e.rule}: {e.message}") for e in world.standing.obstacles)
    return tuple(found)


def _instructions(world: World) -> Iterator[Obstacle]:
    source = world.agent.spec.instructions_from
    if world.instructions is None and source is not None:
        ref = source.config_map_key_ref
        yield Obstacle(
            "InstructionsNotFound",
            f"spec.instructionsFrom: ConfigMap {world.agent.metadata.namespace}/{ref.name} has no key {ref.key}; "
            "create it",
        )


def _connectors(world: World) -> Iterator[Obstacle]:
    spec, namespace = world.agent.spec, world.agent.metadata.namespace
    wanted = [("spec.model", spec.model.connector, {ConnectorType.MODEL})]
    wanted += [
        (f"spec.tools[{index}]", grant.connector, {ConnectorType.MCP, ConnectorType.HTTP, ConnectorType.A2A})
        for index, grant in enumerate(spec.tools)
    ]
    for path, name, types in wanted:
        connector = world.connectors.get(name)
        if name in world.unreadable:
            yield Obstacle(
                "ConnectorInvalid", f"{path}: this version cannot read Connector {namespace}/{name}; mend it"
            )
        elif connector is None:
            yield Obstacle("ConnectorNotFound", f"{path}: there is no Connector {namespace}/{name}; create it")
        elif connector.spec.type not in types:
            allowed = ", ".join(sorted(types))
            yield Obstacle(
                "ConnectorTypeMismatch",
                f"{path}: Connector {namespace}/{name} has type {connector.spec.type}, needed is {allowed}",
            )


def _runtime_class(world: World) -> Iterator[Obstacle]:
    sandbox = world.agent.spec.sandbox
    if sandbox.profile is not Profile.ISOLATED:
        return
    name = sandbox.runtime_class_name or world.platform.isolated_runtime_class
    if name is None:
        yield Obstacle(
            "RuntimeClassNotFound",
            "spec.sandbox: profile Isolated needs a RuntimeClass, and the installation names none; "
            "set spec.sandbox.runtimeClassName",
        )
    elif name not in world.runtime_classes:
        known = ", ".join(sorted(world.runtime_classes)) or "none"
        yield Obstacle("RuntimeClassNotFound", f"spec.sandbox: the cluster has no RuntimeClass {name}; it has: {known}")


def not_acted_on(spec: AgentSpec) -> tuple[str, ...]:  # noqa: ARG001 - there is none at present
    """The fields of the spec that are kept but that this version does not act on: none at present."""
    return ()


def unready_connectors(world: World) -> tuple[str, ...]:
    """The agent's connectors whose last probe did not find them ready, each with the reason."""
    spec = world.agent.spec
    used = dict.fromkeys([spec.model.connector, *(grant.connector for grant in spec.tools)])
    return tuple(_unready(world, name) for name in used if _unready(world, name))


def _unready(world: World, name: str) -> str:
    connector = world.connectors.get(name)
    ready = connector.status.condition("Ready") if connector else None
    if ready is None:
        return f"{name}: not probed yet"
    return "" if ready.status is ConditionStatus.TRUE else f"{name}: {ready.reason}"


def foreign_policies(policies: Iterable[Manifest], labels: dict[str, str], own: str) -> tuple[str, ...]:
    """The NetworkPolicies of others that select pods with these labels, and so may let in or out what ours does not."""
    return tuple(name_of(each) for each in policies if name_of(each) != own and _selects(each, labels))


def _selects(policy: Manifest, labels: dict[str, str]) -> bool:
    selector = policy["spec"].get("podSelector") or {}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_matches(each, labels) for each in selector.get("matchExpressions", ()))


def _matches(expression: Manifest, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
