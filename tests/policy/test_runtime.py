"""What becomes of a call, given what its task has read."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api.connector import Effect
from proctor.policy.facts import ModelCall, ToolCall, links_in
from proctor.policy.runtime import Allow, Ask, Refuse, decide
from tests.policy import examples
from tests.policy.examples import facts, policy, refund

READ: dict[str, Any] = {"untrusted": ("crm/get_order",)}
OPEN: dict[str, Any] = {"whenTainted": [{"then": "Allow"}]}


def sink(argument: str = "order_id", *origins: str, **more: Any) -> dict[str, Any]:
    """A rule for that argument of a payment."""
    return {"tool": "refund", "argument": argument, "origins": list(origins or ("User", "TrustedTool")), **more}


def decided(known: dict[str, Any], rules: dict[str, Any], **arguments: Any) -> type:
    """What becomes of a payment with these arguments in a task that knows this."""
    effective = examples.effective(policy(tools=rules))
    return type(decide(refund(**arguments), facts(**known), effective))


TAINTED = {
    "a write before anything was read": ({}, {"deny": []}, Allow),
    "a write after": (READ, {"deny": []}, Ask),
    "a write that is allowed": (READ, OPEN, Allow),
    "a write that is denied": (READ, {"whenTainted": [{"effects": ["Once"], "then": "Deny"}]}, Refuse),
    "the strictest of several": (
        READ,
        {"whenTainted": [{"then": "Allow"}, {"tool": "refund", "then": "Deny"}]},
        Refuse,
    ),
    "a rule for another tool": (READ, {"whenTainted": [{"tool": "other", "then": "Allow"}]}, Ask),
}


@pytest.mark.parametrize(("known", "rules", "expected"), TAINTED.values(), ids=TAINTED)
def test_a_write_after_untrusted_content_is_not_made_as_before(known, rules, expected):
    """Without a rule of its own a write needs people once a stranger may have asked for it."""
    assert decided(known, rules) is expected


def test_reading_goes_on():
    """A tainted task may read what it could read before."""
    effective = examples.effective(policy(tools={"deny": []}))
    assert isinstance(decide(examples.lookup(), facts(**READ), effective), Allow)


ORIGINS = {
    "the user's words": ({"order_id": "A-1"}, {}, Allow),
    "whoever asks, in another case": ({"order_id": "a-1"}, {}, Allow),
    "a part of a word": ({"order_id": "A"}, {}, Allow),
    "a part of a number": ({"order_id": "2"}, {}, Ask),
    "a stranger": ({"order_id": "B-9"}, {}, Ask),
    "a trusted tool": ({"order_id": "B-9"}, {"trusted": ('{"order": "B-9"}',)}, Allow),
    "an empty value": ({"order_id": ""}, {}, Allow),
    "it is not there": ({"amount": 20}, {}, Allow),
    "one of several is a stranger's": ({"order_id": ["A-1", "B-9"]}, {}, Ask),
    "a number with zeros": ({"order_id": 20.0}, {}, Allow),
}


@pytest.mark.parametrize(("arguments", "known", "expected"), ORIGINS.values(), ids=ORIGINS)
def test_a_sink_takes_values_of_known_origin(arguments, known, expected):
    """The value must stand, as whole words, in what the caller said or a trusted tool returned."""
    assert decided({**READ, **known}, {**OPEN, "sinks": [sink()]}, **arguments) is expected


def test_before_anything_was_read_every_value_is_the_users():
    """A stranger who was not heard cannot have given a value."""
    assert decided({}, {**OPEN, "sinks": [sink()]}, order_id="B-9") is Allow


ELSE = {
    "a listed value": (sink(values=["B-9"]), "B-9", Allow),
    "a value of the form": (sink(pattern="B-[0-9]+"), "B-9", Allow),
    "a value that holds the form": (sink(pattern="B-[0-9]+"), "xB-9", Ask),
    "a pattern that is none": (sink(pattern="B-["), "B-9", Ask),
    "the instructions": (sink("order_id", "Operator"), "refunds", Allow),
    "denied otherwise": (sink(otherwise="Deny"), "B-9", Refuse),
    "a text without links": (sink(links=True), "please pay B-9", Allow),
    "a text with a stranger's link": (sink(links=True), "see https://evil.example/x?d=1.", Ask),
    "a text with a stranger's address": (sink(links=True), "write to eve@evil.example", Ask),
}


@pytest.mark.parametrize(("rule", "value", "expected"), ELSE.values(), ids=ELSE)
def test_what_else_a_sink_may_say(rule, value, expected):
    """Constants, patterns, the instructions, and links in texts."""
    assert decided(READ, {**OPEN, "sinks": [rule]}, order_id=value) is expected


def test_links_are_found_in_prose():
    """Whatever form a link has, without the end of its sentence."""
    text = "See www.a-b.com, http://c.example/d?e=f (or g.example/h) and i@j.example. 1.2.3 is no link, nor e.g. this."
    assert links_in(text) == ("www.a-b.com", "http://c.example/d?e=f", "g.example/h", "i@j.example")


def test_all_three_dangers_together_need_people():
    """Reading is allowed, and so is writing before; with private data and a stranger's words a write is asked about."""
    rules = {**OPEN, "trifecta": "RequireApproval"}
    assert decided(READ, rules) is Allow
    assert decided({**READ, "labels": frozenset({"pii"})}, rules) is Ask


