"""A rollout's phase as the status keeps it, and back: whatever a restarted operator reads is where it was."""

from __future__ import annotations

from typing import Any, assert_never

from proctor.api.agent import AgentStatus
from proctor.api.progress import Phase, RevisionStatus, RolloutStatus
from proctor.delivery import machine, phases
from proctor.delivery.facts import Wanted
from proctor.delivery.phases import (
    Aborting,
    AwaitingApproval,
    Cause,
    Collecting,
    Examining,
    Failed,
    Held,
    Initial,
    Mirroring,
    OnStep,
    Paused,
    Place,
    Progressing,
    Promoting,
    Replaying,
    Reverting,
    Rollout,
    Settled,
    Stage,
    Starting,
    Stopped,
    Unanswered,
    Upgrade,
    Watching,
)

_INCONCLUSIVE, _ASKED = "Inconclusive", "ApprovalRequired"
_STOPPED, _UNANSWERED = "PausedByPerson", "ApprovalTimedOut"
_RETIRING = "Retiring"
_MOST_SERVED = 16


def rollout_of(status: AgentStatus) -> Rollout | None:  # noqa: PLR0911 - one for each phase
    """Where the rollout was when the status was written; None if the status does not tell, or contradicts itself."""
    kept, revision = status.rollout, status.revision
    if kept is None:
        return None
    stable, candidate = revision.stable, revision.candidate
    match kept.phase, stable, candidate:
        case Phase.SETTLED, str(), _:
            return Settled(stable)
        case Phase.INITIAL, _, str():
            return Initial(candidate, kept.started_at)
        case Phase.PROGRESSING, str(), str() if kept.id is None:
            return Progressing(stable, candidate, kept.started_at)
        case Phase.FAILED, _, _ if revision.blocked and kept.started_at:
            reason, message = kept.reason or "Failed", kept.message or ""
            return Failed(stable, revision.blocked[0], kept.started_at, reason, message, kept.attempts or 0)
        case Phase.WATCHING, str(), _ if revision.previous:
            return _watching(kept, revision.previous, stable)
        case Phase.REVERTING, str(), str():
            return _reverting(kept, candidate, stable)
        case _, str(), str():
            upgrade = _upgrade(kept, stable, candidate)
            return _of_upgrade(kept, upgrade) if upgrade else None
        case _:
            return None


def weight_of(status: AgentStatus) -> int:
    """The candidate's share of new tasks, in percent, as it was last decided."""
    return (status.rollout.weight if status.rollout else None) or 0


def revision_status(rollout: Rollout | None, before: RevisionStatus) -> RevisionStatus:
    """Which revisions serve, are tried, and are refused."""
    if rollout is None:
        return RevisionStatus(served=before.served)
    stable, blocked = phases.stable_of(rollout), phases.blocked_of(rollout)
    served = before.served
    if stable and not isinstance(rollout, Reverting) and served[:1] != (stable,):
        served = (stable, *(each for each in served if each != stable))[:_MOST_SERVED]
    return RevisionStatus(
        stable=stable,
        candidate=phases.candidate_of(rollout),
        blocked=(blocked,) if blocked else (),
        previous=phases.previous_of(rollout),
        served=served,
    )


def facts_of(rollout: Rollout, wanted: Wanted | None) -> dict[str, Any]:
    """The fields of `status.rollout` that say where the rollout is; without a wish they are as they were."""
    upgrade, place = phases.upgrade_of(rollout), phases.place_of(rollout)
    facts: dict[str, Any] = {"phase": _phase(rollout), **_own(rollout)}
    if upgrade is None:
        facts["started_at"] = phases.since_of(rollout)
        return facts
    facts |= {
        "id": upgrade.id,
        "started_at": upgrade.begun,
        "since": phases.since_of(rollout),
        "steps_hash": upgrade.steps_hash,
        "attempts": upgrade.attempts or None,
    }
    if place is not None:
        facts |= {"step": place.step, "offset": place.offset}
    if wanted is not None:
        facts |= {"weight": machine.weight(rollout, wanted) or None, "mirror": machine.mirror(rollout, wanted) or None}
    return facts


