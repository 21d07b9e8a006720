"""The scenarios of an Agent and of its Connectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proctor.plan.world import Platform
from tests.sim import agents
from tests.sim.agents import AGENT, INSTRUCTIONS, INSTRUCTIONS_MAP, MODEL, NAMESPACE, SECRET_WORD, TOOLS
from tests.sim.cluster.kinds import Body, Ref
from tests.sim.gateway import System
from tests.sim.scenario import Deed, Scenario, staged
from tests.sim.world import Moment, World

SECRETS = (SECRET_WORD, "CONFIDENTIAL-INSTRUCTIONS")
_BROKEN = "registry.example/broken:1"
_MID_ROLLOUT = 0.6
_PAST_DEADLINE = 100.0
_PAST_POLL = 90.0


def instruct(text: str) -> Deed:
    """The instructions change: another revision."""
    return lambda world: world.edit(AGENT, {"spec": {"instructions": text, "instructionsFrom": None}})


def scale(replicas: int) -> Deed:
    """The number of pods changes: the same revision."""
    return lambda world: world.edit(AGENT, {"spec": {"runtime": {"replicas": replicas}}})


def suspend(*, on: bool) -> Deed:
    """The stop button."""
    return lambda world: world.edit(AGENT, {"spec": {"suspend": on}})


def suspend_for_a_while(world: World) -> None:
    """The stop button, and soon after another thought."""
    suspend(on=True)(world)
    world.timeline.call_later(20, suspend(on=False), world)


_WORKS = f"registry.example/works@sha256:{'e' * 64}"
"""By digest: a tag costs one more write before the deadline of these agents, which a refused write outlasts. Tags and
their faults are in `test_images`."""


def run_image(image: str | None) -> Deed:
    """A program of one's own, or the default one: another revision."""
    return lambda world: world.edit(AGENT, {"spec": {"runtime": {"image": image}}})


def delete(ref: Ref) -> Deed:
    """The object is deleted."""
    return lambda world: world.delete(ref)


def recreate(world: World) -> None:
    """The Agent is deleted and made again, with the same name."""
    world.delete(AGENT)
    world.create(agents.agent(instructions="Recreated."))


def clear_status(world: World) -> None:
    """Somebody removes the whole status."""
    world.edit_status(AGENT, {})


def _edit_child(world: World) -> None:
    for body in world.store.all("Deployment"):
        world.edit(_ref(body), {"spec": {"replicas": 7}})


def _delete_child(world: World) -> None:
    world.delete(Ref("NetworkPolicy", NAMESPACE, f"agent-{AGENT.name}"))


def _delete_record(world: World) -> None:
    for body in world.store.all("ControllerRevision"):
        world.delete(_ref(body))


def _remove_annotation(world: World) -> None:
    for body in world.store.all("Deployment"):
        world.edit(_ref(body), {"metadata": {"annotations": {"proctor.dev/applied": None}}})


def _add_policy(world: World) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-all", "namespace": NAMESPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    if world.store.get(Ref("NetworkPolicy", NAMESPACE, "allow-all")) is None:
        world.create(policy)


