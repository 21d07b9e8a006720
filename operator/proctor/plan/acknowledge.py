"""Kinds that are kept but not acted on yet: their status says so, loudly, so that nobody relies on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from proctor.api.meta import ObjectMeta, Status
from proctor.plan import conditions
from proctor.plan.world import Event, Plan

_RESYNC = timedelta(hours=1)


@dataclass(frozen=True)
class KeptWorld:
    """An object of a kind that nothing acts on yet."""

    kind: str
    metadata: ObjectMeta
    status: Status


def plan_kept(world: KeptWorld, now: datetime) -> Plan:
    """A status that says that the object is only kept."""
    generation = world.metadata.generation
    message = f"this version keeps a {world.kind} but does not act on it"
    findings = (
        conditions.false("Ready", "NotActedOn", message),
        conditions.false("Reconciling", "AsDeclared", ""),
        conditions.true("Stalled", "NotActedOn", message),
    )
    merged = conditions.merge(world.status.conditions, findings, generation, now)
    status = Status(observed_generation=generation, conditions=merged)
    if status.conditions == world.status.conditions and generation == world.status.observed_generation:
        return Plan(now + _RESYNC)
    is_new = world.status.condition("Stalled") is None
    events = (Event("NotActedOn", message, "Warning"),) if is_new else ()
    return Plan(now + _RESYNC, status=status.dump(), events=events)
