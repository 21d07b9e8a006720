"""How a candidate is taken back, in an order that drops no task; and how a promotion is.

Weight 0, verified at all gateways; then its tasks end, by their deadline; then, a little later, its pods go. Skipping
the verification would send new tasks to pods that are going; skipping the drain would cut off those under way.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from proctor.api.progress import OutcomeType
from proctor.delivery.decision import Decision, Ended, Outcome
from proctor.delivery.facts import Evidence, Wanted
from proctor.delivery.phases import Aborting, Cause, Failed, Reverting, Settled, Stage, Upgrade, Watching


def withdrawn(
    upgrade: Upgrade,
    cause: Cause,
    now: datetime,
    *,
    is_exposed: bool,
    metric: str | None = None,
    e: float | None = None,
) -> Decision:
    """The candidate is withdrawn from now on. One that no gateway ever sent a task to has nothing to be drained of."""
    ended = Ended(cause.type, upgrade.candidate, cause.reason, cause.message, metric, e)
    told = Outcome(_event_of(cause), cause.message, is_warning=cause.blocks)
    after = Aborting(upgrade, Stage.WITHDRAWING, now, cause) if is_exposed else _gone(upgrade, cause, now)
    return Decision(after, (told,), None, ended)


def aborting(rollout: Aborting, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """One stage after the other; nothing that is wanted meanwhile changes their order."""
    traffic, rules, upgrade = evidence.traffic, wanted.rules, rollout.upgrade
    match rollout.stage:
        case Stage.WITHDRAWING:
            if traffic is None or not traffic.is_withdrawn:
                return Decision(rollout)
            return Decision(replace(rollout, stage=Stage.DRAINING, since=now))
        case Stage.DRAINING:
            deadline = rollout.since + rules.rollback.drain
            if now < deadline and (traffic is None or traffic.in_flight > 0):
                return Decision(rollout, wake_at=deadline)
            left = f"; {traffic.in_flight} tasks did not end in time" if traffic and traffic.in_flight else ""
            told = Outcome("CandidateDrained", f"{upgrade.candidate} has no task any more{left}", is_warning=bool(left))
            return Decision(replace(rollout, stage=Stage.SCALING_DOWN, since=now), (told,))
        case Stage.SCALING_DOWN:
            end = rollout.since + rules.abort_scale_down_delay
            return Decision(rollout, wake_at=end) if now < end else Decision(_gone(upgrade, rollout.cause, now))
        case _:
            assert_never(rollout.stage)


def watching(rollout: Watching, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """The promoted revision is watched; what it replaced loses its pods, and in the end the watch does."""
    upgrade = rollout.upgrade
    if _gives_way(upgrade, wanted):
        return Decision(Settled(upgrade.candidate))
    if evidence.alarm is not None:
        message = f"{evidence.alarm}; {upgrade.stable} is brought back in place of {upgrade.candidate}"
        cause = Cause(OutcomeType.ROLLED_BACK, "WatchAlarm", message)
        told = Outcome("WatchAlarm", message, is_warning=True)
        return Decision(
            Reverting(upgrade, now, cause),
            (told,),
            None,
            Ended(OutcomeType.ROLLED_BACK, upgrade.candidate, "WatchAlarm", message),
        )
    retired = rollout.since + wanted.rules.scale_down_delay
    if rollout.keeps_previous and now >= retired:
        return Decision(replace(rollout, keeps_previous=False))
    if not rollout.keeps_previous and now >= rollout.until:
        return Decision(Settled(upgrade.candidate))
    return Decision(rollout, wake_at=retired if rollout.keeps_previous else rollout.until)


def reverting(rollout: Reverting, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """The revision before serves again as soon as its pods are ready. Until then even a bad one is better than none."""
    upgrade = rollout.upgrade
    if _gives_way(upgrade, wanted):
        return Decision(Settled(upgrade.candidate))
    if not evidence.is_ready(upgrade.stable):
        return Decision(rollout)
    told = Outcome("RolledBack", f"{upgrade.stable} serves again in place of {upgrade.candidate}", is_warning=True)
    return Decision(Aborting(upgrade, Stage.WITHDRAWING, now, rollout.cause), (told,))


def _gives_way(upgrade: Upgrade, wanted: Wanted) -> bool:
    """Whether something else is to be tried. What may not begin yet is no reason to stop looking after what serves."""
    return wanted.revision != upgrade.candidate and not wanted.freeze


def _gone(upgrade: Upgrade, cause: Cause, now: datetime) -> Settled | Failed:
    if not cause.blocks:
        return Settled(upgrade.stable)
    if cause.type is OutcomeType.ROLLED_BACK:
        reason, message = "RolledBack", f"{cause.reason}: {cause.message}"
    else:
        reason, message = cause.reason, cause.message
    return Failed(upgrade.stable, upgrade.candidate, now, reason, message, upgrade.attempts)


def _event_of(cause: Cause) -> str:
    match cause.type:
        case OutcomeType.SUPERSEDED:
            return "RevisionSuperseded"
        case OutcomeType.CANCELLED:
            return "RolloutCancelled"
        case OutcomeType.FAILED:
            return "RolloutFailed"
        case OutcomeType.ABORTED:
            return "RolloutAborted"
        case OutcomeType.ROLLED_BACK | OutcomeType.PROMOTED:
            return "RollingBack"
        case _:
            assert_never(cause.type)
