"""An Agent's plan: what is made, what is deleted, what is reported, when it is looked at again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from proctor.api import names
from proctor.api.agent import Agent, NetworkIsolation
from proctor.plan.agent import plan_agent, plan_refused
from proctor.plan.findings import Obstacle
from proctor.plan.world import Isolation, Manifest, Plan, World, deletion_of, label_of, name_of
from tests.plan import examples
from tests.plan.examples import T0, after


def carried_out(world: World, plan: Plan, ready: bool = True) -> World:
    """The World after the plan, with all pods ready or none."""
    there = {(each["kind"], name_of(each)): each for each in world.children}
    for each in plan.applies:
        uid = f"uid-of-{each['kind']}-{name_of(each)}"
        there[each["kind"], name_of(each)] = {**each, "metadata": {**each["metadata"], "uid": uid, "generation": 1}}
    for gone in plan.deletions:
        there.pop((gone.kind, gone.name))
    for open_ in plan.withdrawals:
        key = open_.question["kind"], name_of(open_.question)
        there[key] = {**there[key], "status": open_.status}
    children = tuple(_played(each, ready=ready) for each in there.values())
    status = plan.status or world.agent.status.dump()
    return replace(world, agent=_with_status(world.agent, status), children=children)


def _played(child: Manifest, *, ready: bool) -> Manifest:
    if child["kind"] != "Deployment":
        return child
    count = child["spec"]["replicas"]
    status = {
        "observedGeneration": 1,
        "replicas": count,
        "updatedReplicas": count,
        "readyReplicas": count if ready else 0,
    }
    return {**child, "status": status}


def _with_status(agent: Agent, status: Manifest) -> Agent:
    return Agent.parse({**agent.model_dump(mode="json", by_alias=True, exclude_none=True), "status": status})


def with_spec(world: World, **spec: Any) -> World:
    """The World after somebody edited the Agent."""
    body = world.agent.model_dump(mode="json", by_alias=True, exclude_none=True)
    metadata = {**body["metadata"], "generation": body["metadata"]["generation"] + 1}
    edited = Agent.parse({**body, "metadata": metadata, "spec": {**body["spec"], **spec}})
    return replace(world, agent=edited, instructions=edited.spec.instructions)


def settled() -> World:
    """An Agent whose first revision serves."""
    world = examples.world(examples.agent(runtime={"replicas": 2}))
    world = carried_out(world, plan_agent(world, T0))
    world = carried_out(world, plan_agent(world, T0))
    assert plan_agent(world, T0).is_noop
    return world


def made(plan: Plan) -> list[str]:
    """The kinds that are applied."""
    return [each["kind"] for each in plan.applies]


def condition(plan: Plan, type_: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    assert plan.status is not None
    return next((each["status"], each["reason"]) for each in plan.status["conditions"] if each["type"] == type_)


def revisions(children: Iterable[Manifest], kind: str = "Deployment") -> set[str | None]:
    """The revisions that have an object of the kind."""
    return {label_of(each, names.REVISION) for each in children if each["kind"] == kind}


def test_the_fence_is_made_before_what_it_fences() -> None:
    """A pod that ran before its NetworkPolicy was there could have reached anything."""
    assert made(plan_agent(examples.world(), T0)) == [
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ControllerRevision",
        "ConfigMap",
        "Deployment",
    ]


def test_what_was_carried_out_is_not_planned_again() -> None:
    """Right after a plan, the plan is a no-op."""
    assert plan_agent(settled(), after(minutes=1)).is_noop


def test_a_candidate_is_made_beside_the_stable() -> None:
    """And the stable is left as it is."""
    before = settled()
    plan = plan_agent(with_spec(before, instructions="Others."), T0)
    assert made(plan) == ["ControllerRevision", "ConfigMap", "Deployment"]
    assert not plan.deletions
    assert plan.status is not None
    assert plan.status["revision"]["stable"] in revisions(before.children)
    assert plan.status["revision"]["candidate"] == label_of(plan.applies[-1], names.REVISION)


def test_the_stable_goes_when_the_candidate_serves() -> None:
    """Its pods and its config; its record stays."""
    before = settled()
    world = with_spec(before, instructions="Others.")
    plan = plan_agent(carried_out(world, plan_agent(world, T0)), T0)
    assert [each.kind for each in plan.deletions] == ["Deployment", "ConfigMap"]
    assert plan.status is not None
    assert plan.status["rollout"]["phase"] == "Settled"


def test_a_candidate_that_does_not_get_ready_goes_and_the_stable_stays() -> None:
    """The refusal rests on the candidate's Deployment as it was seen, which is read again before it is written."""
    before = settled()
    world = with_spec(before, instructions="Others.")
    world = carried_out(world, plan_agent(world, T0), ready=False)
    plan = plan_agent(world, after(minutes=10))
    assert condition(plan, "Stalled") == ("True", "ProgressDeadlineExceeded")
    assert {each.name for each in plan.deletions}.isdisjoint(name_of(each) for each in before.children)
    assert plan.status is not None
    assert revisions(plan.rests_on) == set(plan.status["revision"]["blocked"])


