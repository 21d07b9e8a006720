"""What would be done for an Agent if its manifest were applied: the operator's own planner, asked in advance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from proctor.api.agent import AgentStatus
from proctor.api.meta import Invalid
from proctor.cli.realm import Realm
from proctor.cli.views import cautions
from proctor.cli.views.differences import Difference, differences
from proctor.plan import findings, revision
from proctor.plan.agent import plan_agent
from proctor.plan.findings import Obstacle
from proctor.plan.image import CONTAINER
from proctor.plan.world import Manifest, Plan, World, name_of

_SIMULATED_UID = "not-yet"
_MOST_STEPS = 4
_OURS = ("metadata.annotations",)


@dataclass(frozen=True)
class ObjectChange:
    """One object that would be made, changed or deleted."""

    verb: str
    """`create`, `change` or `delete`."""
    kind: str
    name: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class RevisionForecast:
    """The revision that the spec asks for now, and the one it would ask for."""

    before: str | None
    after: str | None
    """None while an obstacle stands in the way: nothing can be said of it."""
    number: int | None
    is_kept: bool
    """Whether it served before, and is only taken up again."""
    behaviour: tuple[Difference, ...]

    @property
    def is_new(self) -> bool:
        """Whether a revision would be rolled out."""
        return self.after is not None and self.after != self.before


@dataclass(frozen=True)
class AgentForecast:
    """All that would follow for one Agent."""

    namespace: str
    name: str
    revision: RevisionForecast
    now: tuple[ObjectChange, ...]
    later: tuple[ObjectChange, ...]
    """Once the new revision's pods are ready."""
    story: tuple[str, ...]
    """What the operator would say in Events, now and later."""
    obstacles: tuple[Obstacle, ...]
    cautions: tuple[str, ...]

    @property
    def changes_something(self) -> bool:
        """Whether the operator would do anything but report."""
        return bool(self.now or self.later or self.revision.is_new or self.obstacles)


def of_agent(before: Realm, after: Realm, name: str, now: datetime) -> AgentForecast:
    """The forecast for the Agent of that name in `after`. Raises Invalid if what is needed cannot be read."""
    world = after.world(name)
    obstacles = findings.obstacles(world)
    steps = tuple(_steps(world, now))
    first, rest = steps[0], steps[1:]
    return AgentForecast(
        namespace=after.namespace,
        name=name,
        revision=_revision(_earlier(before, name), world, blocked=bool(obstacles)),
        now=first.changes,
        later=tuple(each for step in rest for each in step.changes),
        story=tuple(event for step in steps for event in step.story) if not obstacles else (),
        obstacles=obstacles,
        cautions=tuple(cautions.of_world(world)),
    )


@dataclass(frozen=True)
class _Step:
    changes: tuple[ObjectChange, ...]
    story: tuple[str, ...]


def _steps(world: World, now: datetime) -> Iterator[_Step]:
    """What is planned now, and then again when all pods are ready, until there is nothing more to do."""
    for number in range(_MOST_STEPS):
        plan = plan_agent(world, now)
        changes = tuple(_changes(plan, world))
        if number and not changes:
            # Not only the objects: the promotion itself is an Event without one.
            yield _Step((), _told(plan))
            return
        yield _Step(changes, _told(plan))
        world = _when_ready(world, plan)


def _told(plan: Plan) -> tuple[str, ...]:
    return tuple(each.message for each in plan.events if each.type == "Normal" and each.reason != "Serving")


def _earlier(before: Realm, name: str) -> World | None:
    if name not in before.agents:
        return None
    try:
        return before.world(name)
    except Invalid:
        # What is there cannot be read by this version; then nothing of it can be compared.
        return None


def _revision(earlier: World | None, world: World, *, blocked: bool) -> RevisionForecast:
    old = _wanted(earlier) if earlier else None
    new = None if blocked else revision.of_spec(world, world.instructions or "")
    changed = tuple(_behaviour(old, new)) if old and new else ()
    return RevisionForecast(
        before=old.hash if old else None,
        after=new.hash if new else None,
        number=_number(world, new),
        is_kept=new is not None and new.hash in revision.recorded(world.children),
        behaviour=changed,
    )


