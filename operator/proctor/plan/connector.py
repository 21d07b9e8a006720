"""A Connector: what the probe measured becomes its status. A Connector has no children."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from proctor.api.connector import Connector, ConnectorStatus, ConnectorType, FoundTool
from proctor.plan import conditions
from proctor.plan.conditions import Finding
from proctor.plan.world import Event, Plan

_WHEN_WELL = timedelta(minutes=5)
_WHEN_ILL = timedelta(seconds=20)
_WHEN_UNMEASURED = timedelta(seconds=10)
_CREDENTIAL_REASONS = {"SecretNotFound", "SecretForbidden", "SecretKeyMissing", "Unauthorized"}
_PROBED = {ConnectorType.MODEL, ConnectorType.MCP}
_SHOWN = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ProbedTool:
    """A tool that the system offers, and the digest of its definition."""

    name: str
    digest: str


@dataclass(frozen=True)
class Probe:
    """What the gateway found when it called the system with the Connector's credential."""

    generation: int
    reachable: bool
    reason: str
    message: str
    tools: tuple[ProbedTool, ...]
    models: tuple[str, ...]
    probed_at: datetime


@dataclass(frozen=True)
class NoProbe:
    """The gateway could not be asked."""

    message: str


@dataclass(frozen=True)
class ConnectorWorld:
    """All that is known when a Connector is planned. `probe` is None while none is due."""

    connector: Connector
    probe: Probe | NoProbe | None


def is_probe_due(connector: Connector, now: datetime) -> bool:
    """Whether the last measurement is too old, or of another spec."""
    return connector.spec.type in _PROBED and now >= _next_probe(connector)


def plan_connector(world: ConnectorWorld, now: datetime) -> Plan:
    """The Connector's status, and when to measure again."""
    connector = world.connector
    status = _status(connector, world.probe, now)
    after = connector.model_copy(update={"status": status})
    report = status.dump()
    wake_at = max(_next_probe(after), now + _WHEN_UNMEASURED) if connector.spec.type in _PROBED else now + _WHEN_WELL
    return Plan(
        wake_at=wake_at,
        status=report if report != connector.status.dump() else None,
        events=tuple(_events(connector, status)),
    )


def _next_probe(connector: Connector) -> datetime:
    status = connector.status
    if status.last_probe is None:
        return _EPOCH
    if status.observed_generation != connector.metadata.generation:
        return status.last_probe
    return status.last_probe + (_WHEN_WELL if status.reachable else _patience(status, status.last_probe))


def _patience(status: ConnectorStatus, probed_at: datetime) -> timedelta:
    """As long as the system has been ill, within bounds: each probe is a call, and a write of the status."""
    reachable = status.condition("Reachable")
    ill_for = probed_at - reachable.last_transition_time if reachable else timedelta()
    return min(_WHEN_WELL, max(_WHEN_ILL, ill_for))


def _status(connector: Connector, probe: Probe | NoProbe | None, now: datetime) -> ConnectorStatus:
    generation = connector.metadata.generation
    match probe:
        case None if connector.spec.type in _PROBED:
            return connector.status
        case Probe(generation=measured) if measured == generation:
            facts = _measured(connector, probe)
        case Probe():
            # The gateway has not seen the newest spec: to report its finding would be to report of another object.
            behind = tuple(_waiting("GatewayBehind", "the gateway knows an older spec"))
            return _unmeasured(connector, behind, now)
        case NoProbe(message=message):
            return _unmeasured(connector, tuple(_waiting("GatewayUnreachable", message)), now)
        case _:
            facts = ConnectorStatus(summary=f"{connector.spec.type} is not acted on by this version")
    return _dated(connector, facts, tuple(_findings(connector, facts, probe)), now)


def _unmeasured(connector: Connector, findings: tuple[Finding, ...], now: datetime) -> ConnectorStatus:
    # The observed generation stays behind, so that nobody takes the last measurement for one of the newest spec.
    status = connector.status
    merged = conditions.merge(status.conditions, findings, connector.metadata.generation, now)
    return status.model_copy(update={"conditions": merged})


def _dated(
    connector: Connector, facts: ConnectorStatus, findings: tuple[Finding, ...], now: datetime
) -> ConnectorStatus:
    generation = connector.metadata.generation
    return facts.model_copy(
        update={
            "observed_generation": generation,
            "conditions": conditions.merge(connector.status.conditions, findings, generation, now),
        }
    )


