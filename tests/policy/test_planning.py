"""planThenExecute: what is in a plan, and what becomes of a call that is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proctor.policy import planning
from proctor.policy.planning import Plan, Step
from proctor.policy.runtime import Allow, Ask, Refuse, decide
from tests.policy import examples
from tests.policy.examples import facts, lookup, policy, refund

TOOLS = ["crm/get_customer", "payments/refund"]
REFUND = "payments/refund"
ANSWERS: dict[str, tuple[str, tuple[Step, ...] | None]] = {
    "a plan": ('{"steps": [{"tool": "payments/refund", "times": 2}]}', (Step(REFUND, 2),)),
    "in a fence": ('```json\n{"steps": [{"tool": "payments/refund"}]}\n```', (Step(REFUND),)),
    "with what stands": (
        '{"steps": [{"tool": "payments/refund", "fixed": {"order_id": "A-1"}}]}',
        (Step(REFUND, 1, {"order_id": "A-1"}),),
    ),
    "to call nothing": ('{"steps": []}', ()),
    "a tool that is not granted": ('{"steps": [{"tool": "bank/transfer"}]}', ()),
    "an endless one": ('{"steps": [{"tool": "payments/refund", "times": 100000}]}', (Step(REFUND, 100),)),
    "prose": ("I would refund the order.", None),
    "another object": ('{"plan": []}', None),
    "a list": ("[1]", None),
    "steps that are none": ('{"steps": [7]}', None),
    "a number that is none": ('{"steps": [{"tool": "payments/refund", "times": "often"}]}', None),
    "fixed that is no object": ('{"steps": [{"tool": "payments/refund", "fixed": [1]}]}', None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("text", "steps"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_a_plan_or_none(text, steps):
    """Whatever the model says, nothing breaks; and what cannot be read allows nothing."""
    plan = planning.parse(text, TOOLS)
    assert (plan.fault is None) is (steps is not None)
    assert plan.steps == (steps or ())
    assert planning.load(json.loads(json.dumps(planning.dump(plan)))) == plan


ONCE = Plan((Step(REFUND, 1, {"order_id": "A-1"}), Step("crm/get_customer")))
BOTH = Plan((Step(REFUND, 1, {"order_id": "A-1"}), Step(REFUND, 1, {"order_id": "A-2"})))
CALLS: dict[str, tuple[Plan, dict[str, Any], list[dict[str, Any]], type]] = {
    "in the plan": (ONCE, {"order_id": "A-1", "amount": 20}, [], Allow),
    "with another value": (ONCE, {"order_id": "B-9", "amount": 20}, [], Ask),
    "without the value": (ONCE, {"amount": 20}, [], Ask),
    "once more than planned": (ONCE, {"order_id": "A-1"}, [{"order_id": "A-1"}], Ask),
    "a number in another spelling": (Plan((Step(REFUND, 1, {"amount": 20}),)), {"amount": 20.0}, [], Allow),
    "not in the plan": (Plan((Step("crm/get_customer"),)), {"order_id": "A-1"}, [], Ask),
    "no plan": (Plan(fault="the model is away"), {"order_id": "A-1"}, [], Ask),
    "several steps of a tool": (BOTH, {"order_id": "A-2"}, [{"order_id": "A-1"}], Allow),
    "a step that is used up": (BOTH, {"order_id": "A-1"}, [{"order_id": "A-1"}], Ask),
    "after a call that nobody had planned": (BOTH, {"order_id": "A-1"}, [{"order_id": "B-9"}], Allow),
    "the step that says less is left": (
        Plan((Step(REFUND), Step(REFUND, 1, {"order_id": "A-1"}))),
        {"order_id": "B-9"},
        [{"order_id": "A-1"}],
        Allow,
    ),
}
OPEN = {"whenTainted": [{"then": "Allow"}]}


@pytest.mark.parametrize(("plan", "arguments", "made", "expected"), CALLS.values(), ids=CALLS)
def test_a_tainted_task_is_held_to_its_plan(plan, arguments, made, expected):
    """By the tool, how often, and the arguments that stood from the beginning."""
    effective = examples.effective(policy(tools={**OPEN, "plan": {}}))
    known = facts(untrusted=("crm/get_note",), plan=plan, made=tuple(made))
    assert isinstance(decide(refund(**arguments), known, effective), expected)


def test_a_rule_says_what_is_covered_and_what_follows():
    """Reading is free unless the rule says All; and a call outside may be refused instead of asked about."""
    known = facts(untrusted=("crm/get_note",), plan=Plan())
    for rule, read, write in (
        ({}, Allow, Ask),
        ({"otherwise": "Deny"}, Allow, Refuse),
        ({"covers": "All"}, Ask, Ask),
    ):
        effective = examples.effective(policy(tools={**OPEN, "plan": rule}))
        assert isinstance(decide(lookup(), known, effective), read)
        assert isinstance(decide(refund(), known, effective), write)


def test_before_a_stranger_was_heard_there_is_no_plan_to_keep():
    """What the agent does then is its caller's doing."""
    effective = examples.effective(policy(tools={**OPEN, "plan": {}}))
    assert isinstance(decide(refund(), facts(), effective), Allow)


def test_without_a_plan_nothing_is_in_it():
    """A gateway that has not made one fails closed, and says so."""
    effective = examples.effective(policy(tools={**OPEN, "plan": {"otherwise": "Deny"}}))
    decision = decide(refund(), facts(untrusted=("crm/get_note",)), effective)
    assert isinstance(decision, Refuse)
    assert "Policy/support/baseline tools/plan: payments/refund is not planned so" in decision.message


def test_the_planner_sees_trusted_words_alone():
    """The instructions, what is asked, and the names of the tools: no description, no answer."""
    asked = planning.messages("You decide.", "Refund A-1.", [("payments/refund", examples.refund().effect)])
    said = asked[1]["content"]
    assert all(each in said for each in ("You decide.", "Refund A-1.", "payments/refund (writes)"))
