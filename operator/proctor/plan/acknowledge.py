"""Objects that are kept but not acted on: their status says so, loudly, so that nobody relies on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from proctor.api.meta import ObjectMeta, Status
from proctor.plan import conditions
from proctor.plan.world import Event, Manifest, Plan

_RESYNC = timedelta(hours=1)


@dataclass(frozen=True)
class KeptWorld:
    """An object that nothing acts on."""

    kind: str
    metadata: ObjectMeta
    status: Status
    raw_status: Manifest
    """All of the status, so that what cannot be read is not lost."""


def plan_kept(world: KeptWorld, now: datetime) -> Plan:
    """A status that says that the object is only kept."""
    return _stalled(world, "NotActedOn", f"this version keeps a {world.kind} but does not act on it", now)


def plan_invalid(world: KeptWorld, fault: str, now: datetime) -> Plan:
    """A status that says that the spec cannot be read, as after an upgrade of the CRDs without the operator."""
    return _stalled(world, "InvalidSpec", f"this version cannot read the spec: {fault}", now)


def _stalled(world: KeptWorld, reason: str, message: str, now: datetime) -> Plan:
    generation = world.metadata.generation
    findings = (
        conditions.false("Ready", reason, message),
        conditions.false("Reconciling", "Waiting", ""),
        conditions.true("Stalled", reason, message),
    )
    before = world.status
    ours = {each.type for each in findings}
    others = tuple(each for each in before.conditions if each.type not in ours)
    merged = (*conditions.merge(before.conditions, findings, generation, now), *others)
    if set(merged) == set(before.conditions) and generation == before.observed_generation:
        return Plan(now + _RESYNC)
    was = before.condition("Stalled")
    events = () if was and was.reason == reason else (Event(reason, message, "Warning"),)
    status = {**world.raw_status, **Status(observed_generation=generation, conditions=merged).dump()}
    return Plan(now + _RESYNC, status=status, events=events)
