"""An HTTPRoute that splits an agent's tasks: what is written to it, what is not, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proctor.plan import route
from proctor.plan.agent import plan_agent
from proctor.plan.world import Manifest, NoRoute, World
from tests.plan import examples
from tests.plan.examples import T0
from tests.plan.test_agent import carried_out, condition, with_spec

STABLE, CANDIDATE = "proctor-gateway-stable", "proctor-gateway-candidate"
TRAFFIC = {"httpRoute": {"name": "refunds"}}
STEPS = [{"weight": 20, "until": {"minTasks": 5, "minDuration": "10s"}}]


def backend(name: str, weight: int | None = None, **more: Any) -> Manifest:
    """One of a rule's backends."""
    return {"name": name, "port": 8080, **({} if weight is None else {"weight": weight}), **more}


def rule(*backends: Manifest, **more: Any) -> Manifest:
    """A rule of a route."""
    return {"backendRefs": list(backends), "timeouts": {"request": "60s"}, **more}


def copied(body: Any) -> Any:
    """As it comes over a wire: nothing of it is part of something else."""
    after: Any = json.loads(json.dumps(body))
    return after


PAIR = rule(backend(STABLE, 100), backend(CANDIDATE, 0))


def a_route(*rules: Manifest, **status: Any) -> Manifest:
    """The route as the API server has it."""
    metadata = examples.metadata("refunds", generation=3, resourceVersion="77")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {
            "parentRefs": [{"name": "web"}],
            "hostnames": ["agents.example.com"],
            "rules": copied(list(rules or (PAIR,))),
        },
        **({"status": status} if status else {}),
    }


def world(found: Manifest | NoRoute | None, traffic: Any = TRAFFIC, **rollout: Any) -> World:
    """An agent whose tasks the route splits."""
    return examples.world(examples.agent(rollout={"traffic": traffic, "steps": STEPS, **rollout}), route=found)


def patched(body: Manifest, world: World, weight: int) -> Manifest:
    """The route after what is planned was carried out, as RFC 6902 has it."""
    after: Manifest = copied(body)
    for edit in route.edits(world, weight):
        assert (edit.kind, edit.namespace, edit.name) == ("HTTPRoute", "support", "refunds")
        for operation in edit.operations:
            *way, last = operation["path"].strip("/").split("/")
            at: Any = after
            for each in way:
                at = at[int(each)] if isinstance(at, list) else at[each]
            at[last] = operation["value"]
    return after


def weights(body: Manifest) -> list[list[int | None]]:
    """Of each rule, those of its backends."""
    return [[each.get("weight") for each in rule["backendRefs"]] for rule in body["spec"]["rules"]]


WRITTEN: dict[str, tuple[list[Manifest], Any, list[list[int | None]]]] = {
    "the pair": ([PAIR], TRAFFIC, [[80, 20]]),
    "in whatever order": ([rule(backend(CANDIDATE, 0), backend(STABLE, 100))], TRAFFIC, [[20, 80]]),
    "without weights so far": ([rule(backend(STABLE), backend(CANDIDATE))], TRAFFIC, [[80, 20]]),
    "every rule with both": ([PAIR, rule(backend("web", 1)), PAIR], TRAFFIC, [[80, 20], [1], [80, 20]]),
    "the named rule alone": (
        [PAIR, {**PAIR, "name": "tasks"}],
        {"httpRoute": {"name": "refunds", "ruleName": "tasks"}},
        [[100, 0], [80, 20]],
    ),
    "a third backend keeps its own": (
        [rule(backend(STABLE, 100), backend("tap", 5), backend(CANDIDATE, 0))],
        TRAFFIC,
        [[80, 5, 20]],
    ),
    "what is not of ours is nobody's to move": (
        [rule(backend("blue", 100), backend("green", 0)), PAIR],
        TRAFFIC,
        [[100, 0], [80, 20]],
    ),
    "what is no Service is not meant": (
        [rule(backend(STABLE, 100, kind="ServiceImport", group="multicluster.x-k8s.io"), backend(CANDIDATE, 0)), PAIR],
        TRAFFIC,
        [[100, 0], [80, 20]],
    ),
}


@pytest.mark.parametrize(("rules", "traffic", "expected"), WRITTEN.values(), ids=list(WRITTEN))
def test_the_two_weights_are_written_and_nothing_else(
    rules: list[Manifest], traffic: Any, expected: list[list[int | None]]
) -> None:
    """Everything else of the route is as it was; and then there is nothing to write."""
    body = a_route(*rules)
    after = patched(body, world(body, traffic), 20)
    assert weights(after) == expected
    for was, now in zip(weights(body), after["spec"]["rules"], strict=True):
        for weight, each in zip(was, now["backendRefs"], strict=True):
            each.pop("weight") if weight is None else each.update(weight=weight)
    assert after == body
    settled = patched(body, world(body, traffic), 20)
    assert not route.edits(world(settled, traffic), 20)