def _ref(body: Body) -> Ref:
    return Ref(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


ACTS: dict[str, Deed] = {
    "changes the instructions": instruct("Changed at a bad moment."),
    "reverts": instruct(INSTRUCTIONS),
    "deletes the agent": delete(AGENT),
    "scales": scale(3),
    "suspends for a while": suspend_for_a_while,
    "clears the status": clear_status,
    "edits a child": _edit_child,
    "deletes a child": _delete_child,
    "deletes the records": _delete_record,
    "removes the annotation": _remove_annotation,
    "adds a policy": _add_policy,
}
"""What people do at bad moments."""


def _after(seconds: float, *deeds: Deed) -> Deed:
    """One deed after the other, with so much time between them."""

    def act(world: World) -> None:
        deeds[0](world)
        for deed in deeds[1:]:
            world.run_for(seconds)
            deed(world)

    return act


def _create(**spec: Any) -> Deed:
    return lambda world: world.create(agents.agent(**spec))


def _break(world: World) -> None:
    world.nature.images[_BROKEN] = "no-image"
    run_image(_BROKEN)(world)


def _upgrade(world: World) -> None:
    world.upgrade(Platform(agent_image=f"registry.example/proctor-agent@sha256:{'d' * 64}"))


def _two(world: World) -> None:
    world.create(agents.agent())
    world.run_for(2)
    world.create(agents.agent("orders"))


def _only_systems(world: World) -> None:
    agents.furnish(world)
    world.delete(MODEL)
    world.delete(TOOLS)


def _refer(world: World) -> None:
    reference = {"configMapKeyRef": {"name": INSTRUCTIONS_MAP.name, "key": "text"}}
    world.edit(AGENT, {"spec": {"instructions": None, "instructionsFrom": reference}})


def _write_instructions(world: World) -> None:
    metadata = {"name": INSTRUCTIONS_MAP.name, "namespace": NAMESPACE}
    world.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": INSTRUCTIONS + "!"}})


def _move(ref: Ref, url: str) -> Deed:
    return lambda world: world.edit(ref, {"spec": {"url": url}})


def _drift(world: World) -> None:
    world.gateway.systems["https://crm2.example/mcp"] = System(tools={"get_customer": "sha256:" + "b" * 64})
    _move(TOOLS, "https://crm2.example/mcp")(world)


BARE = staged(agents.furnish)
SETTLED = staged(_create(), onto=BARE)
FAILED = staged(_break, onto=SETTLED, seconds=_PAST_DEADLINE)
NEIGHBOURS = staged(_two, onto=BARE)
SUSPENDED = staged(suspend(on=True), onto=SETTLED)
UNCONNECTED = staged(_after(0, _only_systems, _create()))
UNINSTRUCTED = staged(_refer, onto=SETTLED)

_DEEDS: tuple[tuple[str, Callable[[], Moment], Deed, float], ...] = (
    ("first deploy", BARE, _create(), 10),
    ("new instructions", SETTLED, instruct("Answer in one line."), 10),
    ("broken image", SETTLED, _break, _PAST_DEADLINE),
    ("fix after failure", FAILED, run_image(_WORKS), 10),
    ("back after failure", FAILED, run_image(None), 10),
    ("scale", SETTLED, scale(3), 10),
    ("suspend", SETTLED, suspend(on=True), 10),
    ("resume", SUSPENDED, suspend(on=False), 10),
    ("delete", SETTLED, delete(AGENT), 10),
    ("delete mid-rollout", SETTLED, _after(_MID_ROLLOUT, instruct("Two."), delete(AGENT)), 10),
    ("revert mid-rollout", SETTLED, _after(_MID_ROLLOUT, instruct("Two."), instruct(INSTRUCTIONS)), 10),
    ("supersede mid-rollout", SETTLED, _after(_MID_ROLLOUT, instruct("Two."), instruct("Three.")), 10),
    ("a neighbour goes", NEIGHBOURS, delete(AGENT), 10),
    ("upgrade", SETTLED, _upgrade, 10),
    ("upgrade mid-rollout", SETTLED, _after(_MID_ROLLOUT, instruct("Two."), _upgrade), 10),
    ("connectors appear", UNCONNECTED, lambda world: world.create(agents.model(), agents.tools()), 10),
    ("connector unreachable", SETTLED, _move(MODEL, "https://nowhere.example/v1"), 30),
    ("connector unreadable", SETTLED, lambda world: world.edit(TOOLS, {"spec": {"ofAnotherVersion": True}}), 10),
    ("connector drifts", SETTLED, _drift, 10),
    ("instructions missing", SETTLED, _refer, 10),
    ("instructions appear", UNINSTRUCTED, _write_instructions, _PAST_POLL),
    ("namespace goes", SETTLED, delete(Ref("Namespace", "", NAMESPACE)), 10),
)

_STEPPED = {
    "delete mid-rollout",
    "revert mid-rollout",
    "supersede mid-rollout",
    "upgrade mid-rollout",
    "a neighbour goes",
}

SCENARIOS = tuple(
    Scenario(
        name,
        stage,
        act,
        seconds,
        is_stepped=name in _STEPPED,
        is_nightly=name == "upgrade mid-rollout",
        secrets=SECRETS,
        acts=ACTS,
        overruling=frozenset({"changes the instructions", "reverts"}),
        recreate=None if name in _STEPPED else recreate,
    )
    for name, stage, act, seconds in _DEEDS
)
