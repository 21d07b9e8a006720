"""What is refused when something is written, because of what it is together with other objects."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.policy import crossing
from proctor.policy.crossing import judge
from proctor.policy.effective import merge
from tests.policy import examples
from tests.policy.examples import T0, agent, connector, connectors, policy

CROSSING = {
    "all three dangers in one agent": ({"tools": {"trifecta": "Deny"}}, "tools/trifecta"),
    "a tool by its effect": ({"tools": {"deny": [{"effects": ["Once"]}]}}, "tools/deny"),
    "a tool by its data": ({"tools": {"deny": [{"data": ["pii"]}]}}, "tools/deny"),
    "a model by its region": ({"models": {"allow": [{"connectorLabels": {"region": "us"}}]}}, "models/allow"),
    "a host": ({"egress": {"hosts": ["*.internal"]}}, "egress/hosts"),
    "data to a model": ({"data": {"denyFlows": [{"data": ["pii"], "to": ["llm"]}]}}, "data/denyFlows"),
    "tools without a pin": ({"require": {"fields": ["PinnedTools"]}}, "require/PinnedTools"),
    "a demand in CEL": (
        {"expressions": [{"name": "few", "expression": "connectors.size() < 3", "message": "At most two systems."}]},
        "expressions/few",
    ),
}


@pytest.mark.parametrize(("spec", "rule"), CROSSING.values(), ids=CROSSING)
def test_what_an_agent_is_only_together_with_its_connectors_is_refused(spec, rule):
    """The rule is named, and the field where the agent is at fault."""
    judged = judge(agent(), connectors(), examples.effective(policy(**spec)), T0)
    assert rule in {each.rule for each in judged.refused}
    assert not judged.warned


@pytest.mark.parametrize(("mode", "heard"), [("Enforce", "refused"), ("Warn", "warned"), ("Audit", "noted")])
def test_the_mode_says_who_hears_of_it(mode, heard):
    """Enforce refuses, Warn tells the author, Audit tells the audit log."""
    judged = judge(agent(), connectors(), examples.effective(policy(mode=mode, tools={"trifecta": "Deny"})), T0)
    assert {name: bool(getattr(judged, name)) for name in ("refused", "warned", "noted")} == {
        name: name == heard for name in ("refused", "warned", "noted")
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"require": {"fields": ["Evals"]}},
        {"limits": {"maxSteps": 1}},
        {"sandbox": {"requireVerifiedIsolation": True}},
        {"expressions": [{"name": "no", "at": "Rollout", "expression": "false", "message": "No."}]},
    ],
)
def test_what_others_judge_is_left_to_them(spec):
    """What the API server holds by itself, and what only a measurement or an upgrade can tell."""
    assert not judge(agent(), connectors(), examples.effective(policy(**spec)), T0).refused


def test_nothing_is_assumed_of_a_connector_that_is_not_there_yet():
    """An Agent may be applied before its Connectors: it is judged again when they come."""
    strict = examples.effective(policy(tools={"trifecta": "Deny", "deny": [{"effects": ["Once"]}]}))
    assert judge(agent(), connectors(), strict, T0).refused
    assert not judge(agent(), {"llm": connectors()["llm"]}, strict, T0).refused


def test_what_somebody_was_excepted_from_is_not_refused():
    """As long as the exception lasts."""
    rule = policy(tools={"trifecta": "Deny"}, exceptions=[examples.exception("tools/trifecta")])
    assert not judge(agent(), connectors(), merge([rule], agent(), T0), T0).refused
    assert judge(agent(), connectors(), merge([rule], agent(), examples.after(days=31)), T0).refused


def test_a_connector_that_turns_out_worse_is_news():
    """What an agent newly breaks by a change of its Connector; what it broke before is none."""
    strict = examples.effective(policy(tools={"trifecta": "Deny"}))
    tools = [{"name": name, "effect": "Read", "trusted": True} for name in ("get_customer", "get_order")]
    harmless = connectors(crm=connector("crm", tools=tools))
    before, after = judge(agent(), harmless, strict, T0), judge(agent(), connectors(), strict, T0)
    assert [each.rule for each in crossing.newly(before, after)] == ["tools/trifecta"]
    assert not crossing.newly(after, after)


def test_a_policy_that_cannot_hold_is_told_which_field():
    """CEL that does not compile, wherever it stands, and an exception for too long."""
    asking = {"groups": ["leads"]}
    bad = policy(
        expressions=[{"name": "typo", "expression": "agent.spec.", "message": "No."}],
        tools={"approval": [{"when": "args.amount >", "approval": asking}]},
        exceptions=[examples.exception("tools", expiresAt=examples.after(days=91).isoformat())],
    )
    fields = [field for field, _ in crossing.faults_of_policy(bad, T0)]
    assert fields == ["spec.expressions[typo]", "spec.tools.approval[0].when", "spec.exceptions[pilot].expiresAt"]
    assert not list(crossing.faults_of_policy(policy(tools={"trifecta": "Deny"}), T0))


def test_an_agents_own_rule_that_does_not_compile_is_told_which_field():
    """It would deny every call."""
    rule = {"when": "args.amount > ", "then": "Deny"}
    tools = [{"connector": "payments", "allow": ["refund"], "rules": [rule]}]
    assert [field for field, _ in crossing.faults_of_agent(agent(tools=tools))] == ["spec.tools[0].rules[0].when"]
    assert not list(crossing.faults_of_agent(agent()))


SCHEMA = {"properties": {"decision": {"enum": ["approve", "decline"]}, "lines": {"items": {"type": "number"}}}}
REPLIES: dict[str, tuple[dict[str, Any] | None, dict[str, Any], list[str]]] = {
    "of the form": (SCHEMA, {"decision": "decline"}, []),
    "another word": (SCHEMA, {"decision": "maybe"}, ["spec.fallbacks[1].reply.decision"]),
    "deep inside": (SCHEMA, {"lines": [1, "2"]}, ["spec.fallbacks[1].reply.lines[1]"]),
    "no object is wanted": ({"type": "string"}, {"decision": "decline"}, ["spec.fallbacks[1].reply"]),
    "a schema that is none": ({"type": "word"}, {}, ["spec.output.schema"]),
    "no schema": (None, {"decision": "maybe"}, []),
}


@pytest.mark.parametrize(("schema", "reply", "fields"), REPLIES.values(), ids=REPLIES)
def test_a_fixed_reply_that_is_no_answer_is_told_which_field(schema, reply, fields):
    """Its caller would get what was promised to nobody."""
    people = {"after": ["InvalidOutput"], "human": {"groups": ["leads"]}}
    spec: dict[str, Any] = {"fallbacks": [people, {"after": ["Any"], "reply": reply}]}
    spec |= {"output": {"schema": schema}} if schema is not None else {}
    assert [field for field, _ in crossing.faults_of_agent(agent(**spec))] == fields
