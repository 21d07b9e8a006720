"""An HTTPRoute that splits an agent's tasks: the weights that are due, and what of it is not as it must be.

The route is somebody else's. Its lists are atomic to server-side apply, so that whoever applies one weight owns all
rules: weights are therefore written by JSON patch, one number each, onto exactly the version that was read.

Only of the gateway's own doors: whoever may write an Agent must not, by it, move traffic between Services of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proctor.api import names
from proctor.api.rollout import TrafficRouting
from proctor.plan import conditions
from proctor.plan.conditions import Finding
from proctor.plan.world import Edit, Manifest, NoRoute, World

KIND = "HTTPRoute"
_WHOLE = 100
_UNSAID = 1
"""The weight of a backend that names none."""


@dataclass(frozen=True)
class _Pair:
    """The two backends of one rule, by their places in the lists."""

    rule: int
    stable: int
    candidate: int
    weights: tuple[int, int]
    """Of stable and of the candidate."""


def edits(world: World, weight: int) -> tuple[Edit, ...]:
    """What to write so that the candidate gets that share, in percent, of the two; nothing if it is so."""
    if not isinstance(world.route, dict):
        return ()
    wanted = (_WHOLE - weight, weight)
    wrong = [pair for pair in _pairs(world.route, _asked(world)) if pair.weights != wanted]
    if not wrong:
        return ()
    metadata = world.route["metadata"]
    # Of two who write at the same time, one is refused, and looks again.
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    operations = [each for pair in wrong for each in _written(pair, wanted)]
    return (Edit(KIND, metadata["namespace"], metadata["name"], (guard, *operations)),)


def _written(pair: _Pair, weights: tuple[int, int]) -> Iterator[Manifest]:
    for backend, weight in zip((pair.stable, pair.candidate), weights, strict=True):
        yield {"op": "add", "path": f"/spec/rules/{pair.rule}/backendRefs/{backend}/weight", "value": weight}


def is_withdrawn(world: World) -> bool:
    """Whether the route sends nothing to the candidate. One that cannot be weighted is not waited for.

    The gateway takes no task for a candidate of weight 0, by whichever door it comes: its word is what counts.
    """
    if not isinstance(world.route, dict):
        return True
    return all(pair.weights[1] == 0 for pair in _pairs(world.route, _asked(world)))


def trouble(world: World) -> NoRoute | None:
    """Why the route does not split tasks; None if it does, or none is asked for."""
    if world.route is None or isinstance(world.route, NoRoute):
        return world.route
    traffic, place = _asked(world), _place(world)
    if not list(_pairs(world.route, traffic)):
        rule = f"rule {traffic.http_route.rule_name!r}" if traffic.http_route.rule_name else "no rule"
        has = "does not have both" if traffic.http_route.rule_name else "has both"
        services = f"{names.STABLE_SERVICE} and {names.CANDIDATE_SERVICE}"
        return NoRoute("BackendsMissing", f"{place}: {rule} {has} of the Services {services} in its backendRefs")
    return next(_refused(world.route, place), None)


def freeze(world: World) -> str | None:
    """Why no upgrade by weights may begin or go on: tasks would not be split as its evidence supposes."""
    found = trouble(world)
    is_weighted = any(each.weight is not None for each in world.agent.spec.rollout.steps)
    return f"{found.reason}: {found.message}" if found is not None and is_weighted else None


def finding(world: World, weight: int) -> Iterator[Finding]:
    """The condition TrafficRouted, of an agent whose tasks a route splits."""
    if world.agent.spec.rollout.traffic is None:
        return
    found, place = trouble(world), _place(world)
    if found is not None:
        yield conditions.false("TrafficRouted", found.reason, found.message)
    elif edits(world, weight):
        yield conditions.unknown("TrafficRouted", "WeightsDiffer", f"{place} is about to get other weights")
    elif isinstance(world.route, dict) and not _parents(world.route):
        yield conditions.unknown("TrafficRouted", "NoController", f"no controller has said that it serves {place}")
    else:
        yield conditions.true("TrafficRouted", "Weighted", f"{place} gives the candidate {weight} of {_WHOLE}")


def _asked(world: World) -> TrafficRouting:
    traffic = world.agent.spec.rollout.traffic
    assert traffic is not None  # noqa: S101 - a route is read only for an agent that names one
    return traffic


def _place(world: World) -> str:
    return f"HTTPRoute {world.agent.metadata.namespace}/{_asked(world).http_route.name}"


def _pairs(route: Manifest, traffic: TrafficRouting) -> Iterator[_Pair]:
    """The rules that are weighted: those with both Services, or the one that is named."""
    wanted = traffic.http_route.rule_name
    for number, rule in enumerate(route.get("spec", {}).get("rules", ())):
        if wanted is not None and rule.get("name") != wanted:
            continue
        found = {_service(each): index for index, each in enumerate(rule.get("backendRefs", ()))}
        stable, candidate = found.get(names.STABLE_SERVICE), found.get(names.CANDIDATE_SERVICE)
        if stable is not None and candidate is not None:
            backends = rule["backendRefs"]
            weights = (backends[stable].get("weight", _UNSAID), backends[candidate].get("weight", _UNSAID))
            yield _Pair(number, stable, candidate, weights)


def _service(backend: dict[str, Any]) -> str | None:
    is_service = backend.get("kind", "Service") == "Service" and not backend.get("group")
    return backend["name"] if is_service else None


def _parents(route: Manifest) -> list[Manifest]:
    parents: list[Manifest] = route.get("status", {}).get("parents", [])
    return parents


def _refused(route: Manifest, place: str) -> Iterator[NoRoute]:
    """What controllers say against the route as it is now, such as a ReferenceGrant that is missing."""
    generation = route["metadata"].get("generation", 0)
    for parent in _parents(route):
        for each in parent.get("conditions", ()):
            is_about = each["type"] in {"Accepted", "ResolvedRefs"} and each.get("observedGeneration", 0) >= generation
            if is_about and each["status"] == "False":
                what = f"{each['type']}=False, {each.get('reason', '')}: {each.get('message', '')}"
                yield NoRoute("RouteNotAccepted", f"{place}: {what[:300]}")
