"""What the status tells of an upgrade: the facts to go on from, and the figures for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from proctor.api.progress import LastOutcome, OutcomeType, RevisionStatus, RolloutStatus, TrafficStatus, Verdict
from proctor.delivery import phases, stepping
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Evidence
from proctor.delivery.phases import Aborting, AwaitingApproval, Failed, Held, Reverting, Rollout
from proctor.plan import comparison, conditions, judged, progress, question, upgrade, wish
from proctor.plan.conditions import Finding
from proctor.plan.upgrade import Known
from proctor.plan.wish import Wish
from proctor.plan.world import World

_WELL = {OutcomeType.PROMOTED, OutcomeType.SUPERSEDED, OutcomeType.CANCELLED}


def told(
    world: World, wanted: Wish, decision: Decision, known: Known, now: datetime
) -> tuple[RevisionStatus, RolloutStatus]:
    """`status.revision` and `status.rollout`."""
    before, rollout = world.agent.status, decision.rollout
    revisions = wish.reported(wanted.undone, progress.revision_status(rollout, before.revision))
    facts = progress.facts_of(rollout, wanted.wanted)
    return revisions, RolloutStatus(**facts, **_figures(world, wanted, decision, known, now))


def _figures(world: World, wanted: Wish, decision: Decision, known: Known, now: datetime) -> dict[str, object]:
    before, rollout = world.agent.status.rollout, decision.rollout
    found: dict[str, object] = {
        "last_outcome": _outcome(world, decision, known, now) or (before.last_outcome if before else None)
    }
    current = phases.upgrade_of(rollout)
    if current is None:
        return found | (_last_seen(world, wanted, known, now) if isinstance(rollout, Failed) else {})
    is_same = before is not None and before.id == current.id
    # A gateway that is away makes no task unseen: what was known of this upgrade stays.
    kept = before.exposed if before is not None and is_same else 0
    found["exposed"] = max(kept, known.evidence.traffic.begun if known.evidence.traffic else 0)
    if isinstance(rollout, Aborting):
        found["traffic"] = _traffic(known.evidence)
    if isinstance(rollout, AwaitingApproval):
        found["approval"] = question.name_of(world.agent, rollout)
    found |= _trials(known, before if is_same else None)
    found["verdict"] = _verdict(world, rollout, wanted, known, now, is_same=is_same)
    if known.ledger is not None and phases.place_of(rollout) is not None:
        found["evidence_ref"] = comparison.name_of_record(world.agent, current)
    elif before is not None and is_same:
        found["evidence_ref"] = before.evidence_ref
    return found


def _last_seen(world: World, wanted: Wish, known: Known, now: datetime) -> dict[str, object]:
    """What there is to be seen of a candidate that was refused: why it was."""
    before = world.agent.status.rollout
    if before is None:
        return {}
    at_step = progress.rollout_of(world.agent.status)
    verdict = _verdict(world, at_step, wanted, known, now, is_same=True) if at_step else before.verdict
    return {
        "verdict": verdict,
        "exams": known.examined.exams or before.exams,
        "replay": known.rehearsed.replay or before.replay,
        "evidence_ref": before.evidence_ref,
        "exposed": max(before.exposed, known.evidence.traffic.begun if known.evidence.traffic else 0),
    }


def _trials(known: Known, before: RolloutStatus | None) -> dict[str, object]:
    """What came of the trials: of those of this step, or of those that were before it."""
    exams = known.examined.exams or (before.exams if before else ())
    return {"exams": exams, "replay": known.rehearsed.replay or (before.replay if before else None)}


def _verdict(
    world: World, rollout: Rollout, wanted: Wish, known: Known, now: datetime, *, is_same: bool
) -> Verdict | None:
    before = world.agent.status.rollout
    was = before.verdict if before is not None and is_same else None
    # What withdrew a candidate was said of it at the step where it was.
    judged_at = rollout if phases.place_of(rollout) else progress.rollout_of(world.agent.status)
    if judged_at is None or not isinstance(judged_at, phases.OnStep) or not is_same:
        return was
    if known.evidence.outage == upgrade.NOT_ASKED:
        return was
    verdict = stepping.verdict_of(judged_at, wanted.wanted, known.evidence, now)
    if verdict is None:
        return was
    return judged.verdict_status(judged_at, verdict, wanted.wanted, was, now)


def _traffic(evidence: Evidence) -> TrafficStatus | None:
    seen = evidence.traffic
    return TrafficStatus(verified=seen.is_withdrawn, in_flight=seen.in_flight) if seen else None


def _outcome(world: World, decision: Decision, known: Known, now: datetime) -> LastOutcome | None:
    ended = decision.ended
    if ended is None:
        return None
    before, current = world.agent.status.rollout, phases.upgrade_of(decision.rollout)
    # What ended at once, as going back does, is none of what was under way before.
    is_same = before is not None and (current is None or current.id == before.id)
    exposed = max(before.exposed, known.evidence.traffic.begun if known.evidence.traffic else 0) if before else 0
    return LastOutcome(
        type=ended.type,
        revision=ended.revision,
        reason=ended.reason,
        message=ended.message,
        metric=ended.metric,
        e=None if ended.e is None else f"{ended.e:.3g}",
        exposed=exposed if is_same else 0,
        at=now,
    )


def health(rollout: Rollout | None, known: Known) -> Iterator[Finding]:
    """Whether upgrades go well, and, while one is under way, whether there is evidence of it."""
    if rollout is not None:
        yield _healthy(rollout)
    if rollout is not None and upgrade.is_followed(rollout):
        outage = known.evidence.outage
        if phases.place_of(rollout) is None:
            outage = None if known.evidence.traffic is not None else "the gateway has not said what it does"
        if outage == upgrade.NOT_ASKED:
            yield conditions.unknown("EvidenceAvailable", "NotAskedYet", "")
        elif outage:
            yield conditions.false("EvidenceAvailable", "GatewaySilent", f"{outage}; the upgrade holds")
        else:
            yield conditions.true("EvidenceAvailable", "GatewayAnswers", "")


def _healthy(rollout: Rollout) -> Finding:
    match rollout:
        case Failed(reason=reason, message=message):
            return conditions.false("RolloutHealthy", reason, message)
        case Aborting(cause=cause) | Reverting(cause=cause):
            if cause.type in _WELL:
                return conditions.true("RolloutHealthy", "Withdrawing", cause.message)
            return conditions.false("RolloutHealthy", cause.reason, cause.message)
        case Held(reason=reason, message=message):
            return conditions.unknown("RolloutHealthy", reason, message)
        case _:
            return conditions.true("RolloutHealthy", _calm(rollout), "")


def _calm(rollout: Rollout) -> str:
    return "Settled" if phases.candidate_of(rollout) is None else "InProgress"