def test_what_is_refused_is_not_decided_on_again() -> None:
    """The next look rests on nothing."""
    world = with_spec(settled(), instructions="Others.")
    world = carried_out(world, plan_agent(world, T0), ready=False)
    world = carried_out(world, plan_agent(world, after(minutes=10)))
    assert plan_agent(world, after(minutes=11)).rests_on == ()


def test_a_suspended_agent_keeps_its_objects_and_has_no_pods() -> None:
    """It can go on in a moment."""
    plan = plan_agent(with_spec(settled(), suspend=True), T0)
    assert [(each["kind"], each["spec"]["replicas"]) for each in plan.applies] == [("Deployment", 0)]
    assert condition(plan, "Ready") == ("False", "Suspended")
    assert not plan.deletions


def test_a_suspended_rollout_says_that_it_rests() -> None:
    """It neither stalls nor goes on."""
    plan = plan_agent(with_spec(settled(), suspend=True, instructions="Others."), T0)
    assert condition(plan, "Reconciling") == ("False", "NoPodsAskedFor")
    assert condition(plan, "Stalled") == ("False", "AsDeclared")
    assert plan.status is not None
    assert "startedAt" not in plan.status["rollout"]


def test_an_obstacle_leaves_alone_what_serves() -> None:
    """It is reported, and what was decided before is kept up."""
    world = replace(with_spec(settled(), instructions="Others."), connectors={})
    plan = plan_agent(world, T0)
    assert made(plan) == []
    assert not plan.deletions
    assert condition(plan, "Stalled") == ("True", "ConnectorNotFound")
    assert condition(plan, "Available") == ("True", "Serving")


def test_behind_an_obstacle_the_fence_is_kept_up() -> None:
    """Somebody who deletes it does not find it gone because a Connector is missing."""
    world = replace(settled(), connectors={})
    without = tuple(each for each in world.children if each["kind"] != "NetworkPolicy")
    assert made(plan_agent(replace(world, children=without), T0)) == ["NetworkPolicy"]


def test_a_refusal_of_the_cluster_becomes_a_condition() -> None:
    """In the words of who refused."""
    plan = plan_refused(settled(), Obstacle("Forbidden", "exceeded quota"), T0)
    assert condition(plan, "Stalled") == ("True", "Forbidden")
    assert made(plan) == []


def test_history_is_kept_and_bounded() -> None:
    """The newest records stay, the oldest go; a live one is never counted."""
    world = with_spec(settled(), rollout={"historyLimit": 2})
    for index in range(5):
        world = with_spec(world, instructions=f"Version {index}.")
        world = carried_out(world, plan_agent(world, T0))
        world = carried_out(world, plan_agent(world, T0))
    records = [each for each in world.children if each["kind"] == "ControllerRevision"]
    assert sorted(each["revision"] for each in records) == [4, 5, 6]
    assert revisions(world.children) == {world.agent.status.revision.stable}


def test_an_old_revision_comes_back_under_its_number() -> None:
    """The record is immutable, and so is its number."""
    world = settled()
    for text in ("Others.", "You decide refunds."):
        world = with_spec(world, instructions=text)
        world = carried_out(world, plan_agent(world, T0))
        world = carried_out(world, plan_agent(world, T0))
    records = {label_of(each, names.REVISION): each["revision"] for each in world.children if "revision" in each}
    assert records[world.agent.status.revision.stable] == 1


