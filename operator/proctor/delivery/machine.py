"""The rollout machine: which revision serves, which is tried, which is refused.

`decide` is the whole of it: a pure function of what is wanted, where the rollout is, what was seen, and the time.
A revision becomes stable by the readiness of all its pods; one that is not ready by the progress deadline is
refused until the spec asks for another. The stable revision serves until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never


@dataclass(frozen=True)
class Initial:
    """Nothing has served yet; the candidate serves as soon as it is ready."""

    candidate: str
    since: datetime | None
    """When the deadline began to run; None while no pods are asked for, for then nothing can get ready."""


@dataclass(frozen=True)
class Settled:
    """The stable revision is what the spec asks for."""

    stable: str


@dataclass(frozen=True)
class Progressing:
    """The candidate is being brought up beside the stable revision."""

    stable: str
    candidate: str
    since: datetime | None
    """As of Initial."""


@dataclass(frozen=True)
class Failed:
    """What the spec asks for did not get ready. Without a stable revision its pods stay, and may yet recover."""

    stable: str | None
    blocked: str
    since: datetime
    reason: str
    message: str


Rollout = Initial | Settled | Progressing | Failed


@dataclass(frozen=True)
class Wanted:
    """What the spec asks for."""

    revision: str
    progress_deadline: timedelta
    replicas: int = 1
    """Pods asked for. Without any, as when the agent is suspended, a rollout rests: nothing is proven or refused."""

    def since(self, begun: datetime | None, now: datetime) -> datetime | None:
        """When the deadline began to run for what was begun then, or is begun now."""
        return (begun or now) if self.replicas else None


@dataclass(frozen=True)
class Seen:
    """What is known of one revision's pods."""

    wanted: int
    ready: int
    is_current: bool
    problem: str | None = None
    """What the first unhappy pod says of itself, e.g. `ImagePullBackOff: …`."""

    @property
    def all_ready(self) -> bool:
        """Whether every pod that should exist is ready, by a report that is not older than the request."""
        return self.is_current and self.ready >= self.wanted

    @property
    def is_proven(self) -> bool:
        """Whether there were pods to get ready, and all of them did."""
        return self.all_ready and self.wanted > 0


@dataclass(frozen=True)
class Outcome:
    """Something that happened to a rollout and that a person may want to know."""

    reason: str
    message: str
    is_warning: bool = False


@dataclass(frozen=True)
class Decision:
    """Where the rollout is now, what just happened to it, and when to look again."""

    rollout: Rollout
    outcomes: tuple[Outcome, ...] = ()
    wake_at: datetime | None = None


@dataclass(frozen=True)
class Evidence:
    """What is known of every revision that has pods."""

    revisions: Mapping[str, Seen] = field(default_factory=dict)

    def of(self, revision: str) -> Seen | None:
        """What is known of the revision's pods; None if it has none."""
        return self.revisions.get(revision)

    def is_ready(self, revision: str) -> bool:
        """Whether all pods of the revision are ready. A revision never seen is not, nor is one without pods."""
        seen = self.of(revision)
        return seen is not None and seen.is_proven


def stable_of(rollout: Rollout) -> str | None:
    """The revision that serves."""
    match rollout:
        case Settled(stable=stable) | Progressing(stable=stable) | Failed(stable=stable):
            return stable
        case Initial():
            return None
        case _:
            assert_never(rollout)


def candidate_of(rollout: Rollout) -> str | None:
    """The revision that is being tried."""
    match rollout:
        case Initial(candidate=candidate) | Progressing(candidate=candidate):
            return candidate
        case Settled() | Failed():
            return None
        case _:
            assert_never(rollout)


def live_revisions(rollout: Rollout) -> tuple[str, ...]:
    """The revisions whose pods must exist, the serving one first."""
    match rollout:
        case Initial(candidate=candidate):
            return (candidate,)
        case Settled(stable=stable):
            return (stable,)
        case Progressing(stable=stable, candidate=candidate):
            return (stable, candidate)
        case Failed(stable=stable, blocked=blocked):
            return (stable or blocked,)
        case _:
            assert_never(rollout)


def decide(wanted: Wanted, rollout: Rollout | None, evidence: Evidence, now: datetime) -> Decision:
    """Where the rollout goes from here. Level-triggered: the same facts give the same answer, however often asked."""
    decision = _next(wanted, rollout, evidence, now)
    further = _next(wanted, decision.rollout, evidence, now)
    # As far as these facts lead: what is ready already will not change any more, so nothing would wake us for it.
    while further.rollout != decision.rollout:
        decision = Decision(further.rollout, (*decision.outcomes, *further.outcomes), further.wake_at)
        further = _next(wanted, decision.rollout, evidence, now)
    return decision


