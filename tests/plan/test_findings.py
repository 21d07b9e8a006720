"""What keeps an Agent from being planned, in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.plan import findings
from proctor.plan.world import Platform, World
from tests.plan import examples
from tests.plan.examples import crm, llm

MISSING_TEXT: dict[str, Any] = {
    "instructions": None,
    "instructionsFrom": {"configMapKeyRef": {"name": "texts", "key": "refunds"}},
}
SORRY = {"after": ["Any"], "reply": {"text": "Somebody will call you."}}
ISOLATED: dict[str, Any] = {"sandbox": {"profile": "Isolated"}}
KATA = Platform(agent_image="a", isolated_runtime_class="kata")

OBSTACLES: dict[str, tuple[World, list[tuple[str, str]]]] = {
    "nothing": (examples.world(), []),
    "the instructions": (
        examples.world(examples.agent(**MISSING_TEXT)),
        [("InstructionsNotFound", "ConfigMap support/texts has no key refunds")],
    ),
    "the model's connector": (
        examples.world(connectors={"crm": crm()}),
        [("ConnectorNotFound", "spec.model: there is no Connector support/llm")],
    ),
    "a tool's connector": (
        examples.world(connectors={"llm": llm()}),
        [("ConnectorNotFound", "spec.tools[0]: there is no Connector support/crm")],
    ),
    "a connector that cannot be read": (
        examples.world(connectors={"llm": llm()}, unreadable=frozenset({"crm"})),
        [("ConnectorInvalid", "spec.tools[0]: this version cannot read Connector support/crm")],
    ),
    "all of them at once": (
        examples.world(examples.agent(**MISSING_TEXT), connectors={}),
        [("InstructionsNotFound", "texts"), ("ConnectorNotFound", "llm"), ("ConnectorNotFound", "crm")],
    ),
    "a model that is none": (
        examples.world(connectors={"llm": crm(), "crm": crm()}),
        [("ConnectorTypeMismatch", "has type MCP, needed is Model")],
    ),
    "a tool that is a model": (
        examples.world(connectors={"llm": llm(), "crm": llm()}),
        [("ConnectorTypeMismatch", "has type Model, needed is A2A, HTTP, MCP")],
    ),
    "a fixed reply that is no answer": (
        examples.world(examples.agent(output={"schema": {"required": ["decision"]}}, fallbacks=[SORRY])),
        [("ReplyMismatch", "spec.fallbacks[0].reply does not match spec.output.schema: 'decision' is a required")],
    ),
    "no runtime class is named": (
        examples.world(examples.agent(**ISOLATED)),
        [("RuntimeClassNotFound", "set spec.sandbox.runtimeClassName")],
    ),
    "the named one does not exist": (
        examples.world(examples.agent(**ISOLATED), platform=KATA),
        [("RuntimeClassNotFound", "no RuntimeClass kata; it has: gvisor")],
    ),
}


@pytest.mark.parametrize(("world", "expected"), OBSTACLES.values(), ids=list(OBSTACLES))
def test_each_obstacle_is_named(world: World, expected: list[tuple[str, str]]) -> None:
    """All of them, so that a person needs one look."""
    found = findings.obstacles(world)
    assert [each.reason for each in found] == [reason for reason, _ in expected]
    for obstacle, (_, words) in zip(found, expected, strict=True):
        assert words in obstacle.message


def test_every_field_is_acted_on() -> None:
    """A field that is silently ignored would be taken for a promise."""
    people = {"after": ["Any"], "human": {"groups": ["leads"]}}
    confidence = {"from": "output.confidence", "atLeast": 0.5}
    assert findings.not_acted_on(examples.agent(fallbacks=[people], confidence=confidence).spec) == ()


def test_all_else_is_acted_on() -> None:
    """The plain agent is."""
    assert findings.not_acted_on(examples.agent().spec) == ()


READY = {"type": "Ready", "status": "True", "reason": "Reachable", "lastTransitionTime": "2026-11-02T08:00:00Z"}
AWAY = {**READY, "status": "False", "reason": "Timeout"}


def test_connectors_that_are_not_ready_are_named_with_their_reason() -> None:
    """Each once, those never probed as well."""
    tools = [{"connector": "crm", "allow": ["a"]}, {"connector": "erp", "allow": ["b"]}]
    world = examples.world(
        examples.agent(tools=tools),
        connectors={
            "llm": llm(status={"conditions": [AWAY]}),
            "crm": crm(status={"conditions": [READY]}),
            "erp": crm(),
        },
    )
    assert findings.unready_connectors(world) == ("llm: Timeout", "erp: not probed yet")


def policy(name: str, selector: dict[str, Any] | None) -> dict[str, Any]:
    """A NetworkPolicy of somebody's."""
    return {"metadata": {"name": name}, "spec": {"podSelector": selector}}


LABELS = {"app": "refunds", "tier": "agent"}
SELECTORS: dict[str, tuple[dict[str, Any] | None, bool]] = {
    "everything": ({}, True),
    "nothing said": (None, True),
    "our label": ({"matchLabels": {"app": "refunds"}}, True),
    "another label": ({"matchLabels": {"app": "orders"}}, False),
    "ours and another": ({"matchLabels": {"app": "refunds", "tier": "web"}}, False),
    "one of": ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["refunds", "x"]}]}, True),
    "none of": ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["refunds"]}]}, False),
    "not in, key is missing": ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
    "exists": ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
    "exists not": ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
}


@pytest.mark.parametrize(("selector", "is_found"), SELECTORS.values(), ids=list(SELECTORS))
def test_a_foreign_policy_that_selects_our_pods_is_found(selector: dict[str, Any] | None, *, is_found: bool) -> None:
    """As the API server would select: policies add up, so it may let in or out what ours does not."""
    found = findings.foreign_policies([policy("ours", {}), policy("theirs", selector)], LABELS, "ours")
    assert found == (("theirs",) if is_found else ())
