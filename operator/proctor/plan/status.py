"""The status of an Agent: a function of what is, computed last. Never an input, but for the facts of the rollout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from proctor.api import names
from proctor.api.agent import AgentStatus, Endpoints, NetworkIsolation, SandboxStatus
from proctor.api.fields import format_time
from proctor.api.objectives import ReleaseGate
from proctor.api.progress import RevisionStatus, RolloutStatus
from proctor.delivery import phases
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Evidence, Seen
from proctor.delivery.phases import (
    Aborting,
    Failed,
    Initial,
    Place,
    Progressing,
    Reverting,
    Rollout,
    Settled,
    Starting,
    Upgrade,
    Watching,
)
from proctor.plan import conditions, findings, image, objectives, policy, progress, revision, route, telling, usage
from proctor.plan.conditions import Finding
from proctor.plan.findings import Obstacle
from proctor.plan.image import Shown
from proctor.plan.indications import Subject
from proctor.plan.override import Override
from proctor.plan.upgrade import Known
from proctor.plan.wish import Wish
from proctor.plan.world import Isolation, Manifest, World
from proctor.policy import upgrades


@dataclass(frozen=True)
class Upgrading:
    """What the status tells of the rollout."""

    rollout: Rollout | None
    revision: RevisionStatus
    told: RolloutStatus | None
    known: Known
    images: Shown
    last_command: str | None = None
    frozen: str | None = None
    """Why what the spec wants is not begun, or does not go on; None if it may, or nothing else is wanted."""
    override: Override | None = None

    @classmethod
    def of(cls, world: World, wanted: Wish, decision: Decision, known: Known, now: datetime) -> Upgrading:
        """After a decision."""
        revisions, told = telling.told(world, wanted, decision, known, now)
        images = image.shown(world, wanted.known, (revisions.stable, revisions.candidate))
        frozen = wanted.wanted.freeze if waits(decision.rollout, wanted.wanted.revision) else None
        return cls(decision.rollout, revisions, told, known, images, wanted.said, frozen, wanted.override)

    @classmethod
    def as_it_was(cls, world: World, rollout: Rollout | None, known: Known) -> Upgrading:
        """While nothing can be decided."""
        status, bundles = world.agent.status, revision.recorded(world.children)
        if rollout is None:
            return cls(None, status.revision, None, known, image.shown(world, bundles, ()), status.last_handled_command)
        told = status.rollout or RolloutStatus(**progress.facts_of(rollout, None))
        revisions = progress.revision_status(rollout, status.revision)
        images = image.shown(world, bundles, (revisions.stable, revisions.candidate))
        kept = {"undone_to": status.revision.undone_to, "undone_from": status.revision.undone_from}
        return cls(rollout, revisions.model_copy(update=kept), told, known, images, status.last_handled_command)


def report(world: World, upgrading: Upgrading, obstacles: tuple[Obstacle, ...], now: datetime) -> Manifest:
    """The whole new status, as JSON."""
    agent, rollout, seen = world.agent, upgrading.rollout, upgrading.known.evidence
    stable = phases.stable_of(rollout) if rollout else None
    pods = seen.of(stable) if stable else None
    isolation = _isolation(world)
    slos = objectives.report(Subject.of(agent), world.indications, now, upgrades.gate(world.standing.effective))
    spent = usage.report(agent.status.usage, world.spending, now)
    status = AgentStatus(
        observed_generation=agent.metadata.generation,
        conditions=conditions.merge(
            agent.status.conditions,
            (
                *(
                    _thawed_or(each, upgrading.frozen)
                    for each in _findings(world, rollout, seen, pods, obstacles, isolation)
                ),
                *telling.health(rollout, upgrading.known),
                upgrading.images.finding,
                *route.finding(world, (upgrading.told.weight if upgrading.told else None) or 0),
                *policy.condition(world.standing),
                *slos.findings,
                *spent.findings,
            ),
            agent.metadata.generation,
            now,
        ),
        revision=upgrading.revision.model_copy(update={"images": upgrading.images.images}),
        rollout=upgrading.told,
        last_handled_command=upgrading.last_command,
        replicas=_replicas(world, stable),
        ready_replicas=pods.ready if pods else 0,
        selector=_selector(agent.metadata.name, stable),
        sandbox=SandboxStatus(
            profile=agent.spec.sandbox.profile,
            network_isolation=isolation.state,
            probed_at=isolation.probed_at,
            message=isolation.message or None,
        ),
        slos=slos.slos,
        slo_compliance=slos.compliance,
        error_budget=slos.budget,
        release_gate=_overridden(slos.gate, upgrading.override),
        policy=policy.report(world.standing, agent.status.policy, now),
        usage=spent.usage,
        endpoints=_endpoints(world),
    )
    return status.dump()


def waits(rollout: Rollout, wanted: str) -> bool:
    """Whether something would begin or go on, if nothing were frozen."""
    match rollout:
        case Settled(stable=stable) | Watching(upgrade=Upgrade(candidate=stable)):
            return stable != wanted
        case Progressing() | Starting():
            return True
        case _:
            return phases.place_of(rollout) is not None


def _overridden(gate: ReleaseGate | None, override: Override | None) -> ReleaseGate | None:
    lifting = override if override is not None and override.lifts else None
    told = {"override": lifting.name if lifting else None, "override_until": lifting.until if lifting else None}
    return gate.model_copy(update=told) if gate else None


def _thawed_or(finding: Finding, frozen: str | None) -> Finding:
    """What serves is well, but it is not what the spec says: somebody who waits for it has to know why."""
    if frozen is None or finding.type != "Reconciling" or finding.reason == "Blocked":
        return finding
    where = f"; {finding.message}" if finding.message else ""
    return conditions.true("Reconciling", "UpgradesFrozen", f"{frozen}{where}")


def _selector(agent: str, stable: str | None) -> str:
    """Of the stable pods alone: an autoscaler that counted a candidate's pods would take the stable's away."""
    return f"{names.AGENT}={agent},{names.REVISION}={stable}" if stable else f"{names.AGENT}={agent}"


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


def _reconciling(  # noqa: PLR0911 - one for each phase
    world: World, rollout: Rollout | None, seen: Evidence, pods: Seen | None, obstacles: tuple[Obstacle, ...]
) -> Finding:
    if obstacles:
        return conditions.false("Reconciling", "Blocked", "waits for somebody to change something")
    match rollout:
        case Initial(since=None) | Progressing(since=None) | Starting(since=None):
            return conditions.false("Reconciling", "NoPodsAskedFor", "the rollout goes on when pods are asked for")
        case Initial(candidate=candidate) | Progressing(candidate=candidate):
            return conditions.true("Reconciling", "RolloutInProgress", _progress(candidate, seen))
        case Starting(upgrade=upgrade):
            return conditions.true("Reconciling", "CanaryInProgress", _progress(upgrade.candidate, seen))
        case Aborting(stage=stage, cause=cause):
            return conditions.true("Reconciling", "Withdrawing", f"{stage}: {cause.message}")
        case Reverting(cause=cause):
            return conditions.true("Reconciling", "Reverting", cause.message)
        case _ if rollout is not None and (place := phases.place_of(rollout)) is not None:
            return conditions.true("Reconciling", "CanaryInProgress", _step(place))
        case Settled() if pods and not world.agent.spec.suspend and not pods.all_ready:
            return conditions.true("Reconciling", "PodsNotReady", _shortage(pods))
        case _:
            return conditions.false("Reconciling", "AsDeclared", "")


def _step(place: Place) -> str:
    return f"{place.upgrade.candidate} is at step {place.step} of its upgrade, since {format_time(place.since)}"


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
