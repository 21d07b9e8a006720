"""An Agent: World and now in, Plan out."""

from __future__ import annotations

from datetime import datetime, timedelta

from proctor.api import digest, names
from proctor.api.meta import ConditionStatus
from proctor.api.progress import LastOutcome
from proctor.delivery import machine, phases
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Wanted
from proctor.delivery.phases import AwaitingApproval, Failed, Rollout, stable_of
from proctor.plan import (
    children,
    drift,
    image,
    objectives,
    override,
    progress,
    question,
    restoring,
    revision,
    route,
    status,
    upgrade,
    usage,
    wish,
)
from proctor.plan.findings import Obstacle
from proctor.plan.revision import Revision
from proctor.plan.status import Upgrading
from proctor.plan.upgrade import Known
from proctor.plan.wish import Wish
from proctor.plan.world import Deletion, Event, Manifest, Plan, Withdrawal, World, deletion_of, label_of

_KEPT_PER_REVISION = ("Deployment", "ConfigMap")
"""What goes with a revision that is not live any more, in this order: the config after the pods that read it."""


def plan_agent(world: World, now: datetime) -> Plan:
    """What should exist for the Agent, what its status says, and when to look again."""
    world = restoring.in_force(world)
    obstacles = () if restoring.can_go_back(world) else restoring.obstacles(world)
    before = progress.rollout_of(world.agent.status)
    known = upgrade.known_of(world, before, now)
    if not obstacles:
        return _decided(world, wish.wish_of(world, now), before, known, (), now)
    if before is not None and (under_way := phases.upgrade_of(before)) is not None:
        # A candidate that does harm is withdrawn whatever else is wrong.
        return _decided(world, wish.unchanged(world, under_way.candidate, now), before, known, obstacles, now)
    return _hold(world, obstacles, known, now)


def plan_refused(world: World, obstacle: Obstacle, now: datetime) -> Plan:
    """The cluster refused what was planned: only the status changes, and says why."""
    return _hold(world, (obstacle,), upgrade.known_of(world, progress.rollout_of(world.agent.status), now), now)


def _decided(
    world: World, wanted: Wish, before: Rollout | None, known: Known, obstacles: tuple[Obstacle, ...], now: datetime
) -> Plan:
    decision = machine.decide(wanted.wanted, before, known.evidence, now, wanted.command)
    rollout = decision.rollout
    report = status.report(world, Upgrading.of(world, wanted, decision, known, now), obstacles, now)
    records = upgrade.make_records(world, before, known) if before else ()
    asked = (*_questions(world, rollout, wanted.wanted), *_overrides(world, rollout, wanted, now))
    return Plan(
        applies=(
            # Before the status that rests on it: what was counted once must never be counted as less.
            *records,
            *drift.changed((*_desired(world, rollout, wanted.known, wanted.wanted), *asked), world.children),
        ),
        status=report if report != world.agent.status.dump() else None,
        events=(*wanted.told, *_events(world, decision, report)),
        deletions=_deletions(world, rollout),
        batches=known.batches if rollout == before else (),
        edits=route.edits(world, machine.weight(rollout, wanted.wanted)),
        withdrawals=_withdrawals(world, rollout, wanted, report),
        wake_at=_wake_at(world, decision, now),
        rests_on=_evidence_of_refusal(world, before, rollout),
    )


def _hold(world: World, obstacles: tuple[Obstacle, ...], known: Known, now: datetime) -> Plan:
    # What serves goes on serving as it was last decided: an obstacle in the new spec is no reason to touch it.
    rollout = progress.rollout_of(world.agent.status) or machine.recovered(known.evidence)
    report = status.report(world, Upgrading.as_it_was(world, rollout, known), obstacles, now)
    bundles = revision.recorded(world.children)
    desired = _desired(world, rollout, bundles, None) if rollout else ()
    again = now + timedelta(seconds=world.platform.reference_poll_seconds)
    return Plan(
        applies=drift.changed(desired, world.children),
        status=report if report != world.agent.status.dump() else None,
        events=_transitions(world, report),
        edits=route.edits(world, progress.weight_of(world.agent.status)),
        wake_at=min(again, world.standing.turns_at or again),
    )