def _wanted(world: World) -> revision.Revision | None:
    if not findings.obstacles(world):
        return revision.of_spec(world, world.instructions or "")
    return revision.recorded(world.children).get(world.agent.status.revision.stable or "")


def _behaviour(old: revision.Revision, new: revision.Revision) -> Iterator[Difference]:
    for each in differences(old.data, new.data):
        # `spec.` is where the bundle keeps what the Agent says; a person knows the rest by the Connector's name.
        path = each.path.removeprefix("spec.").replace("definitions.", "connector ", 1)
        yield Difference(path, each.before, each.after)


def _number(world: World, wanted: revision.Revision | None) -> int | None:
    kept = {name_of(each): int(each["revision"]) for each in world.children if each["kind"] == "ControllerRevision"}
    if wanted is None:
        return None
    own = next((number for name, number in kept.items() if name.endswith(f"-{wanted.hash}")), None)
    return own or 1 + max(kept.values(), default=0)


def _changes(plan: Plan, world: World) -> Iterator[ObjectChange]:
    for each in plan.applies:
        there = world.child(each["kind"], name_of(each))
        if there is None:
            yield ObjectChange("create", each["kind"], name_of(each))
        else:
            yield ObjectChange("change", each["kind"], name_of(each), tuple(_owned_differences(there, each)))
    for deletion in plan.deletions:
        yield ObjectChange("delete", deletion.kind, deletion.name)


def _owned_differences(there: Manifest, wanted: Manifest) -> Iterator[Difference]:
    for each in differences(_overlap(there, wanted), wanted):
        if not each.path.startswith(_OURS):
            yield each


def _overlap(there: Any, wanted: Any) -> Any:
    """Of what is there, the part that the wanted object speaks of: the rest is the API server's and others'."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        return {key: _overlap(there[key], each) for key, each in wanted.items() if key in there}
    if isinstance(there, list) and isinstance(wanted, list) and len(there) == len(wanted):
        return [_overlap(old, new) for old, new in zip(there, wanted, strict=True)]
    return there


def _when_ready(world: World, plan: Plan) -> World:
    """The world in which the plan has been carried out and every pod got ready."""
    gone = {(each.kind, each.name) for each in plan.deletions}
    made = {(each["kind"], name_of(each)): each for each in plan.applies}
    kept = {(each["kind"], name_of(each)): each for each in world.children if (each["kind"], name_of(each)) not in gone}
    status = AgentStatus.model_validate(plan.status) if plan.status else world.agent.status
    children = tuple(_ready({**kept.get(key, {}), **each}) for key, each in {**kept, **made}.items())
    return replace(
        world,
        agent=world.agent.model_copy(update={"status": status}),
        children=children,
        pods=tuple(_pod(each) for each in children if each["kind"] == "Deployment"),
    )


def _pod(deployment: Manifest) -> Manifest:
    """A ready pod of the Deployment. What is behind the name of its image cannot be known before it runs."""
    metadata = {key: deployment["metadata"][key] for key in ("name", "labels")}
    container = {"name": CONTAINER, "ready": True, "state": {"running": {}}}
    return {"kind": "Pod", "metadata": metadata, "status": {"containerStatuses": [container]}}


def _ready(child: Manifest) -> Manifest:
    metadata = {"uid": _SIMULATED_UID, "generation": 1, **child["metadata"]}
    if child["kind"] != "Deployment":
        return {**child, "metadata": metadata}
    replicas = child["spec"].get("replicas", 1)
    status = {
        "observedGeneration": metadata["generation"],
        "replicas": replicas,
        "readyReplicas": replicas,
        "updatedReplicas": replicas,
    }
    return {**child, "metadata": metadata, "status": status}


def affected(before: Realm, after: Realm, named: Iterable[str], now: datetime) -> Iterator[AgentForecast]:
    """The agents that no manifest names, but that a changed Connector or ConfigMap changes."""
    for name in sorted(set(after.agents) - set(named)):
        try:
            forecast = of_agent(before, after, name, now)
            was = of_agent(before, before, name, now)
        except Invalid:
            continue
        if (forecast.revision.after, forecast.obstacles, forecast.now) != (was.revision.after, was.obstacles, was.now):
            yield forecast
