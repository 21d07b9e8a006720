"""Going back: what would run then is the recorded bundle, so policies and the surroundings are asked about that.

The live spec goes on saying something else. It may break a policy that the bundle keeps, and may well be why somebody
went back; or the bundle may break one that has come since it was recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from proctor.api.agent import Agent
from proctor.api.progress import RevisionStatus
from proctor.plan import command, findings, revision
from proctor.plan.findings import Obstacle
from proctor.plan.revision import Revision
from proctor.plan.world import Manifest, Platform, World


def meant(agent: Agent) -> tuple[str, ...]:
    """The revisions that somebody went back to, or asks to go back to."""
    asked = command.undone_by(command.said_to(agent))
    return tuple(dict.fromkeys(each for each in (agent.status.revision.undone_to, asked) if each))


def as_it_would_run(agent: Agent, bundle: Revision, platform: Platform) -> Agent | None:
    """The Agent with the behaviour of the bundle in place of its own; None if this version cannot read the bundle."""
    body = agent.model_dump(mode="json", by_alias=True, exclude_none=True)
    spec = {name: each for name, each in body["spec"].items() if name not in _OWN_WORDS and name not in bundle.spec}
    runtime = {**body["spec"].get("runtime", {}), **bundle.spec.get("runtime", {})}
    if runtime.get("image") == platform.agent_image:
        del runtime["image"]
    try:
        return Agent.model_validate({**body, "spec": {**spec, **bundle.spec, "runtime": runtime}})
    except ValidationError:
        return None


_OWN_WORDS = {*revision.BEHAVIOUR, "instructions", "instructionsFrom"}


def undone(world: World, own: Revision) -> RevisionStatus:
    """Which revision somebody went back to; only these fields. It holds until the spec asks for another than it did."""
    before, kept = world.agent.status.revision, revision.recorded(world.children)
    then = kept.get(before.undone_from or "")
    # A policy that changes makes another revision of the same spec: that is no reason to run what was gone back from.
    is_as_it_was = before.undone_from == own.hash or (then is not None and _of_spec_alone(then) == _of_spec_alone(own))
    if before.undone_to in kept and is_as_it_was:
        return RevisionStatus(undone_to=before.undone_to, undone_from=before.undone_from)
    return RevisionStatus()


def _of_spec_alone(found: Revision) -> dict[str, Any]:
    return {name: each for name, each in found.data.items() if name != "policy"}


def in_force(world: World) -> World:
    """The World with what policies say of what is to run: the spec, or the revision that somebody went back to."""
    target = world.restorable.get(_target(world) or "")
    return replace(world, standing=target.standing) if target else world


def obstacles(world: World) -> tuple[Obstacle, ...]:
    """Why what is to run cannot be run."""
    target = _target(world)
    return findings.obstacles(world) if target is None else obstacles_of(world, target)


def _target(world: World) -> str | None:
    """The revision that somebody went back to; None while the spec lacks something, for nobody can say if it holds."""
    if not world.restorable or _is_incomplete(world):
        return None
    found = undone(world, revision.of_spec(world, world.instructions or "")).undone_to
    return found if found in world.restorable else None


def _is_incomplete(world: World) -> bool:
    return any(each.reason not in findings.OF_CONTENT for each in findings.obstacles(world))


def obstacles_of(world: World, target: str) -> tuple[Obstacle, ...]:
    """Why a recorded revision cannot be run; none that is known if it cannot be read."""
    found = world.restorable.get(target)
    if found is None:
        return ()
    words = f"revision {target}, which somebody went back to: "
    there = replace(world, agent=found.agent, instructions=found.agent.spec.instructions, standing=found.standing)
    return tuple(replace(each, message=f"{words}{each.message}") for each in findings.obstacles(there))


def can_go_back(world: World) -> bool:
    """Whether somebody asks just now to go back to a revision that can run, from a spec that may not."""
    target = command.undone_by(command.unhandled(world.agent))
    if target is None or target not in world.restorable:
        return False
    return not _is_incomplete(world) and not obstacles_of(world, target)


def owned_bundles(owned: tuple[Manifest, ...], agent: Agent, platform: Platform) -> dict[str, Agent]:
    """The Agent as it would run, for each revision that somebody went back to or asks for."""
    wanted = meant(agent)
    kept = revision.recorded(owned) if wanted else {}
    found = {each: as_it_would_run(agent, kept[each], platform) for each in wanted if each in kept}
    return {name: each for name, each in found.items() if each is not None}
