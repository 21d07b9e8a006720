"""What the API server would refuse is refused here, with the path, the reason, and what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api import kinds
from proctor.cli import examples
from proctor.cli.checks import documents, rules, structure
from proctor.cli.manifests import Document, spoken
from tests.api.manifests import NAMES, changed, load
from tests.cli.objects import an_agent


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"spec.riskTeir": "High"}, "spec.riskTeir", "did you mean riskTier?"),
        ({"spec.limits.max_steps": 3}, "spec.limits.max_steps", "did you mean maxSteps?"),
        ({"spec.limits.maxSteps": "3"}, "spec.limits.maxSteps", "is the text '3', must be a whole number"),
        ({"spec.limits.maxSteps": 0}, "spec.limits.maxSteps", "is 0, must be at least 1"),
        ({"spec.limits.maxSteps": 1001}, "spec.limits.maxSteps", "is 1001, must be at most 1000"),
        ({"spec.limits.maxSteps": True}, "spec.limits.maxSteps", "is true, must be a whole number"),
        ({"spec.limits.maxCost": 0.2}, "spec.limits.maxCost", 'put it in quotes, "0.2"'),
        ({"spec.suspend": "yes"}, "spec.suspend", "must be true or false"),
        ({"spec.riskTier": "high"}, "spec.riskTier", "did you mean High?"),
        ({"spec.model": {"connector": "llm"}}, "spec.model", "name is missing"),
        ({"spec.tools": {"connector": "crm"}}, "spec.tools", "is an object, must be a list"),
        ({"spec.tools": [{"connector": "crm", "allow": []}]}, "spec.tools[0].allow", "has 0 items, needs at least 1"),
        ({"spec.tools": [{"connector": "a", "allow": ["x", "x"]}]}, "spec.tools[0].allow[1]", "'x' is there already"),
        ({"spec.tools": [{"connector": "a", "allow": ["x"]}] * 2}, "spec.tools[1]", "connector a is there already"),
        ({"spec.purpose": ""}, "spec.purpose", "must not be empty"),
        ({"metadata.lables": {}}, "metadata.lables", "did you mean labels?"),
        ({"metadata.labels": {"a": 1}}, "metadata.labels.a", "must be a text"),
        ({"metadata.name": "Refunds"}, "metadata.name", "is not a name"),
        ({"sepc": {}}, "sepc", "did you mean spec?"),
    ],
)
def test_a_fault_names_the_field_and_what_would_be_right(change: dict[str, Any], path: str, message: str) -> None:
    """Unknown fields, wrong types, bounds, words and duplicates: one finding, at the place."""
    ((where, what),) = structure.findings(kinds.AGENT, changed(load("agent-minimal"), change))
    assert spoken(where) == path
    assert message in what


@pytest.mark.parametrize("name", NAMES)
def test_no_valid_manifest_is_refused(name: str) -> None:
    """What the API server takes, these checks take, whatever it contains."""
    body = load(name)
    kind = kinds.named(body["kind"])
    assert list(structure.findings(kind, body)) == []
    assert rules.check(kind, body).findings == []


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.name)
def test_every_example_is_valid(kind: kinds.Kind) -> None:
    """What `explain` shows can be applied as it is."""
    for body in examples.of_kind(kind):
        assert list(structure.findings(kind, body)) == []
        assert rules.check(kind, body).findings == []
        kind.model.parse(body)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"spec.runtime": {"command": ["x"]}}, "spec.runtime", "command and args need an image"),
        ({"spec.instructionsFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}, "spec", "exactly one of instr"),
        ({"spec.sandbox": {"runtimeClassName": "x"}}, "spec.sandbox", "runtimeClassName needs profile Isolated"),
    ],
)
def test_the_kinds_own_rules_are_asked(change: dict[str, Any], path: str, message: str) -> None:
    """CEL rules hold on the object with its defaults, as on the API server: the profile is Standard unless set."""
    checked = rules.check(kinds.AGENT, changed(load("agent-minimal"), change))
    ((where, what),) = checked.findings
    assert spoken(where).startswith(path)
    assert message in what


def test_a_rule_that_cannot_be_asked_here_is_counted() -> None:
    """The API server's own functions are in no library: such a rule is neither kept nor broken, but unasked."""
    resources = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    checked = rules.check(kinds.AGENT, changed(load("agent-minimal"), {"spec.runtime": {"resources": resources}}))
    assert checked.findings == []
    assert checked.unasked > 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "Agent"}, "apiVersion and kind are needed"),
        ({"apiVersion": "proctor.dev/v1", "kind": "Agent", "metadata": {"name": "a"}}, "it is proctor.dev/v1alpha1"),
        ({"apiVersion": "proctor.dev/v1alpha1", "kind": "Agnet", "metadata": {"name": "a"}}, "no kind of proctor's"),
        ({"apiVersion": "v1", "kind": "Agent", "metadata": {"name": "a"}}, "did you mean proctor.dev/v1alpha1?"),
        ({"apiVersion": "v1", "kind": "Secret"}, "metadata.name is missing"),
        (an_agent(namespace="other"), "is other, but -n says support"),
        (changed(an_agent(), {"spec.limits": {"timeout": "soon"}}), "must be a duration"),
    ],
)
def test_a_document_that_cannot_be_what_was_meant_is_refused(body: dict[str, Any], message: str) -> None:
    """Before any of its fields is looked at: what it is, what it is called, and where it goes."""
    verdict = documents.judge([Document("a.yaml", 1, body)], "support")
    assert message in " ".join(fault.message for fault in verdict.faults)


def test_two_manifests_of_one_object_are_a_fault() -> None:
    """The second would undo the first."""
    twice = [Document("a.yaml", 1, an_agent()), Document("b.yaml", 1, an_agent())]
    (fault,) = documents.judge(twice, None).faults
    assert fault.message == "is there twice, first at a.yaml document 1"


def test_what_the_webhook_would_refuse_of_an_agent_is_told_with_its_line() -> None:
    """A rule that does not compile, and a fixed reply that is no answer."""
    rules_of_crm = [{"when": "args.amount >", "then": "Deny"}]
    body = changed(an_agent(), {"spec.output.schema": {"required": ["decision"]}})
    body["spec"]["fallbacks"] = [{"after": ["Any"], "reply": {}}]
    body["spec"]["tools"] = [{"connector": "crm", "allow": ["get_order"], "rules": rules_of_crm}]
    document = Document("a.yaml", 1, body, {("spec", "fallbacks", 0, "reply"): 7})
    found = documents.judge([document], None).faults
    assert [(fault.place, fault.path) for fault in found] == [
        ("a.yaml:7", "spec.fallbacks[0].reply"),
        ("a.yaml document 1", "spec.tools[0].rules[0].when"),
    ]
