"""Going back to a recorded revision: policies and surroundings are asked about what runs then, not about the spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proctor.plan import restoring
from proctor.plan.agent import plan_agent
from proctor.plan.revision import recorded
from proctor.plan.standing import Standing, stand
from proctor.plan.world import Plan, Restorable, World
from proctor.policy.selection import AnyPolicy
from tests.plan import examples
from tests.plan.examples import T0
from tests.plan.test_agent import carried_out, with_spec
from tests.policy import examples as policies

CRM = [{"connector": "crm", "allow": ["get_order"]}]
BOTH = [{"connector": "crm", "allow": ["get_order", "get_customer"]}]
CUSTOMERS = [{"connector": "crm", "allow": ["get_customer"]}]
NO_ORDERS = policies.policy(tools={"deny": [{"connector": "crm", "tool": "get_order"}]})
NO_CUSTOMERS = policies.policy(tools={"deny": [{"connector": "crm", "tool": "get_customer"}]})


def observed(world: World, *found: AnyPolicy) -> World:
    """As the shell observes it: with what these policies say of each form of the agent."""

    def standing(agent: Any) -> Standing:
        return stand(agent, world.connectors, found, {}, (), world.isolation.state, T0)

    bundles = restoring.owned_bundles(world.children, world.agent, world.platform)
    forms = {name: Restorable(each, standing(each)) for name, each in bundles.items()}
    return replace(world, standing=standing(world.agent), restorable=forms)


def settled(world: World, *found: AnyPolicy) -> World:
    """After a few looks."""
    for _ in range(4):
        world = carried_out(world, plan_agent(observed(world, *found), T0))
    return world


def changed() -> tuple[World, str]:
    """An agent that read orders, and now customers too; the first revision's hash."""
    world = settled(examples.world(examples.agent(tools=CRM)))
    first = str(world.agent.status.revision.stable)
    return settled(with_spec(world, tools=BOTH)), first


def said(world: World, command: str) -> World:
    """Somebody says so."""
    metadata = world.agent.metadata.model_copy(update={"annotations": {"proctor.dev/command": command}})
    return replace(world, agent=world.agent.model_copy(update={"metadata": metadata}))


def reasons(plan: Plan) -> dict[str, str]:
    """What the Events say."""
    return {each.reason: each.message for each in plan.events}