def test_an_edit_holds_for_the_version_that_was_seen() -> None:
    """Of two who write at once, one is refused: the edit names the version."""
    (edit,) = route.edits(world(a_route()), 20)
    assert edit.operations[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "77"}


def refused(type_: str, generation: int = 3) -> Manifest:
    """What a controller says against the route."""
    said = {"type": type_, "status": "False", "reason": "RefNotPermitted", "message": "no grant"}
    return a_route(parents=[{"conditions": [{**said, "observedGeneration": generation}]}])


ACCEPTED = a_route(parents=[{"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 3}]}])
SAID: dict[str, tuple[Manifest | NoRoute, tuple[str, str], str]] = {
    "it is served": (ACCEPTED, ("True", "Weighted"), "gives the candidate 0 of 100"),
    "nobody serves it": (a_route(), ("Unknown", "NoController"), "no controller"),
    "its weights are others": (
        a_route(rule(backend(STABLE, 50), backend(CANDIDATE, 50))),
        ("Unknown", "WeightsDiffer"),
        "",
    ),
    "it is not there": (NoRoute("RouteNotFound", "none"), ("False", "RouteNotFound"), "none"),
    "a backend is not there": (
        a_route(rule(backend(STABLE, 1))),
        ("False", "BackendsMissing"),
        "HTTPRoute support/refunds: no rule has both of the Services proctor-gateway-stable and",
    ),
    "a controller refuses it": (refused("ResolvedRefs"), ("False", "RouteNotAccepted"), "RefNotPermitted: no grant"),
    "it was refused as it was before": (refused("Accepted", 2), ("True", "Weighted"), ""),
}


@pytest.mark.parametrize(("found", "said", "words"), SAID.values(), ids=list(SAID))
def test_the_condition_says_what_is_with_the_route(
    found: Manifest | NoRoute, said: tuple[str, str], words: str
) -> None:
    """In words that name the thing, for a person who has to mend it."""
    plan = plan_agent(world(found), T0)
    assert condition(plan, "TrafficRouted") == said
    assert plan.status is not None
    assert words in next(each["message"] for each in plan.status["conditions"] if each["type"] == "TrafficRouted")


def test_an_agent_without_a_route_says_nothing_of_routes() -> None:
    """Nor is anything written."""
    plan = plan_agent(examples.world(), T0)
    assert plan.status is not None
    assert "TrafficRouted" not in {each["type"] for each in plan.status["conditions"]}
    assert not plan.edits


def _read(carried: World) -> World:
    """The World as it is read again: each object has a version."""
    children = ({**each, "metadata": {**each["metadata"], "resourceVersion": "1"}} for each in carried.children)
    return replace(carried, children=tuple(children))


def _serving(found: Manifest | NoRoute) -> World:
    first = world(found)
    for _ in range(3):
        first = carried_out(first, plan_agent(first, T0))
    return with_spec(first, instructions="Others.")


def test_the_weight_follows_the_status_and_drift_is_mended() -> None:
    """At a step of 20 the route gets 20, whoever wrote something else there meanwhile."""
    tried = _serving(a_route())
    for _ in range(3):
        tried = _read(carried_out(tried, plan_agent(tried, T0)))
    rollout = tried.agent.status.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.weight) == ("Collecting", 20)
    for somebody in (a_route(), a_route(rule(backend(STABLE, 0), backend(CANDIDATE, 100)))):
        after = patched(somebody, replace(tried, route=somebody), 20)
        plan = plan_agent(replace(tried, route=somebody), T0)
        assert weights(after) == [[80, 20]]
        assert plan.edits == route.edits(replace(tried, route=somebody), 20)
    assert not plan_agent(replace(tried, route=patched(a_route(), tried, 20)), T0).edits


def test_an_upgrade_by_weights_waits_for_its_route() -> None:
    """It would collect evidence of a split that nobody makes."""
    plan = plan_agent(_serving(NoRoute("RouteNotFound", "none")), T0)
    assert plan.status is not None
    assert "candidate" not in plan.status["revision"]
    assert condition(plan, "Reconciling") == ("True", "UpgradesFrozen")


def test_a_route_that_is_gone_keeps_no_withdrawal_up() -> None:
    """The gateways take no task for a candidate of weight 0, by whatever door it comes."""
    assert route.is_withdrawn(world(NoRoute("RouteNotFound", "none")))
    assert route.is_withdrawn(world(a_route()))
    assert not route.is_withdrawn(world(a_route(rule(backend(STABLE, 80), backend(CANDIDATE, 20)))))


def test_a_route_is_read_often_enough_to_mend_it() -> None:
    """Nothing tells of its changes."""
    settled = _serving(a_route())
    plan = plan_agent(replace(settled, agent=world(a_route()).agent), T0)
    assert (plan.wake_at - T0).total_seconds() <= examples.PLATFORM.reference_poll_seconds
