"""An upgrade at its steps: what each waits for, what ends it, and what comes next.

Three answers, never two: no data neither promotes nor rolls back. Danger is looked for in every phase, also while
people are asked or a pause lasts, as long as the candidate has traffic.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import exp
from typing import assert_never

from proctor.api.progress import OutcomeType
from proctor.api.rollout import OnInconclusive, Step, Until
from proctor.delivery import evidence as statistics
from proctor.delivery.decision import Decision, Ended, Outcome
from proctor.delivery.evidence import Analysis, Exposure, Promote, Rollback, Verdict
from proctor.delivery.facts import Answer, Evidence, Result, Trial, Wanted
from proctor.delivery.phases import (
    AwaitingApproval,
    Cause,
    Collecting,
    Examining,
    Held,
    Mirroring,
    OnStep,
    Paused,
    Place,
    Promoting,
    Replaying,
    Stopped,
    Unanswered,
    Upgrade,
    Watching,
)
from proctor.delivery.withdrawal import withdrawn

_SPENT = "ExposureSpent"


def weight_of(rollout: OnStep, wanted: Wanted) -> int:
    """The share of new tasks, in percent, that begin on the candidate in this phase."""
    step = rollout.place.step
    match rollout:
        case AwaitingApproval(is_about_evidence=False) | Unanswered():
            return wanted.weight_at(step - 1) if step else 0
        case _:
            return wanted.weight_at(step)


def mirror_of(rollout: OnStep, wanted: Wanted) -> int:
    """The share of live tasks, in percent, that are copied to the candidate in this phase."""
    step = _step(wanted, rollout.place.step)
    return step.mirror.percent if isinstance(rollout, Mirroring) and step and step.mirror else 0


def verdict_of(rollout: OnStep, wanted: Wanted, evidence: Evidence, now: datetime) -> Verdict | None:
    """What the live tasks say of the candidate; None if they cannot be read."""
    if evidence.capital is None:
        return None
    place = rollout.place
    rules, step = wanted.rules.analysis, _step(wanted, place.step)
    until = step.until if step else None
    given = evidence.traffic.begun if evidence.traffic else evidence.capital.candidate_tasks
    analysis = Analysis(
        alpha=float(rules.alpha),
        beta=float(rules.beta),
        min_tasks=until.min_tasks * wanted.patience if until else 0,
        # Time is counted for each weight by itself, in `_collecting`.
        min_duration=timedelta(),
        max_tasks=rules.max_tasks,
        max_duration=rules.max_duration,
        on_inconclusive=rules.on_inconclusive,
        max_candidate_tasks=rules.exposure.max_candidate_tasks,
        max_extra_failures=rules.exposure.max_extra_failures,
    )
    is_spent = isinstance(rollout, Held) and rollout.reason == _SPENT
    exposure = Exposure(place.upgrade.begun, given, outage=evidence.outage, is_spent=is_spent)
    return statistics.judge(evidence.capital, analysis, exposure, now)


def entered(upgrade: Upgrade, step: int, wanted: Wanted, evidence: Evidence, now: datetime) -> OnStep:
    """The upgrade at the beginning of that step; after the last one it is promoted."""
    place = Place(upgrade, step, now, evidence.capital.candidate_tasks if evidence.capital else 0)
    found = _step(wanted, step)
    if found is None:
        return Promoting(place, "it served before" if wanted.skips_steps else "there are no steps")
    return AwaitingApproval(place) if found.approval is not None else _begun(place, found)


def stepped(rollout: OnStep, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """Where the upgrade goes from its step."""
    upgrade = rollout.place.upgrade
    exposed = is_exposed(rollout, wanted, evidence)
    if wanted.revision != upgrade.candidate:
        return withdrawn(upgrade, _given_up(upgrade, wanted), now, is_exposed=exposed)
    verdict = verdict_of(rollout, wanted, evidence, now)
    if danger := _danger(rollout, evidence, verdict):
        metric, e = _worst(verdict)
        return withdrawn(upgrade, danger, now, is_exposed=exposed, metric=metric, e=e)
    if wanted.steps_hash != upgrade.steps_hash:
        changed = replace(upgrade, steps_hash=wanted.steps_hash)
        told = Outcome("StepsChanged", f"the steps have changed: {upgrade.candidate} begins again with the first")
        return Decision(entered(changed, 0, wanted, evidence, now), (told,))
    if not wanted.replicas or wanted.freeze:
        return Decision(rollout)
    return _at(rollout, wanted, evidence, verdict, now)


def is_exposed(rollout: OnStep, wanted: Wanted, evidence: Evidence) -> bool:
    """Whether the candidate may have tasks of any kind that somebody waits for."""
    given = evidence.traffic.begun + evidence.traffic.in_flight if evidence.traffic else 0
    counted = evidence.capital.candidate_tasks if evidence.capital else 0
    return weight_of(rollout, wanted) > 0 or given > 0 or counted > 0


def _at(  # noqa: PLR0911 - one for each phase
    rollout: OnStep, wanted: Wanted, evidence: Evidence, verdict: Verdict | None, now: datetime
) -> Decision:
    match rollout:
        case Examining():
            return _tried(rollout, evidence.exam, "ExamPassed", "ExamFailed", wanted, evidence, now)
        case Replaying():
            return _tried(rollout, evidence.replay, "ReplayPassed", "ReplayWorse", wanted, evidence, now)
        case Mirroring():
            return _tried(rollout, evidence.mirror, "MirrorPassed", "MirrorFailed", wanted, evidence, now)
        case Collecting() | Held():
            return _collecting(rollout, wanted, evidence, verdict, now)
        case Paused(until=until):
            if until is None or now < until:
                return Decision(rollout, wake_at=until)
            return advanced(rollout.place, wanted, evidence, now, "the pause is over")
        case Stopped() | Unanswered():
            return Decision(rollout)
        case AwaitingApproval():
            return _asked(rollout, wanted, evidence, now)
        case Promoting():
            return _promoting(rollout, wanted, evidence, now)
        case _:
            assert_never(rollout)


def advanced(place: Place, wanted: Wanted, evidence: Evidence, now: datetime, why: str) -> Decision:
    """On to the next step."""
    following = entered(place.upgrade, place.step + 1, wanted, evidence, now)
    if isinstance(following, Promoting):
        following = replace(following, message=why)
    words = f"step {place.step} of {place.upgrade.candidate} is done: {why}"
    return Decision(following, (Outcome("StepCompleted", words),))


def _tried(
    rollout: Examining | Replaying | Mirroring,
    trial: Trial | None,
    passed: str,
    failed: str,
    wanted: Wanted,
    evidence: Evidence,
    now: datetime,
) -> Decision:
    place, candidate = rollout.place, rollout.place.upgrade.candidate
    if trial is None or trial.result is Result.RUNNING:
        if isinstance(rollout, Mirroring) and _is_alone(place.upgrade, wanted, evidence, now):
            return advanced(place, wanted, evidence, now, f"{place.upgrade.stable} is down: there is nothing to copy")
        return Decision(rollout)
    if trial.result is Result.FAILED:
        exposed = is_exposed(rollout, wanted, evidence)
        type_ = OutcomeType.ROLLED_BACK if exposed else OutcomeType.FAILED
        message = f"{candidate}: {trial.message}; {place.upgrade.stable} goes on serving"
        found = withdrawn(place.upgrade, Cause(type_, failed, message), now, is_exposed=exposed)
        return replace(found, outcomes=(*trial.told, *found.outcomes))
    if trial.result is Result.UNDECIDED:
        then = wanted.rules.analysis.on_inconclusive
        # A replay that has not decided either would not do so if it were asked again.
        then = OnInconclusive.HOLD if then is OnInconclusive.REPLAY else then
        return _undecided(rollout, then, trial.message, wanted, evidence, now)
    decision = advanced(place, wanted, evidence, now, trial.message)
    told = (*trial.told, Outcome(passed, f"{candidate}: {trial.message}"))
    return Decision(decision.rollout, told, decision.wake_at)


def _collecting(
    rollout: Collecting | Held, wanted: Wanted, evidence: Evidence, verdict: Verdict | None, now: datetime
) -> Decision:
    place, step = rollout.place, _step(wanted, rollout.place.step)
    # Held where a trial was undecided, only a person or other steps lead on from here.
    if verdict is None or verdict.reason == "EvidenceUnavailable" or step is None or step.weight is None:
        return Decision(rollout)
    until = step.until or Until()
    ripe_at = place.since + until.min_duration * wanted.patience
    seen = verdict.figures.candidate_tasks - place.offset
    is_ripe = now >= ripe_at and seen >= until.min_tasks * wanted.patience
    if isinstance(verdict, Promote) and (is_ripe or verdict.reason == "Inconclusive"):
        return advanced(place, wanted, evidence, now, verdict.message)
    open_ = verdict if isinstance(verdict, statistics.Collecting) and (verdict.then or verdict.is_spent) else None
    # What may have no more tasks may have no larger share of them either.
    if is_ripe and open_ is None and not wanted.is_last_weight(place.step) and verdict.figures.may_rise:
        return advanced(place, wanted, evidence, now, f"{seen} tasks, and no evidence of harm")
    if now >= ripe_at and _is_alone(place.upgrade, wanted, evidence, now):
        # No task either: the gateway draws arms only while both revisions could take the task.
        return advanced(place, wanted, evidence, now, f"{place.upgrade.stable} is down, and the candidate is well")
    if open_ is not None:
        then = open_.then or OnInconclusive.HOLD
        reason = _SPENT if open_.is_spent else "Inconclusive"
        return _undecided(rollout, then, open_.message, wanted, evidence, now, reason=reason)
    going_on = Collecting(place)
    wake_at = ripe_at if now < ripe_at else None
    return Decision(going_on, wake_at=wake_at)


def _undecided(
    rollout: OnStep,
    then: OnInconclusive,
    message: str,
    wanted: Wanted,
    evidence: Evidence,
    now: datetime,
    *,
    reason: str = "Inconclusive",
) -> Decision:
    place = rollout.place
    match then:
        case OnInconclusive.REQUIRE_APPROVAL if wanted.approvers:
            return Decision(AwaitingApproval(replace(place, since=now), is_about_evidence=True))
        case OnInconclusive.REPLAY if not isinstance(rollout, Held):
            told = Outcome("ReplayBegun", f"{message}; finished tasks are run again on both revisions", is_warning=True)
            return Decision(Replaying(place, is_about_evidence=True), (told,))
        case OnInconclusive.HOLD | OnInconclusive.REPLAY | OnInconclusive.REQUIRE_APPROVAL:
            if isinstance(rollout, Held) and rollout.reason == reason:
                return Decision(rollout)
            return Decision(Held(place, reason, message), (Outcome("RolloutHeld", message, is_warning=True),))
        case OnInconclusive.PROMOTE:
            return advanced(place, wanted, evidence, now, f"{message}; onInconclusive is Promote")
        case OnInconclusive.ROLLBACK:
            cause = Cause(OutcomeType.ROLLED_BACK, "Inconclusive", f"{message}; onInconclusive is Rollback")
            return withdrawn(place.upgrade, cause, now, is_exposed=is_exposed(rollout, wanted, evidence))
        case _:
            assert_never(then)


def _asked(rollout: AwaitingApproval, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    place, candidate = rollout.place, rollout.place.upgrade.candidate
    match evidence.answer:
        case None:
            return Decision(rollout)
        case Answer.APPROVED:
            step = _step(wanted, place.step)
            if step is None or step.weight is None or rollout.is_about_evidence:
                return advanced(place, wanted, evidence, now, "people approved")
            told = Outcome("StepApproved", f"people approved step {place.step} of {candidate}")
            return Decision(_begun(replace(place, since=now), step), (told,))
        case Answer.REJECTED:
            message = f"people rejected step {place.step} of {candidate}"
            cause = Cause(OutcomeType.ABORTED, "Rejected", message)
            return withdrawn(place.upgrade, cause, now, is_exposed=is_exposed(rollout, wanted, evidence))
        case Answer.TIMED_OUT:
            message = f"nobody answered about step {place.step} of {candidate} in time; `resume` asks again"
            return Decision(Unanswered(place), (Outcome("ApprovalTimedOut", message, is_warning=True),))
        case _:
            assert_never(evidence.answer)


def _promoting(rollout: Promoting, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    place, upgrade = rollout.place, rollout.place.upgrade
    seen = evidence.of(upgrade.candidate)
    if seen is not None and seen.is_proven and seen.wanted >= wanted.replicas:
        return _promoted(upgrade, rollout.message, wanted, now)
    deadline = place.since + wanted.rules.progress_deadline
    if now < deadline:
        return Decision(rollout, wake_at=deadline)
    count = f"{seen.ready} of {wanted.replicas} pods ready" if seen else "no pods"
    cause = Cause(
        OutcomeType.FAILED, "ProgressDeadlineExceeded", f"{upgrade.candidate} did not get all its pods: {count}"
    )
    return withdrawn(upgrade, cause, now, is_exposed=is_exposed(rollout, wanted, evidence))


def _promoted(upgrade: Upgrade, why: str, wanted: Wanted, now: datetime) -> Decision:
    message = f"revision {upgrade.candidate} serves in place of {upgrade.stable}: {why}"
    until = now + wanted.rules.rollback.watch.for_
    return Decision(
        Watching(upgrade, now, until, keeps_previous=True),
        (Outcome("Promoted", message),),
        None,
        Ended(OutcomeType.PROMOTED, upgrade.candidate, "Promoted", message),
    )


def _begun(place: Place, step: Step) -> OnStep:
    if step.evals is not None:
        return Examining(place)
    if step.replay is not None:
        return Replaying(place)
    if step.mirror is not None:
        return Mirroring(place)
    if step.pause is not None:
        duration = step.pause.duration
        return Paused(place, place.since + duration if duration else None)
    return Collecting(place)


def _danger(rollout: OnStep, evidence: Evidence, verdict: Verdict | None) -> Cause | None:
    upgrade = rollout.place.upgrade
    if isinstance(verdict, Rollback):
        return Cause(OutcomeType.ROLLED_BACK, verdict.reason, f"{upgrade.candidate}: {verdict.message}")
    seen = evidence.of(upgrade.candidate)
    if seen is not None and seen.is_crashing:
        return Cause(OutcomeType.ROLLED_BACK, "CrashLoop", f"{upgrade.candidate}: {seen.problem}")
    return None


def _is_alone(upgrade: Upgrade, wanted: Wanted, evidence: Evidence, now: datetime) -> bool:
    """Whether stable is down for good and the candidate is well.

    Then there is nothing to compare it with, and nobody is served: what is broken must not keep out what mends it.
    """
    patience = wanted.rules.progress_deadline
    return evidence.is_ready(upgrade.candidate) and evidence.is_down(upgrade.stable, patience, now)


def _worst(verdict: Verdict | None) -> tuple[str | None, float | None]:
    if not isinstance(verdict, Rollback) or verdict.metric is None:
        return None, None
    return verdict.metric, exp(min(verdict.figures.log_harm_peak, 50.0))


def _given_up(upgrade: Upgrade, wanted: Wanted) -> Cause:
    if wanted.revision == upgrade.stable:
        message = f"{upgrade.stable} is wanted again; {upgrade.candidate} is withdrawn"
        return Cause(OutcomeType.CANCELLED, "Cancelled", message)
    message = f"{upgrade.candidate} gives way to {wanted.revision} before it was proven"
    return Cause(OutcomeType.SUPERSEDED, "Superseded", message)


def _step(wanted: Wanted, index: int) -> Step | None:
    return wanted.steps[index] if index < len(wanted.steps) else None
