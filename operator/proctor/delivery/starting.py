"""A revision before it has any traffic: brought up beside the stable one, or as the first."""

from __future__ import annotations

from datetime import datetime, timedelta

from proctor.api.fields import format_duration
from proctor.api.progress import OutcomeType
from proctor.delivery.decision import Decision, Ended, Outcome
from proctor.delivery.facts import Evidence, Wanted
from proctor.delivery.phases import Failed, Initial, Progressing, Rollout, Settled, Starting, Upgrade
from proctor.delivery.stepping import entered


def begun_upgrade(stable: str, wanted: Wanted, now: datetime, attempts: int = 0) -> Upgrade:
    """An upgrade by steps that begins now. Its id is another one for each attempt: arms are drawn by it."""
    name = f"{stable}-{wanted.revision}-{int(now.timestamp() * 1000):x}"
    return Upgrade(name, stable, wanted.revision, wanted.steps_hash, now, attempts)


def first(wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """Nothing is recorded: the wanted revision is the first, unless another is seen to serve."""
    # A status that was lost must not take down what serves: a ready revision other than the wanted one was the stable.
    serving = sorted(name for name, seen in evidence.revisions.items() if seen.ready > 0 and name != wanted.revision)
    # With steps, readiness proves nothing: a candidate that was at its first step is ready, too.
    if serving and (wanted.steps or not evidence.is_ready(wanted.revision)):
        return tried(serving[0], wanted, now)
    created = Outcome("RevisionCreated", f"revision {wanted.revision} is being started")
    return _running(Initial(wanted.revision, wanted.since(None, now)), wanted, (created,))


def tried(stable: str, wanted: Wanted, now: datetime) -> Decision:
    """What is wanted is brought up beside the stable revision; while upgrades are frozen, it waits."""
    if wanted.freeze:
        return Decision(Settled(stable))
    started = Outcome("CandidateStarted", f"revision {wanted.revision} is being started beside {stable}")
    since = wanted.since(None, now)
    # One that served before gets past all steps, but into its place in the same order as after them.
    if wanted.steps or wanted.skips_steps:
        return _running(Starting(begun_upgrade(stable, wanted, now), since), wanted, (started,))
    return _running(Progressing(stable, wanted.revision, since), wanted, (started,))


def initial(rollout: Initial, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """The first revision serves as soon as it is ready: there is nothing to compare it with, so no steps."""
    if wanted.revision != rollout.candidate:
        begun = Initial(wanted.revision, wanted.since(None, now))
        return _running(begun, wanted, (_superseded(rollout.candidate, wanted),))
    if evidence.is_ready(rollout.candidate):
        return _serves(rollout.candidate, f"revision {rollout.candidate} is the first to serve")
    since = wanted.since(rollout.since, now)
    if since is None or now < since + wanted.rules.progress_deadline:
        return _running(Initial(rollout.candidate, since), wanted)
    return _give_up(None, rollout.candidate, wanted, evidence, now)


def progressing(rollout: Progressing, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """Without steps, a candidate serves as soon as all its pods are ready."""
    if wanted.revision == rollout.stable:
        return _dropped(rollout.stable, rollout.candidate)
    if wanted.revision != rollout.candidate:
        return _instead(rollout.stable, rollout.candidate, wanted, now)
    if wanted.steps or wanted.skips_steps:
        return Decision(Starting(begun_upgrade(rollout.stable, wanted, now), wanted.since(rollout.since, now)))
    if evidence.is_ready(rollout.candidate) and not wanted.freeze:
        return _serves(rollout.candidate, f"revision {rollout.candidate} serves in place of {rollout.stable}")
    since = wanted.since(rollout.since, now)
    if since is None or now < since + wanted.rules.progress_deadline or wanted.freeze:
        return _running(Progressing(rollout.stable, rollout.candidate, since), wanted)
    return _give_up(rollout.stable, rollout.candidate, wanted, evidence, now)


def starting(rollout: Starting, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """With steps, the first of them begins when the candidate is ready."""
    upgrade = rollout.upgrade
    if wanted.revision == upgrade.stable:
        return _dropped(upgrade.stable, upgrade.candidate)
    if wanted.revision != upgrade.candidate:
        return _instead(upgrade.stable, upgrade.candidate, wanted, now)
    if evidence.is_ready(upgrade.candidate) and not wanted.freeze:
        return Decision(entered(upgrade, 0, wanted, evidence, now))
    since = wanted.since(rollout.since, now)
    if since is None or now < since + wanted.rules.progress_deadline or wanted.freeze:
        return _running(Starting(upgrade, since), wanted)
    return _give_up(upgrade.stable, upgrade.candidate, wanted, evidence, now, upgrade.attempts)


def failed(rollout: Failed, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """What was refused stays refused until something else is wanted."""
    if wanted.revision == rollout.stable:
        told = Outcome("RolloutCancelled", f"the spec is back at {rollout.stable}")
        return Decision(Settled(rollout.stable), (told,))
    if wanted.revision != rollout.blocked:
        return tried(rollout.stable, wanted, now) if rollout.stable else first(wanted, Evidence(), now)
    if rollout.stable is None and evidence.is_ready(rollout.blocked):
        return _serves(rollout.blocked, f"revision {rollout.blocked} got ready after its deadline and serves")
    return Decision(rollout)


def _running(rollout: Initial | Progressing | Starting, wanted: Wanted, outcomes: tuple[Outcome, ...] = ()) -> Decision:
    """Goes on until the candidate is ready or its time is up."""
    deadline = rollout.since + wanted.rules.progress_deadline if rollout.since else None
    return Decision(rollout, outcomes, deadline)


def _instead(stable: str, before: str, wanted: Wanted, now: datetime) -> Decision:
    following, told = tried(stable, wanted, now), _superseded(before, wanted)
    ended = Ended(OutcomeType.SUPERSEDED, before, "Superseded", told.message)
    return Decision(following.rollout, (told,), following.wake_at, ended)


def _superseded(before: str, wanted: Wanted) -> Outcome:
    return Outcome("RevisionSuperseded", f"{before} gave way to {wanted.revision} before it served")


def _dropped(stable: str, candidate: str) -> Decision:
    message = f"the spec is back at {stable}; {candidate} is dropped"
    ended = Ended(OutcomeType.CANCELLED, candidate, "Cancelled", message)
    return Decision(Settled(stable), (Outcome("RolloutCancelled", message),), None, ended)


def _serves(revision: str, message: str) -> Decision:
    ended = Ended(OutcomeType.PROMOTED, revision, "Promoted", message)
    return Decision(Settled(revision), (Outcome("Promoted", message),), None, ended)


def _give_up(
    stable: str | None, candidate: str, wanted: Wanted, evidence: Evidence, now: datetime, attempts: int = 0
) -> Decision:
    seen = evidence.of(candidate)
    count = f"{seen.ready} of {seen.wanted} pods ready" if seen else "no pods"
    problem = f"; {seen.problem}" if seen and seen.problem else ""
    serving = f"{stable} goes on serving" if stable else "nothing serves"
    message = (
        f"revision {candidate} was not ready within {_words(wanted.rules.progress_deadline)}: {count}{problem}; "
        f"{serving}; change the spec to try again"
    )
    reason = "ProgressDeadlineExceeded"
    after: Rollout = Failed(stable, candidate, now, reason, message, attempts)
    ended = Ended(OutcomeType.FAILED, candidate, reason, message)
    return Decision(after, (Outcome("RolloutFailed", message, is_warning=True),), None, ended)


def _words(duration: timedelta) -> str:
    return format_duration(duration)
