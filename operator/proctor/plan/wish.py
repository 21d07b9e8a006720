"""What is wanted of an agent: the revision that its spec makes, or an older one that somebody went back to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from proctor.api.objectives import ReleaseState
from proctor.api.progress import RevisionStatus
from proctor.delivery.facts import Command, Verb, Wanted
from proctor.delivery.phases import Starting, place_of
from proctor.plan import command as commands
from proctor.plan import objectives, restoring, revision, route
from proctor.plan.indications import Subject
from proctor.plan.override import Override, override_of
from proctor.plan.progress import rollout_of
from proctor.plan.revision import Revision
from proctor.plan.world import Event, World
from proctor.policy import upgrades
from proctor.slo.gate import Gate

_PATIENCE = 2
"""With little error budget left, each weight is half of what it was, and takes twice the tasks and twice the time."""


@dataclass(frozen=True)
class Wish:
    """The revision that is wanted, and what a person said about it."""

    wanted: Wanted
    known: dict[str, Revision]
    """Every bundle that there is, the wanted one included."""
    undone: RevisionStatus
    """Which revision somebody went back to, if so; only these fields."""
    command: Command | None = None
    said: str | None = None
    """The last command as it stands on the Agent, for the record that it was handled."""
    told: tuple[Event, ...] = ()
    spent: str | None = None
    """Which error budget freezes the upgrade, in words; None if none does."""
    override: Override | None = None
    """What people say to that, where the spec has them asked."""


def wish_of(world: World, now: datetime) -> Wish:
    """What is wanted now. A command is new if the status does not name it as handled."""
    agent = world.agent
    own = revision.of_spec(world, world.instructions or "")
    known = {**revision.recorded(world.children), own.hash: own}
    said = commands.unhandled(agent)
    command = commands.parsed(said)
    told = (_unreadable(said),) if said and command is None else ()
    undone = restoring.undone(world, own)
    if command is not None and command.verb is Verb.UNDO:
        undone, words = _undo(command, own, undone, world)
        told = (words,)
    target = undone.undone_to or own.hash
    gate = _gate(world)
    is_free = _goes_back(world, undone)
    spent = gate.message if gate.state is ReleaseState.FREEZE and not is_free else None
    lift = _override(world, gate, target, now) if spent else None
    wanted = Wanted(
        target,
        agent.spec.rollout,
        replicas_of(world),
        skips_steps=_served_lately(world, undone),
        freeze=None if is_free else _frozen(world, lift.words(spent) if lift and spent else spent),
        patience=_patience(gate),
    )
    handled = commands.said_to(agent) or agent.status.last_handled_command
    return Wish(wanted, known, undone, command, handled, told, spent, lift)


def unchanged(world: World, candidate: str, now: datetime) -> Wish:
    """While the spec cannot be carried out, nothing new is wanted; what is tried may be withdrawn, no more."""
    kept, gate = world.agent.status.revision, _gate(world)
    undone = RevisionStatus(undone_to=kept.undone_to, undone_from=kept.undone_from)
    wanted = Wanted(
        candidate,
        world.agent.spec.rollout,
        replicas_of(world),
        skips_steps=candidate == undone.undone_to and _served_lately(world, undone),
        freeze="the spec cannot be carried out at present",
        patience=_patience(gate),
    )
    known, said = revision.recorded(world.children), world.agent.status.last_handled_command
    asked = _override(world, gate, candidate, now)
    return Wish(wanted, known, undone, _withdrawal(world, candidate), said, override=asked)


def _gate(world: World, *, is_own: bool = True) -> Gate:
    """What the error budgets mean for the agent's upgrades.

    Who declares no steps asks for no care, so its own gates hold up nothing; what a policy demands holds all the same.
    """
    floor = upgrades.gate(world.standing.effective)
    counts = is_own and bool(world.agent.spec.rollout.steps)
    return objectives.release_gate(Subject.of(world.agent), world.indications, floor, is_own=counts)


def _patience(gate: Gate) -> int:
    # Frozen, too: with less budget left a candidate must not get more.
    return 1 if gate.state is ReleaseState.NORMAL else _PATIENCE


def _override(world: World, gate: Gate, revision: str, now: datetime) -> Override | None:
    found = override_of(world, revision, now) if gate.state is ReleaseState.FREEZE else None
    is_demanded = found is not None and _gate(world, is_own=False).state is ReleaseState.FREEZE
    return replace(found, is_void=is_demanded) if found else None


def _goes_back(world: World, undone: RevisionStatus) -> bool:
    """To what has served is the remedy, and is never held up; to one that never served is an upgrade."""
    return undone.undone_to is not None and undone.undone_to in world.agent.status.revision.served


def _frozen(world: World, spent: str | None) -> str | None:
    """Why no upgrade may begin or go on: a policy's window, no error budget, a route that does not split tasks."""
    return "; ".join(each for each in (world.standing.freeze, spent, route.freeze(world)) if each) or None


def _withdrawal(world: World, candidate: str) -> Command | None:
    """A candidate that an enforced policy forbids gets no traffic: it is withdrawn, as if somebody had aborted it."""
    rollout = rollout_of(world.agent.status)
    is_tried = rollout is not None and (isinstance(rollout, Starting) or place_of(rollout) is not None)
    obstacles = world.standing.obstacles
    if not is_tried or not obstacles:
        return None
    return Command(Verb.ABORT, candidate, f"{obstacles[0].policy} {obstacles[0].rule}")


def replicas_of(world: World) -> int:
    """Pods asked for."""
    spec = world.agent.spec
    return 0 if spec.suspend else spec.runtime.replicas


def _unreadable(said: str) -> Event:
    verbs = ", ".join(sorted(Verb))
    return Event(
        "CommandRefused",
        f"{said[:100]!r} is no command: <verb>@<revision>/<nonce>, where the verb is one of {verbs}",
        "Warning",
    )


def _undo(command: Command, own: Revision, undone: RevisionStatus, world: World) -> tuple[RevisionStatus, Event]:
    """Refused, it leaves everything as it is: also a revision that somebody went back to before."""
    if obstacles := restoring.obstacles_of(world, command.revision):
        return undone, _not_undone("; ".join(each.message for each in obstacles))
    if command.revision == own.hash:
        return RevisionStatus(), Event("Undone", f"{own.hash}, which the spec asks for, is wanted again")
    if command.revision not in revision.recorded(world.children):
        return undone, _not_undone(f"revision {command.revision} is not recorded any more")
    words = f"somebody went back to revision {command.revision}, whole, until the spec asks for another than {own.hash}"
    return RevisionStatus(undone_to=command.revision, undone_from=own.hash), Event("Undone", words)


def _not_undone(why: str) -> Event:
    return Event("CommandRefused", f"undo was not done: {why}", "Warning")


def _served_lately(world: World, undone: RevisionStatus) -> bool:
    if undone.undone_to is None:
        return False
    served = world.agent.status.revision.served
    window = world.agent.spec.rollout.rollback.window
    stable = world.agent.status.revision.stable
    before = tuple(each for each in served if each != stable)
    return undone.undone_to in before[:window] or undone.undone_to == stable


def reported(undone: RevisionStatus, rest: RevisionStatus) -> RevisionStatus:
    """The revisions with what somebody went back to."""
    return rest.model_copy(update={"undone_to": undone.undone_to, "undone_from": undone.undone_from})