def _measured(connector: Connector, probe: Probe) -> ConnectorStatus:
    found = tuple(_found(connector, tool) for tool in sorted(probe.tools, key=lambda tool: tool.name))
    counted = f"{len(found)} tools" if connector.spec.type is ConnectorType.MCP else f"{len(probe.models)} models"
    return ConnectorStatus(
        reachable=probe.reachable,
        tools=found,
        models=tuple(sorted(probe.models)),
        summary=counted if probe.reachable else probe.reason,
        last_probe=probe.probed_at,
    )


def _found(connector: Connector, tool: ProbedTool) -> FoundTool:
    declared = next((each for each in connector.spec.tools if each.name == tool.name), None)
    pinned = declared.definition_digest if declared else None
    return FoundTool(
        name=tool.name,
        digest=tool.digest,
        declared=declared is not None,
        drifted=pinned is not None and pinned != tool.digest,
    )


def _waiting(reason: str, message: str) -> Iterator[Finding]:
    yield conditions.unknown("Ready", reason, message)
    yield conditions.true("Reconciling", reason, message)
    yield conditions.false("Stalled", "Waiting", "")
    yield conditions.unknown("Reachable", reason, message)


def _findings(connector: Connector, facts: ConnectorStatus, probe: Probe | NoProbe | None) -> Iterator[Finding]:
    if not isinstance(probe, Probe):
        message = f"type {connector.spec.type} is kept, but not acted on by this version"
        yield conditions.false("Ready", "TypeNotActedOn", message)
        yield conditions.false("Reconciling", "AsDeclared", "")
        yield conditions.true("Stalled", "TypeNotActedOn", message)
        return
    faults = tuple(_faults(connector, facts, probe))
    if faults:
        reason, message = faults[0][0], "; ".join(text for _, text in faults)
        yield conditions.false("Ready", reason, message)
    else:
        yield conditions.true("Ready", "Reachable", facts.summary or "")
    yield conditions.false("Reconciling", "AsDeclared", "")
    yield conditions.false("Stalled", "AsDeclared", "")
    if probe.reachable:
        yield conditions.true("Reachable", "Answered", "")
    else:
        yield conditions.false("Reachable", probe.reason, probe.message)
    if connector.spec.auth is not None:
        yield _credential(probe)
    if connector.spec.tools:
        yield _pins(connector, facts)


def _faults(connector: Connector, facts: ConnectorStatus, probe: Probe) -> Iterator[tuple[str, str]]:
    if not probe.reachable:
        yield probe.reason, probe.message
        return
    drifted = [tool.name for tool in facts.tools if tool.drifted]
    if drifted:
        yield "DefinitionDrifted", f"the definition is not the pinned one, so the gateway refuses: {_some(drifted)}"
    missing = _missing(connector, facts)
    if missing:
        yield "ToolNotFound", f"declared, but not offered: {_some(missing)}"


def _missing(connector: Connector, facts: ConnectorStatus) -> list[str]:
    offered = {tool.name for tool in facts.tools}
    return [tool.name for tool in connector.spec.tools if tool.name not in offered]


def _credential(probe: Probe) -> Finding:
    if probe.reason in _CREDENTIAL_REASONS:
        return conditions.false("CredentialsResolved", probe.reason, probe.message)
    if probe.reachable:
        return conditions.true("CredentialsResolved", "Accepted", "")
    return conditions.unknown("CredentialsResolved", probe.reason, "the system did not answer")


def _pins(connector: Connector, facts: ConnectorStatus) -> Finding:
    drifted = [tool.name for tool in facts.tools if tool.drifted]
    if drifted:
        return conditions.false("DefinitionsPinned", "DefinitionDrifted", _some(drifted))
    unpinned = [tool.name for tool in connector.spec.tools if tool.definition_digest is None]
    if unpinned:
        return conditions.false("DefinitionsPinned", "NotPinned", f"no definitionDigest: {_some(unpinned)}")
    return conditions.true("DefinitionsPinned", "Pinned", "")


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _events(connector: Connector, status: ConnectorStatus) -> Iterator[Event]:
    before, after = connector.status.condition("Ready"), status.condition("Ready")
    if after is None or (before is not None and before.status == after.status):
        return
    if after.status == "False":
        yield Event(after.reason, after.message, "Warning")
    elif after.status == "True" and before is not None:
        yield Event(after.reason, f"ready: {after.message}")