def _desired(world: World, rollout: Rollout, known: dict[str, Revision], wanted: Wanted | None) -> tuple[Manifest, ...]:
    agent, platform = world.agent, world.platform
    live = [known[each] for each in phases.live_revisions(rollout) if each in known]
    images = image.images(world, live)
    sizes = {each.hash: _size(world, rollout, each.hash, wanted) for each in live}
    # One pod is enough to learn what a tag is, and cannot differ from itself.
    sizes |= {
        each: min(sizes[each], max(1, _there(world, each) or 0))
        for each in sizes
        if images[each].is_awaited and each != stable_of(rollout)
    }
    return (
        children.make_service_account(agent),
        children.make_network_policy(agent, platform),
        children.make_disruption_budget(agent, phases.live_revisions(rollout)[0]),
        *(children.make_controller_revision(agent, each, _number(world, each), images[each.hash]) for each in live),
        *(children.make_config(agent, each) for each in live),
        *(children.make_deployment(agent, each, sizes[each.hash], platform, images[each.hash]) for each in live),
    )


def _size(world: World, rollout: Rollout, revision_hash: str, wanted: Wanted | None) -> int:
    there = _there(world, revision_hash)
    if wanted is None and there is not None and phases.upgrade_of(rollout) is not None:
        return there
    weight = machine.weight(rollout, wanted) if wanted else 0
    return upgrade.replicas_of(rollout, revision_hash, wish.replicas_of(world), weight, there)


def _there(world: World, revision_hash: str) -> int | None:
    """The pods that the revision has been given so far; None before it has been given any."""
    deployment = world.child("Deployment", names.of_revision(world.agent.metadata.name, revision_hash))
    return int(deployment["spec"].get("replicas", 1)) if deployment else None


def _questions(world: World, rollout: Rollout, wanted: Wanted) -> tuple[Manifest, ...]:
    if not isinstance(rollout, AwaitingApproval):
        return ()
    asked = question.make_approval(world.agent, rollout, wanted)
    # The spec of a question never changes; nor do we write it again for anything that somebody else notes on it.
    is_asked = world.child("Approval", question.name_of(world.agent, rollout)) is not None
    return () if asked is None or is_asked else (asked,)


def _overrides(world: World, rollout: Rollout, wanted: Wish, now: datetime) -> tuple[Manifest, ...]:
    lift, revision = wanted.override, wanted.wanted.revision
    if lift is None or lift.is_asked or lift.is_void or wanted.spent is None or not status.waits(rollout, revision):
        return ()
    return (override.make_approval(world.agent, revision, lift.name, wanted.spent, now),)


def _withdrawals(world: World, rollout: Rollout, wanted: Wish, report: Manifest) -> tuple[Withdrawal, ...]:
    ended = report.get("rollout", {}).get("lastOutcome")
    awaited = {question.name_of(world.agent, rollout)} if isinstance(rollout, AwaitingApproval) else set()
    if wanted.override is not None and status.waits(rollout, wanted.wanted.revision):
        awaited.add(wanted.override.name)
    outcome = LastOutcome.model_validate(ended) if ended else None
    return tuple(question.withdrawals(world, awaited, rollout, outcome))


def _number(world: World, wanted: Revision) -> int:
    """The revision's own number; a new one's is above all others."""
    name = names.of_revision(world.agent.metadata.name, wanted.hash)
    existing = world.child("ControllerRevision", name)
    if existing is not None:
        return int(existing["revision"])
    return 1 + max((int(each["revision"]) for each in _history(world)), default=0)


def _history(world: World) -> list[Manifest]:
    return [each for each in world.children if each["kind"] == "ControllerRevision"]


def _deletions(world: World, rollout: Rollout) -> tuple[Deletion, ...]:
    # Also those whose record somebody deleted: they cannot be made again, but they go on serving.
    live = set(phases.live_revisions(rollout))
    idle = (
        each
        for kind in _KEPT_PER_REVISION
        for each in world.children
        if each["kind"] == kind and label_of(each, names.REVISION) not in live and not label_of(each, names.MEASURED)
    )
    return tuple(
        deletion_of(each) for each in (*idle, *_forgotten(world, live)) if not each["metadata"].get("deletionTimestamp")
    )