def _next(wanted: Wanted, rollout: Rollout | None, evidence: Evidence, now: datetime) -> Decision:
    match rollout:
        case None:
            return _begin(wanted, evidence, now)
        case Initial():
            return _initial(rollout, wanted, evidence, now)
        case Settled(stable=stable):
            return Decision(rollout) if wanted.revision == stable else _try(stable, wanted, now)
        case Progressing():
            return _progressing(rollout, wanted, evidence, now)
        case Failed():
            return _failed(rollout, wanted, evidence, now)
        case _:
            assert_never(rollout)


def recovered(evidence: Evidence) -> Rollout | None:
    """Where a rollout was whose record was lost, as far as it shows: what has ready pods has served."""
    serving = sorted(name for name, seen in evidence.revisions.items() if seen.ready > 0)
    return Settled(serving[0]) if serving else None


def _begin(wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    # A status that was lost must not take down what serves: a ready revision other than the wanted one was the stable.
    serving = sorted(name for name, seen in evidence.revisions.items() if seen.ready > 0 and name != wanted.revision)
    if serving and not evidence.is_ready(wanted.revision):
        return _try(serving[0], wanted, now)
    created = Outcome("RevisionCreated", f"revision {wanted.revision} is being started")
    return _running(Initial(wanted.revision, wanted.since(None, now)), wanted, (created,))


def _initial(rollout: Initial, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    if wanted.revision != rollout.candidate:
        begun = Initial(wanted.revision, wanted.since(None, now))
        return _running(begun, wanted, (_superseded(rollout.candidate, wanted),))
    if evidence.is_ready(rollout.candidate):
        return _promoted(rollout.candidate, f"revision {rollout.candidate} is the first to serve")
    since = wanted.since(rollout.since, now)
    if since is None or now < since + wanted.progress_deadline:
        return _running(Initial(rollout.candidate, since), wanted)
    return _give_up(None, rollout.candidate, wanted, evidence, now)


def _progressing(rollout: Progressing, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    if wanted.revision == rollout.stable:
        undone = Outcome("RolloutCancelled", f"the spec is back at {rollout.stable}; {rollout.candidate} is dropped")
        return Decision(Settled(rollout.stable), (undone,))
    if wanted.revision != rollout.candidate:
        begun = Progressing(rollout.stable, wanted.revision, wanted.since(None, now))
        return _running(begun, wanted, (_superseded(rollout.candidate, wanted),))
    if evidence.is_ready(rollout.candidate):
        return _promoted(rollout.candidate, f"revision {rollout.candidate} serves in place of {rollout.stable}")
    since = wanted.since(rollout.since, now)
    if since is None or now < since + wanted.progress_deadline:
        return _running(Progressing(rollout.stable, rollout.candidate, since), wanted)
    return _give_up(rollout.stable, rollout.candidate, wanted, evidence, now)


def _failed(rollout: Failed, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    if wanted.revision == rollout.stable:
        undone = Outcome("RolloutCancelled", f"the spec is back at {rollout.stable}")
        return Decision(Settled(rollout.stable), (undone,))
    if wanted.revision != rollout.blocked:
        return _try(rollout.stable, wanted, now) if rollout.stable else _begin(wanted, Evidence(), now)
    if rollout.stable is None and evidence.is_ready(rollout.blocked):
        return _promoted(rollout.blocked, f"revision {rollout.blocked} got ready after its deadline and serves")
    return Decision(rollout)


def _try(stable: str, wanted: Wanted, now: datetime) -> Decision:
    started = Outcome("CandidateStarted", f"revision {wanted.revision} is being started beside {stable}")
    return _running(Progressing(stable, wanted.revision, wanted.since(None, now)), wanted, (started,))


def _running(rollout: Initial | Progressing, wanted: Wanted, outcomes: tuple[Outcome, ...] = ()) -> Decision:
    """Goes on until the candidate is ready or its time is up."""
    deadline = rollout.since + wanted.progress_deadline if rollout.since else None
    return Decision(rollout, outcomes, deadline)


def _superseded(before: str, wanted: Wanted) -> Outcome:
    return Outcome("RevisionSuperseded", f"{before} gave way to {wanted.revision} before it served")


def _promoted(revision: str, message: str) -> Decision:
    return Decision(Settled(revision), (Outcome("Promoted", message),))


def _give_up(stable: str | None, candidate: str, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    seen = evidence.of(candidate)
    count = f"{seen.ready} of {seen.wanted} pods ready" if seen else "no pods"
    problem = f"; {seen.problem}" if seen and seen.problem else ""
    serving = f"{stable} goes on serving" if stable else "nothing serves"
    message = (
        f"revision {candidate} was not ready within {_minutes(wanted.progress_deadline)}: {count}{problem}; {serving}; "
        "change the spec to try again"
    )
    failed = Failed(stable, candidate, now, "ProgressDeadlineExceeded", message)
    return Decision(failed, (Outcome("RolloutFailed", message, is_warning=True),))


def _minutes(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