def test_a_live_revision_without_its_record_keeps_its_pods() -> None:
    """Somebody deleted the record; that must not take down what serves."""
    world = with_spec(settled(), instructions="Others.")
    without = tuple(each for each in world.children if each["kind"] != "ControllerRevision")
    assert plan_agent(replace(world, children=without), T0).deletions == ()


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    """It lingers until its pods are gone."""
    world = with_spec(settled(), instructions="Others.")
    world = carried_out(world, plan_agent(world, T0))
    going = tuple(
        {**each, "metadata": {**each["metadata"], "deletionTimestamp": "2026-11-02T08:00:00Z"}}
        for each in world.children
    )
    assert plan_agent(replace(world, children=going), T0).deletions == ()


def test_a_deletion_names_the_uid_on_which_it_was_decided() -> None:
    """A later object of the same name is another one."""
    child = settled().children[-1]
    assert deletion_of(child).uid == child["metadata"]["uid"]


def test_one_wakes_at_the_deadline_of_a_rollout() -> None:
    """Or earlier, if what the spec refers to is to be read again."""
    world = examples.world(examples.agent(rollout={"progressDeadline": "90s"}))
    assert plan_agent(world, T0).wake_at == after(seconds=90)


def test_agents_do_not_wake_together() -> None:
    """Each has its own share of the interval."""
    wakes = {
        plan_agent(replace(settled(), agent=_named(settled().agent, uid)), T0).wake_at - T0
        for uid in ("a", "b", "c", "d")
    }
    assert len(wakes) == 4
    assert all(timedelta(minutes=8) <= each <= timedelta(minutes=10) for each in wakes)


def _named(agent: Agent, uid: str) -> Agent:
    return agent.model_copy(update={"metadata": agent.metadata.model_copy(update={"uid": uid})})


REPORTED: dict[str, tuple[World, datetime]] = {
    "the first rollout": (examples.world(), T0),
    "a settled agent": (with_spec(settled(), purpose="Another."), T0),
    "an obstacle": (examples.world(connectors={}), T0),
}


@pytest.mark.parametrize(("world", "now"), REPORTED.values(), ids=list(REPORTED))
def test_every_status_has_what_kstatus_reads(world: World, now: datetime) -> None:
    """Ready, Reconciling and Stalled, of the newest generation."""
    plan = plan_agent(world, now)
    assert plan.status is not None
    types = {each["type"]: each["observedGeneration"] for each in plan.status["conditions"]}
    assert types.keys() >= {"Ready", "Reconciling", "Stalled"}
    assert {plan.status["observedGeneration"], *types.values()} == {world.agent.metadata.generation}


def test_a_foreign_policy_makes_isolation_unknown() -> None:
    """What was measured of the namespace is no proof for this agent."""
    verified = Isolation(NetworkIsolation.VERIFIED, "fenced", T0)
    world = replace(settled(), isolation=verified)
    assert condition(plan_agent(world, T0), "Isolated") == ("True", "Verified")
    foreign = {"metadata": {"name": "allow-all"}, "spec": {"podSelector": {}}}
    plan = plan_agent(replace(world, network_policies=(foreign,)), T0)
    assert condition(plan, "Isolated") == ("Unknown", "NotMeasured")


def test_turns_are_told_as_events() -> None:
    """A story can be read from them: what began, what serves, what broke."""
    world = examples.world()
    begun = plan_agent(world, T0)
    served = plan_agent(carried_out(world, begun), T0)
    world = carried_out(carried_out(world, begun), served)
    broken = plan_agent(carried_out(world, Plan(T0), ready=False), T0)
    assert [each.reason for each in begun.events] == ["RevisionCreated"]
    assert [each.reason for each in served.events] == ["Promoted"]
    assert [(each.reason, each.type) for each in broken.events] == [("NoPodReady", "Warning")]


def test_a_network_found_fenced_is_no_event() -> None:
    """That it was measured at last says the condition; an Event for each agent of a namespace would say no more."""
    world = settled()
    unknown = carried_out(
        world, plan_agent(replace(world, isolation=Isolation(NetworkIsolation.UNKNOWN, "", None)), T0)
    )
    plan = plan_agent(replace(unknown, isolation=Isolation(NetworkIsolation.VERIFIED, "fenced", T0)), T0)
    assert condition(plan, "Isolated") == ("True", "Verified")
    assert not plan.events
    open_ = replace(unknown, isolation=Isolation(NetworkIsolation.NOT_ENFORCED, "open", T0))
    assert [(each.reason, each.type) for each in plan_agent(open_, T0).events] == [("NotEnforced", "Warning")]