def test_data_does_not_go_where_it_must_not():
    """A class of data that was read keeps the task from the Connectors of the rule: tools and models."""
    effective = examples.effective(policy(data={"denyFlows": [{"data": ["pii"], "to": ["pay*", "llm-public"]}]}))
    read = facts(labels=frozenset({"pii"}))
    assert isinstance(decide(refund(), read, effective), Refuse)
    assert isinstance(decide(refund(), facts(), effective), Allow)
    assert isinstance(decide(ModelCall("llm-public", {}, "m"), read, effective), Refuse)
    assert isinstance(decide(ModelCall("llm", {}, "m"), read, effective), Allow)


def test_the_same_call_again_and_again_ends():
    """The tenth equal call is one too many, though each alone is allowed."""
    effective = examples.effective(policy(tools={"deny": []}))
    assert isinstance(decide(examples.lookup(), facts(repeated=9), effective), Allow)
    assert isinstance(decide(examples.lookup(), facts(repeated=10), effective), Refuse)


APPROVALS = {
    "above": ({"amount": 60.0}, Ask),
    "below": ({"amount": 40.0}, Allow),
    "not to be judged": ({"order_id": "A-1"}, Ask),
}


@pytest.mark.parametrize(("arguments", "expected"), APPROVALS.values(), ids=APPROVALS)
def test_people_are_asked_where_the_arguments_say_so(arguments, expected):
    """A condition that cannot be evaluated asks for more care, not for less."""
    asking = {"groups": ["support-leads"], "quorum": 2}
    rules = {"approval": [{"tool": "refund", "when": "args.amount > 50.0", "approval": asking}]}
    effective = examples.effective(policy(tools=rules))
    found = decide(ToolCall("payments", "refund", Effect.ONCE, (), arguments), facts(), effective)
    assert type(found) is expected
    if isinstance(found, Ask):
        assert found.asking[0].quorum == 2


def test_a_demand_sees_the_task_and_the_call():
    """It may speak of the taint, the caller and the arguments; one that cannot be evaluated is not met."""
    demand = {
        "name": "small",
        "at": "ToolCall",
        "expression": "!task.tainted || call.args.amount < 10",
        "message": "No.",
    }
    effective = examples.effective(policy(expressions=[demand]))
    assert isinstance(decide(refund(amount=20), facts(), effective, {}), Allow)
    assert isinstance(decide(refund(amount=20), facts(**READ), effective, {}), Refuse)
    assert isinstance(decide(refund(order_id="x"), facts(**READ), effective, {}), Refuse)


def test_a_refusal_says_all_that_is_wrong_and_no_value():
    """Every finding that stops the call is in the message, with its policy; the value in doubt is not."""
    rules = {**OPEN, "deny": [{"tool": "refund"}], "sinks": [sink(otherwise="Deny")]}
    found = decide(refund(order_id="hush-hush"), facts(**READ), examples.effective(policy(tools=rules)))
    assert isinstance(found, Refuse)
    assert "Policy/support/baseline tools/deny" in found.message
    assert "tools/sinks: order_id" in found.message
    assert "hush" not in found.message
