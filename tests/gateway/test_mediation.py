"""May this call be made?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from proctor.api.agent import Agent, ToolGrant
from proctor.api.connector import Connector, Effect
from proctor_gateway.rules import mediation
from proctor_gateway.rules.bundle import Bundle, BundleError, Pinned
from proctor_gateway.rules.errors import Denied
from tests.gateway import objects

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def bundle(definitions: Any = None, **changes: Any) -> Bundle:
    """A bundle of the tests' agent."""
    revision, body = objects.revision_of(objects.agent_spec(**changes), definitions)
    return Bundle.parse(revision, body["data"])


def connector(kind: str = "MCP", **spec: Any) -> Connector:
    """The connector `payments`."""
    return Connector.parse(objects.connector("payments", kind, "http://payments/mcp", **spec))


def denied(check: Any, *arguments: Any) -> str | None:
    """The reason for which the check denies, or None."""
    try:
        check(*arguments)
    except Denied as exc:
        return exc.reason
    return None


AGENTS = {
    "there is none": (None, "PolicyDenied"),
    "it serves": (objects.agent(objects.agent_spec(), "r1"), None),
    "it is suspended": (objects.agent(objects.agent_spec(suspend=True), "r1"), "Suspended"),
}


@pytest.mark.parametrize(("body", "reason"), AGENTS.values(), ids=AGENTS)
def test_the_live_agent_can_only_narrow(body, reason):
    """A suspended or absent agent makes no call, whatever its revision may do."""
    assert denied(mediation.check_agent, Agent.parse(body) if body else None) == reason


MODELS = {
    "the declared one": ("gpt-5-mini", connector("Model"), None),
    "another one": ("gpt-9", connector("Model"), "PolicyDenied"),
    "none": (None, connector("Model"), "PolicyDenied"),
    "its connector is not there": ("gpt-5-mini", None, "PolicyDenied"),
    "its connector is no model": ("gpt-5-mini", connector("MCP"), "ConnectorUnsupported"),
}


@pytest.mark.parametrize(("model", "found", "reason"), MODELS.values(), ids=MODELS)
def test_only_the_declared_model_is_asked(model, found, reason):
    """A model call goes to the model that the revision declares, and to no other."""
    assert denied(mediation.check_model, bundle(), found, model) == reason


def test_only_granted_connectors_are_called():
    """A connector that the revision is not granted is denied, even if it exists."""
    assert denied(mediation.check_connector, bundle(tools=[]), connector(), "payments") == "PolicyDenied"
    assert denied(mediation.check_connector, bundle(), None, "payments") == "PolicyDenied"
    assert denied(mediation.check_connector, bundle(), connector(), "payments") is None


def test_only_listed_tools_are_called():
    """What is not listed is denied."""
    grant = bundle().grant("payments")
    assert grant is not None
    assert denied(mediation.check_allowed, grant, "refund") is None
    assert denied(mediation.check_allowed, grant, "refund ") == "PolicyDenied"
    assert denied(mediation.check_allowed, grant, "delete_ledger") == "PolicyDenied"


DEFINITIONS = {
    "not pinned": (frozenset(), DIGEST, None),
    "as pinned": (frozenset({DIGEST}), DIGEST, None),
    "drifted": (frozenset({DIGEST}), OTHER, "DefinitionDrifted"),
    "pinned twice, differently": (frozenset({DIGEST, OTHER}), DIGEST, "DefinitionDrifted"),
    "not offered": (frozenset(), None, "ToolUnavailable"),
}


@pytest.mark.parametrize(("pins", "found", "reason"), DEFINITIONS.values(), ids=DEFINITIONS)
def test_a_drifted_definition_is_denied(pins, found, reason):
    """A tool is called only while its definition is every one that was pinned."""
    grant = ToolGrant.model_validate({"connector": "payments", "allow": ["refund"]})
    pinned = Pinned(Effect.ONCE, pins)
    assert denied(mediation.check_definition, grant, pinned, found, "refund") == reason