def condition(world: World, type_: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found = world.agent.status.condition(type_)
    assert found is not None
    return str(found.status), found.reason, found.message


def test_what_was_gone_back_to_is_judged_not_the_spec() -> None:
    """The spec breaks a policy, which is why somebody went back: the revision that runs is well."""
    world, first = changed()
    world = settled(said(world, f"undo@{first}/1"))
    world = settled(world, NO_CUSTOMERS)
    assert world.agent.status.revision.stable == first
    assert condition(world, "Ready")[0] == "True"
    assert condition(world, "PolicyCompliant")[0] == "True"


def test_one_may_go_back_from_what_a_policy_forbids() -> None:
    """The policy came first and holds everything up: `undo` to what it allows is obeyed."""
    world, first = changed()
    world = settled(world, NO_CUSTOMERS)
    assert condition(world, "Ready")[1] == "PolicyViolation"
    world = settled(said(world, f"undo@{first}/1"), NO_CUSTOMERS)
    assert (world.agent.status.revision.stable, condition(world, "Ready")[0]) == (first, "True")


def test_one_may_go_back_from_a_reply_that_is_no_answer() -> None:
    """Nothing is missing: what the spec asks for is known, it only must not serve."""
    first = settled(examples.world(examples.agent(tools=CRM)))
    stable = str(first.agent.status.revision.stable)
    unfit = {"after": ["Any"], "reply": {}}
    world = settled(with_spec(first, fallbacks=[unfit], output={"schema": {"required": ["decision"]}}))
    assert (world.agent.status.revision.stable, condition(world, "Stalled")[1]) == (stable, "ReplyMismatch")
    second = settled(with_spec(first, tools=BOTH))
    world = settled(with_spec(second, fallbacks=[unfit], output={"schema": {"required": ["decision"]}}))
    world = settled(said(world, f"undo@{stable}/1"))
    assert (world.agent.status.revision.stable, condition(world, "Ready")[0]) == (stable, "True")


@pytest.mark.parametrize("form", ["undo@{}", "undo@{}/", "undo@{}/no nonce", "undo@{}/1 "])
def test_what_is_no_command_lifts_no_policy(form: str) -> None:
    """It is not obeyed, so what the spec asks for is held up as before."""
    world, first = changed()
    before = settled(world, NO_CUSTOMERS)
    after = settled(said(before, form.format(first)), NO_CUSTOMERS)
    assert condition(after, "Ready")[1] == "PolicyViolation"
    assert after.agent.status.revision == before.agent.status.revision


def test_one_cannot_go_back_to_what_a_policy_forbids() -> None:
    """It is refused, with the rule; what serves goes on serving."""
    world, first = changed()
    world = said(settled(with_spec(world, tools=CUSTOMERS)), f"undo@{first}/1")
    plan = plan_agent(observed(world, NO_ORDERS), T0)
    assert "get_order" in reasons(plan)["CommandRefused"]
    world = carried_out(world, plan)
    assert world.agent.status.revision.undone_to is None
    assert world.agent.status.last_handled_command == f"undo@{first}/1"
    assert settled(world, NO_ORDERS).agent.status.revision.stable != first


def test_a_policy_that_comes_later_judges_what_runs() -> None:
    """The spec keeps it, but what somebody went back to does not: the status says which revision breaks it."""
    world, first = changed()
    world = settled(said(settled(with_spec(world, tools=CUSTOMERS)), f"undo@{first}/1"))
    world = settled(world, NO_ORDERS)
    status, reason, message = condition(world, "Ready")
    assert (status, reason) == ("False", "PolicyViolation")
    assert f"revision {first}, which somebody went back to" in message


def test_another_spec_is_judged_itself() -> None:
    """What somebody went back to is over, and so is its judgement."""
    world, first = changed()
    world = settled(said(world, f"undo@{first}/1"))
    world = settled(with_spec(world, tools=CUSTOMERS), NO_CUSTOMERS)
    assert condition(world, "Ready")[1] == "PolicyViolation"
    assert "went back" not in condition(world, "Ready")[2]


def test_a_spec_that_lacks_something_is_told_of_all_the_same() -> None:
    """Whether it asks for another revision nobody can say: what runs stays, and the status says what is missing."""
    world, first = changed()
    world = settled(said(world, f"undo@{first}/1"))
    world = settled(with_spec(world, tools=[{"connector": "erp", "allow": ["get_bill"]}]))
    assert condition(world, "Ready")[1] == "ConnectorNotFound"
    assert world.agent.status.revision.undone_to == first
    assert world.agent.status.revision.stable == first


@pytest.mark.parametrize("image", [None, "registry.example.com/mine:1"])
def test_the_agent_as_it_would_run(image: str | None) -> None:
    """The bundle's behaviour with everything else of the spec; the installation's own image is nobody's wish."""
    runtime = {"replicas": 2} | ({"image": image} if image else {})
    world = settled(examples.world(examples.agent(tools=CRM, runtime=runtime)))
    first = str(world.agent.status.revision.stable or world.agent.status.revision.candidate)
    later = with_spec(world, instructions="Others.", tools=BOTH, runtime={"replicas": 5}, purpose="Another.")
    found = restoring.as_it_would_run(later.agent, recorded(world.children)[first], world.platform)
    assert found is not None
    assert found.spec.instructions == "You decide refunds."
    assert [each.allow for each in found.spec.tools] == [("get_order",)]
    assert (found.spec.runtime.replicas, found.spec.runtime.image, found.spec.purpose) == (5, image, "Another.")
