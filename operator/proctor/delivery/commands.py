"""What a person's word does to a rollout. What cannot be done is refused, and the refusal says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from proctor.api.progress import OutcomeType
from proctor.delivery.decision import Decision, Outcome
from proctor.delivery.facts import Command, Evidence, Verb, Wanted
from proctor.delivery.phases import (
    Aborting,
    AwaitingApproval,
    Cause,
    Collecting,
    Failed,
    Held,
    Initial,
    OnStep,
    Place,
    Progressing,
    Promoting,
    Reverting,
    Rollout,
    Starting,
    Stopped,
    Unanswered,
    blocked_of,
    candidate_of,
    place_of,
    stable_of,
)
from proctor.delivery.starting import begun_upgrade
from proctor.delivery.stepping import advanced, entered, is_exposed
from proctor.delivery.withdrawal import withdrawn

_ONWARD = {Verb.RETRY, Verb.PROMOTE, Verb.PROMOTE_FULL}
"""What brings a candidate further. A freeze that a command could lift would be none; to stop or go back is free."""


def obeyed(command: Command, rollout: Rollout, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    """The rollout after the command; with an outcome that says what was done, or why nothing was."""
    if command.verb is Verb.UNDO:
        # What is wanted is another revision then: nothing of the rollout itself has to be told.
        return Decision(rollout)
    if objection := _objection(command, rollout, wanted):
        return _refused(rollout, command, objection)
    match command.verb:
        case Verb.RETRY:
            return _retried(command, rollout, wanted, now)
        case Verb.ABORT:
            return _aborted(command, rollout, wanted, evidence, now)
        case Verb.PROMOTE | Verb.PROMOTE_FULL:
            return _promoted(command, rollout, wanted, evidence, now)
        case Verb.PAUSE | Verb.RESUME:
            return _paused(command, rollout, wanted, evidence, now)


def _objection(command: Command, rollout: Rollout, wanted: Wanted) -> str | None:
    """Why the command is not even looked at."""
    meant = blocked_of(rollout) if command.verb is Verb.RETRY else candidate_of(rollout)
    if command.revision != meant:
        return f"it is about {command.revision}, but there is {meant or 'none'}"
    # Where nothing serves yet, there is nothing that a freeze could keep.
    if wanted.freeze and command.verb in _ONWARD and stable_of(rollout) is not None:
        return f"nothing goes on at present: {wanted.freeze}"
    return None


def _retried(command: Command, rollout: Rollout, wanted: Wanted, now: datetime) -> Decision:
    if not isinstance(rollout, Failed) or wanted.revision != rollout.blocked:
        return _refused(rollout, command, "it is being withdrawn, or is not wanted any more")
    told = _done(command, f"{rollout.blocked} is tried again; its evidence goes on where it was")
    if rollout.stable is None:
        return Decision(Initial(rollout.blocked, wanted.since(None, now)), (told,))
    if not (wanted.steps or wanted.skips_steps):
        return Decision(Progressing(rollout.stable, rollout.blocked, wanted.since(None, now)), (told,))
    upgrade = begun_upgrade(rollout.stable, wanted, now, attempts=rollout.attempts + 1)
    return Decision(Starting(upgrade, wanted.since(None, now)), (told,))


def _aborted(command: Command, rollout: Rollout, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    match rollout:
        case Progressing(stable=stable, candidate=candidate):
            message = f"{command.by} aborted the upgrade to {candidate}; {stable} goes on serving"
            return Decision(Failed(stable, candidate, now, "Aborted", message), (_done(command, message),))
        case Initial() | Aborting() | Reverting():
            return _refused(rollout, command, "there is nothing to go back to, or it goes back already")
        case _:
            upgrade = rollout.upgrade if isinstance(rollout, Starting) else _on(rollout).place.upgrade
            exposed = not isinstance(rollout, Starting) and is_exposed(_on(rollout), wanted, evidence)
            message = f"{command.by} aborted the upgrade to {upgrade.candidate}; {upgrade.stable} goes on serving"
            return withdrawn(upgrade, Cause(OutcomeType.ABORTED, "Aborted", message), now, is_exposed=exposed)


def _promoted(command: Command, rollout: Rollout, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    place = place_of(rollout)
    if place is None or isinstance(rollout, Promoting):
        return _refused(rollout, command, "it is at no step that could be passed")
    if isinstance(rollout, AwaitingApproval | Unanswered):
        return _refused(rollout, command, "the step needs an Approval; a command does not stand for one")
    if command.verb is Verb.PROMOTE:
        decision = advanced(place, wanted, evidence, now, "somebody promoted it")
        return Decision(decision.rollout, (_done(command, decision.outcomes[0].message),), decision.wake_at)
    if wanted.asks_people_after(place.step):
        return _refused(rollout, command, "a later step needs an Approval; a command does not stand for one")
    message = f"somebody promoted {place.upgrade.candidate} past all further steps"
    after = Promoting(Place(place.upgrade, len(wanted.steps), now, place.offset), message)
    return Decision(after, (_done(command, message),))


def _paused(command: Command, rollout: Rollout, wanted: Wanted, evidence: Evidence, now: datetime) -> Decision:
    place = place_of(rollout)
    if command.verb is Verb.RESUME:
        if place is None or not isinstance(rollout, Stopped | Unanswered | Held):
            return _refused(rollout, command, "it is not paused")
        again = entered(place.upgrade, place.step, wanted, evidence, now)
        # Tasks of the step count on; people are asked again only where nobody answered.
        step = wanted.steps[place.step] if place.step < len(wanted.steps) else None
        if isinstance(again, AwaitingApproval) and not isinstance(rollout, Unanswered) and step and step.weight:
            again = Collecting(again.place)
        kept = replace(again, place=replace(again.place, offset=place.offset))
        return Decision(kept, (_done(command, f"step {place.step} of {place.upgrade.candidate} goes on"),))
    if place is None or isinstance(rollout, Stopped | Promoting | AwaitingApproval | Unanswered):
        return _refused(rollout, command, "it is at no step that could be paused")
    return Decision(Stopped(place), (_done(command, f"step {place.step} of {place.upgrade.candidate} is paused"),))


def _on(rollout: Rollout) -> OnStep:
    assert place_of(rollout) is not None  # noqa: S101 - all others were refused before
    return rollout  # type: ignore[return-value]


def _done(command: Command, message: str) -> Outcome:
    return Outcome("CommandDone", f"{command.verb}: {message}")


def _refused(rollout: Rollout, command: Command, why: str) -> Decision:
    return Decision(rollout, (Outcome("CommandRefused", f"{command.verb} was not done: {why}", is_warning=True),))
