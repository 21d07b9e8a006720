"""The status of an Agent: a function of what is, computed last. Never an input, but for the facts of the rollout."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from proctor.api import names
from proctor.api.agent import AgentStatus, Endpoints, NetworkIsolation, SandboxStatus
from proctor.api.progress import Phase, RevisionStatus, RolloutStatus
from proctor.delivery import machine
from proctor.delivery.machine import Evidence, Failed, Initial, Progressing, Rollout, Seen, Settled
from proctor.plan import conditions, findings, objectives
from proctor.plan.conditions import Finding
from proctor.plan.findings import Obstacle
from proctor.plan.indications import Subject
from proctor.plan.world import Isolation, Manifest, World


def rollout_of(status: AgentStatus) -> Rollout | None:
    """Where the rollout was when the status was written; None if the status does not tell, or contradicts itself."""
    rollout, revision = status.rollout, status.revision
    if rollout is None:
        return None
    match rollout.phase, revision.stable, revision.candidate, rollout.started_at:
        case "Settled", str() as stable, _, _:
            return Settled(stable)
        case "Initial", _, str() as candidate, since:
            return Initial(candidate, since)
        case "Progressing", str() as stable, str() as candidate, since:
            return Progressing(stable, candidate, since)
        case "Failed", stable, _, datetime() as since if revision.blocked:
            return Failed(stable, revision.blocked[0], since, rollout.reason or "Failed", rollout.message or "")
        case _:
            return None


def report(
    world: World, rollout: Rollout | None, seen: Evidence, obstacles: tuple[Obstacle, ...], now: datetime
) -> Manifest:
    """The whole new status, as JSON."""
    agent = world.agent
    stable = machine.stable_of(rollout) if rollout else None
    pods = seen.of(stable) if stable else None
    isolation = _isolation(world)
    slos = objectives.report(Subject.of(agent), world.indications, now)
    status = AgentStatus(
        observed_generation=agent.metadata.generation,
        conditions=conditions.merge(
            agent.status.conditions,
            (*_findings(world, rollout, seen, pods, obstacles, isolation), *slos.findings),
            agent.metadata.generation,
            now,
        ),
        revision=_revision(rollout),
        rollout=_rollout(rollout),
        replicas=_replicas(world, stable),
        ready_replicas=pods.ready if pods else 0,
        selector=f"{names.AGENT}={agent.metadata.name}",
        sandbox=SandboxStatus(
            profile=agent.spec.sandbox.profile,
            network_isolation=isolation.state,
            probed_at=isolation.probed_at,
            message=isolation.message or None,
        ),
        slos=slos.slos,
        slo_compliance=slos.compliance,
        error_budget=slos.budget,
        release_gate=slos.gate,
        endpoints=_endpoints(world),
    )
    return status.dump()


def _revision(rollout: Rollout | None) -> RevisionStatus:
    if rollout is None:
        return RevisionStatus()
    return RevisionStatus(
        stable=machine.stable_of(rollout),
        candidate=machine.candidate_of(rollout),
        blocked=(rollout.blocked,) if isinstance(rollout, Failed) else (),
    )


def _rollout(rollout: Rollout | None) -> RolloutStatus | None:
    match rollout:
        case None:
            return None
        case Initial(since=since):
            return RolloutStatus(phase=Phase.INITIAL, started_at=since)
        case Settled():
            return RolloutStatus(phase=Phase.SETTLED)
        case Progressing(since=since):
            return RolloutStatus(phase=Phase.PROGRESSING, started_at=since)
        case Failed(since=since, reason=reason, message=message):
            return RolloutStatus(phase=Phase.FAILED, started_at=since, reason=reason, message=message)
        case _:
            assert_never(rollout)


def _endpoints(world: World) -> Endpoints:
    metadata = world.agent.metadata
    base = f"{world.platform.public_url}/agents/{metadata.namespace}/{metadata.name}"
    return Endpoints(invoke=f"{base}/invoke", tasks=f"{base}/tasks")


def _replicas(world: World, stable: str | None) -> int:
    deployment = world.child("Deployment", names.of_revision(world.agent.metadata.name, stable)) if stable else None
    return int(deployment.get("status", {}).get("replicas", 0)) if deployment else 0


def _isolation(world: World) -> Isolation:
    """The namespace's measurement, unless a policy of somebody else's may let more through for this agent."""
    name, measured = world.agent.metadata.name, _measured(world)
    foreign = findings.foreign_policies(world.network_policies, names.agent_labels(name), names.of_agent(name))
    if not foreign or measured.state is not NetworkIsolation.VERIFIED:
        return measured
    message = (
        f"also selected by NetworkPolicy {', '.join(sorted(foreign))}: policies add up, so ours alone is not proof"
    )
    return Isolation(NetworkIsolation.UNKNOWN, message, measured.probed_at)


def _measured(world: World) -> Isolation:
    """The newest measurement; while it is being repeated, the one before, with its time."""
    before = world.agent.status.sandbox
    if world.isolation.probed_at is None and before is not None and before.probed_at is not None:
        return Isolation(before.network_isolation, before.message or "", before.probed_at)
    return world.isolation


def _findings(
    world: World,
    rollout: Rollout | None,
    seen: Evidence,
    pods: Seen | None,
    obstacles: tuple[Obstacle, ...],
    isolation: Isolation,
) -> Iterable[Finding]:
    available = _available(world, pods)
    return (
        _ready(world, rollout, available, obstacles),
        _reconciling(world, rollout, seen, pods, obstacles),
        _stalled(rollout, obstacles),
        available,
        _connectors(world),
        _isolated(world, isolation),
        _acted_on(world),
    )


def _ready(world: World, rollout: Rollout | None, available: Finding, obstacles: tuple[Obstacle, ...]) -> Finding:
    if obstacles:
        return conditions.false("Ready", obstacles[0].reason, "; ".join(each.message for each in obstacles))
    if world.agent.spec.suspend:
        return conditions.false("Ready", "Suspended", "spec.suspend is true: no task is taken and no call goes out")
    if isinstance(rollout, Failed):
        return conditions.false("Ready", rollout.reason, rollout.message)
    return Finding("Ready", available.status, available.reason, available.message)


def _available(world: World, pods: Seen | None) -> Finding:
    if world.agent.spec.suspend:
        return conditions.false("Available", "Suspended", "spec.suspend is true")
    if pods is None:
        return conditions.false("Available", "NothingServes", "no revision has become ready yet")
    if pods.ready:
        return conditions.true("Available", "Serving", f"{pods.ready} of {pods.wanted} pods ready")
    problem = f": {pods.problem}" if pods.problem else ""
    return conditions.false("Available", "NoPodReady", f"0 of {pods.wanted} pods ready{problem}")


def _reconciling(
    world: World, rollout: Rollout | None, seen: Evidence, pods: Seen | None, obstacles: tuple[Obstacle, ...]
) -> Finding:
    if obstacles:
        return conditions.false("Reconciling", "Blocked", "waits for somebody to change something")
    match rollout:
        case Initial(since=None) | Progressing(since=None):
            return conditions.false("Reconciling", "NoPodsAskedFor", "the rollout goes on when pods are asked for")
        case Initial(candidate=candidate) | Progressing(candidate=candidate):
            return conditions.true("Reconciling", "RolloutInProgress", _progress(candidate, seen))
        case Settled() if pods and not world.agent.spec.suspend and not pods.all_ready:
            return conditions.true("Reconciling", "PodsNotReady", _shortage(pods))
        case _:
            return conditions.false("Reconciling", "AsDeclared", "")


def _progress(candidate: str, seen: Evidence) -> str:
    # No count of ready pods: each of them would be one more write of the status.
    pods = seen.of(candidate)
    problem = f": {pods.problem}" if pods and pods.problem else ""
    return f"revision {candidate} is being started{problem}"


def _shortage(pods: Seen) -> str:
    problem = f": {pods.problem}" if pods.problem else ""
    return f"{pods.ready} of {pods.wanted} pods ready{problem}"


def _stalled(rollout: Rollout | None, obstacles: tuple[Obstacle, ...]) -> Finding:
    if obstacles:
        return conditions.true("Stalled", obstacles[0].reason, "; ".join(each.message for each in obstacles))
    if isinstance(rollout, Failed):
        return conditions.true("Stalled", rollout.reason, rollout.message)
    return conditions.false("Stalled", "AsDeclared", "")


def _connectors(world: World) -> Finding:
    unready = findings.unready_connectors(world)
    if not unready:
        return conditions.true("ConnectorsReady", "Reachable", "")
    return conditions.false("ConnectorsReady", "NotReady", "; ".join(unready))


def _isolated(world: World, isolation: Isolation) -> Finding:
    match isolation.state:
        case NetworkIsolation.VERIFIED:
            profile = world.agent.spec.sandbox.profile
            return conditions.true("Isolated", "Verified", f"profile {profile}; {isolation.message}")
        case NetworkIsolation.NOT_ENFORCED:
            return conditions.false("Isolated", "NotEnforced", isolation.message)
        case NetworkIsolation.UNKNOWN:
            return conditions.unknown("Isolated", "NotMeasured", isolation.message)


def _acted_on(world: World) -> Finding:
    fields = findings.not_acted_on(world.agent.spec)
    if not fields:
        return conditions.true("ActedOn", "AllFields", "")
    message = f"kept, but not acted on by this version: {', '.join(fields)}"
    return conditions.false("ActedOn", "FieldsNotActedOn", message)