def _phase(rollout: Rollout) -> Phase:
    match rollout:
        case Starting():
            return Phase.PROGRESSING
        case Stopped():
            return Phase.PAUSED
        case Unanswered():
            return Phase.HELD
        case _:
            return Phase(type(rollout).__name__)


def _own(rollout: Rollout) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one for each phase
    """What belongs to the phase alone."""
    match rollout:
        case Failed(reason=reason, message=message, attempts=attempts):
            return {"reason": reason, "message": message, "attempts": attempts or None}
        case Aborting(stage=stage, cause=cause):
            return {"stage": str(stage), "cause": cause.type, "reason": cause.reason, "message": cause.message}
        case Reverting(cause=cause):
            return {"cause": cause.type, "reason": cause.reason, "message": cause.message}
        case Watching(until=until, keeps_previous=keeps_previous):
            return {"until": until, "stage": _RETIRING if keeps_previous else None}
        case Paused(until=until):
            return {"until": until}
        case Stopped():
            return {"reason": _STOPPED}
        case Unanswered():
            return {"reason": _UNANSWERED}
        case AwaitingApproval(is_about_evidence=is_about_evidence):
            return {"reason": _INCONCLUSIVE if is_about_evidence else _ASKED}
        case Replaying(is_about_evidence=is_about_evidence):
            return {"reason": _INCONCLUSIVE if is_about_evidence else None}
        case Held(reason=reason, message=message):
            return {"reason": reason, "message": message}
        case Promoting(message=message):
            return {"message": message}
        case Initial() | Settled() | Progressing() | Starting():
            return {}
        case Examining() | Mirroring() | Collecting():
            return {}
        case _:
            assert_never(rollout)


def _upgrade(kept: RolloutStatus, stable: str, candidate: str) -> Upgrade | None:
    if kept.id is None or kept.started_at is None or kept.steps_hash is None:
        return None
    return Upgrade(kept.id, stable, candidate, kept.steps_hash, kept.started_at, kept.attempts or 0)


def _watching(kept: RolloutStatus, previous: str, stable: str) -> Rollout | None:
    upgrade = _upgrade(kept, previous, stable)
    if upgrade is None or kept.since is None or kept.until is None:
        return None
    return Watching(upgrade, kept.since, kept.until, keeps_previous=kept.stage == _RETIRING)


def _reverting(kept: RolloutStatus, previous: str, stable: str) -> Rollout | None:
    upgrade = _upgrade(kept, previous, stable)
    cause = _cause(kept)
    return Reverting(upgrade, kept.since, cause) if upgrade and kept.since and cause else None


def _cause(kept: RolloutStatus) -> Cause | None:
    return Cause(kept.cause, kept.reason or "", kept.message or "") if kept.cause else None


def _of_upgrade(kept: RolloutStatus, upgrade: Upgrade) -> Rollout | None:
    if kept.phase is Phase.PROGRESSING:
        return Starting(upgrade, kept.since)
    if kept.since is None:
        return None
    if kept.phase is Phase.ABORTING:
        cause = _cause(kept)
        return Aborting(upgrade, Stage(kept.stage), kept.since, cause) if cause and kept.stage in set(Stage) else None
    return _at_step(kept, Place(upgrade, kept.step, kept.since, kept.offset or 0)) if kept.step is not None else None


def _at_step(kept: RolloutStatus, place: Place) -> OnStep | None:  # noqa: PLR0911 - one for each phase
    match kept.phase, kept.reason:
        case Phase.EXAMINING, _:
            return Examining(place)
        case Phase.REPLAYING, reason:
            return Replaying(place, is_about_evidence=reason == _INCONCLUSIVE)
        case Phase.MIRRORING, _:
            return Mirroring(place)
        case Phase.COLLECTING, _:
            return Collecting(place)
        case Phase.PAUSED, reason:
            return Stopped(place) if reason == _STOPPED else Paused(place, kept.until)
        case Phase.AWAITING_APPROVAL, reason:
            return AwaitingApproval(place, is_about_evidence=reason == _INCONCLUSIVE)
        case Phase.HELD, reason:
            return Unanswered(place) if reason == _UNANSWERED else Held(place, reason or "", kept.message or "")
        case Phase.PROMOTING, _:
            return Promoting(place, kept.message or "")
        case _:
            return None