RULES = {
    "does not apply": ("args.amount > 50.0", "Deny", {"amount": 50}, None),
    "denies": ("args.amount > 50.0", "Deny", {"amount": 50.01}, "PolicyDenied"),
    "an integer is a number, too": ("args.amount > 50.0", "Deny", {"amount": 51}, "PolicyDenied"),
    "the argument is missing": ("args.amount > 50.0", "Deny", {}, "PolicyDenied"),
    "the argument is of another type": ("args.amount > 50.0", "Deny", {"amount": "51"}, "PolicyDenied"),
    "the argument is too large for CEL": ("args.amount > 50.0", "Deny", {"amount": 10**30}, "PolicyDenied"),
    "it does not compile": ("args.amount >", "Deny", {"amount": 1}, "PolicyDenied"),
    "it names something unknown": ("arg.amount > 50", "Deny", {"amount": 1}, "PolicyDenied"),
    "it is no truth value": ("args.amount", "Deny", {"amount": 1}, "PolicyDenied"),
    "it sees the tool": ("tool == 'refund'", "Deny", {}, "PolicyDenied"),
    "it sees the connector": ("connector == 'crm'", "Deny", {}, None),
    "an endless loop is cut off": (
        "[0,1,2,3,4,5,6,7,8,9].all(a, " * 5
        + "true"
        + ")" * 5
        + " && "
        + "[0,1,2,3,4,5,6,7,8,9].all(a, " * 8
        + "true"
        + ")" * 8,
        "Deny",
        {},
        "PolicyDenied",
    ),
}


@pytest.mark.parametrize(("when", "then", "arguments", "reason"), RULES.values(), ids=RULES)
def test_rules_fail_closed(when, then, arguments, reason):
    """A rule that holds, and one that cannot be evaluated, denies."""
    grant = ToolGrant.model_validate(
        {"connector": "payments", "allow": ["refund"], "rules": [{"when": when, "then": then}]}
    )
    assert denied(mediation.check_rules, grant, "refund", arguments) == reason


APPROVALS = {
    "does not apply": ([("args.amount > 50.0", "RequireApproval", "")], None),
    "asks": ([("true", "RequireApproval", "is it right?")], "is it right?"),
    "a later one denies": ([("true", "RequireApproval", ""), ("true", "Deny", "")], "PolicyDenied"),
    "a later one errs": ([("true", "RequireApproval", ""), ("args.x > 1", "Deny", "")], "PolicyDenied"),
}


@pytest.mark.parametrize(("rules", "expected"), APPROVALS.values(), ids=APPROVALS)
def test_people_are_asked_only_about_what_no_rule_denies(rules, expected):
    """A rule that wants an approval is a question; a denial of any other rule is stronger."""
    listed = [{"when": when, "then": then, "message": message} for when, then, message in rules]
    grant = ToolGrant.model_validate({"connector": "payments", "allow": ["refund"], "rules": listed})
    try:
        asked = mediation.check_rules(grant, "refund", {"amount": 1})
        found = asked.question if asked else None
    except Denied as exc:
        found = exc.reason
    assert found == expected


def test_a_rule_speaks_for_itself():
    """The message of the rule is what the agent is told."""
    rule = {"when": "true", "then": "Deny", "message": "the limit is 200 EUR"}
    grant = ToolGrant.model_validate({"connector": "payments", "allow": ["refund"], "rules": [rule]})
    with pytest.raises(Denied, match="the limit is 200 EUR"):
        mediation.check_rules(grant, "refund", {})


def test_what_was_asked_is_not_quoted_in_full():
    """An agent cannot make a message endless."""
    grant = ToolGrant.model_validate({"connector": "payments", "allow": ["refund"]})
    with pytest.raises(Denied) as caught:
        mediation.check_allowed(grant, "x" * 100_000)
    assert len(caught.value.message) < 500


EFFECTS = {
    "declared alike": ("Read", "Read", Effect.READ),
    "declared graver since": ("Once", "Read", Effect.ONCE),
    "declared milder since": ("Read", "Once", Effect.ONCE),
    "recorded with nothing": ("Idempotent", None, Effect.IDEMPOTENT),
    "declared no more": (None, "Read", Effect.ONCE),
}


@pytest.mark.parametrize(("live", "then", "effect"), EFFECTS.values(), ids=EFFECTS)
def test_the_graver_effect_holds(live, then, effect):
    """What a revision may do can become narrower under it, never wider."""
    tools = [{"name": "refund", "effect": live}] if live else []
    recorded = {"payments": {"refund": {"effect": then}}} if then else {}
    assert bundle(recorded).pinned(connector(tools=tools), "refund").effect is effect


def test_both_pins_hold():
    """A definition must be the one that was pinned with the revision and the one that is pinned now."""
    recorded = {"payments": {"refund": {"definitionDigest": DIGEST}}}
    live = connector(tools=[{"name": "refund", "definitionDigest": OTHER}])
    assert bundle(recorded).pinned(live, "refund").digests == {DIGEST, OTHER}


def test_a_bundle_is_what_its_name_says():
    """Data that was written under the name of another revision is refused."""
    revision, body = objects.revision_of(objects.agent_spec())
    _, other = objects.revision_of(objects.agent_spec(tools=[]))
    with pytest.raises(BundleError, match="hashes to"):
        Bundle.parse(revision, other["data"])
    assert Bundle.parse(revision, body["data"]).behaviour.limits.max_steps == 12