def _evidence_of_refusal(world: World, before: Rollout | None, rollout: Rollout) -> tuple[Manifest, ...]:
    """What shows that a revision just refused did not get ready: a watch that lost an event must not refuse it."""
    if not isinstance(rollout, Failed) or rollout == before:
        return ()
    deployment = world.child("Deployment", names.of_revision(world.agent.metadata.name, rollout.blocked))
    return (deployment,) if deployment else ()


def _forgotten(world: World, live: set[str]) -> list[Manifest]:
    old = [each for each in _history(world) if label_of(each, names.REVISION) not in live]
    newest_first = sorted(old, key=lambda each: -int(each["revision"]))
    forgotten = newest_first[world.agent.spec.rollout.history_limit :]
    kept = {label_of(each, names.REVISION) for each in _history(world) if each not in forgotten} | live
    records = (each for each in world.children if each["kind"] == "ConfigMap" and label_of(each, names.MEASURED))
    return [*forgotten, *(each for each in records if label_of(each, names.REVISION) not in kept)]


def _events(world: World, decision: Decision, report: Manifest) -> tuple[Event, ...]:
    told = (Event(each.reason, each.message, "Warning" if each.is_warning else "Normal") for each in decision.outcomes)
    # That a revision was promoted says that it serves: each Event is a write, and these two come with every new agent.
    is_said = any(each.reason == "Promoted" for each in decision.outcomes)
    # Nor is a story told twice, once as what happened and once as the condition that turned by it.
    words = {each.message for each in decision.outcomes}
    turned = (each for each in _transitions(world, report) if each.message not in words)
    return (*told, *(each for each in turned if not (is_said and each.reason == "Serving")))


def _transitions(world: World, report: Manifest) -> tuple[Event, ...]:
    """An Event for each condition of interest and each objective that turned, so that a story can be read from them."""
    turned = (
        Event(each["reason"], each["message"], "Warning" if _is_bad(each) else "Normal")
        for each in report["conditions"]
        # What turned to the usual has nothing to say.
        if each["type"] in {"Available", "Stalled", "Isolated"} and each["message"] and _turned(world, each)
    )
    spent = usage.turns(world.agent.status.usage, report.get("usage"))
    others = (each["message"] for each in report["conditions"] if _is_other(world, each))
    other = (Event("ImageChanged", each, "Warning") for each in others)
    return (*turned, *objectives.turns(world.agent.status.slos, report.get("slos", ())), *spent, *other)


def _is_other(world: World, condition: Manifest) -> bool:
    """Whether the condition says, and did not say before, that something else is behind an image's name."""
    before = world.agent.status.condition(condition["type"])
    return condition["reason"] == "ImageChanged" and (before is None or before.reason != "ImageChanged")


def _turned(world: World, condition: Manifest) -> bool:
    before = world.agent.status.condition(condition["type"])
    if before is None:
        return _is_bad(condition) and condition["type"] != "Available"
    if before.status is ConditionStatus.UNKNOWN and not _is_bad(condition):
        # Measured at last, and well: the condition says so, and nobody has to do anything.
        return False
    return bool(before.status != condition["status"])


def _is_bad(condition: Manifest) -> bool:
    is_abnormal_when_true = condition["type"] == "Stalled"
    return bool(condition["status"] == (ConditionStatus.TRUE if is_abnormal_when_true else ConditionStatus.FALSE))


def _wake_at(world: World, decision: Decision, now: datetime) -> datetime:
    platform = world.platform
    # What is read live is read again soon: nothing tells of its changes.
    is_read_live = world.agent.spec.instructions_from is not None or world.agent.spec.rollout.traffic is not None
    seconds = platform.reference_poll_seconds if is_read_live else platform.resync_seconds
    # The agent's own share of the interval, so that a thousand agents do not wake together.
    jitter = 1 - int(digest.short(world.agent.metadata.uid, 4), 16) / 0xFFFF * 0.2
    resync = now + timedelta(seconds=seconds * jitter)
    poll = upgrade.look_after(decision.rollout)
    times = (resync, now + poll if poll else None, decision.wake_at, world.standing.turns_at)
    return min(each for each in times if each is not None)
