"""What would follow from a manifest, told by the operator's own planner."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.cli.realm import UNKNOWN_IMAGE, config_maps_of, platform_of
from proctor.cli.views import cautions, changeset, forecast
from proctor.cli.views.changeset import Knowledge, Target
from proctor.plan.world import Manifest
from proctor.shell.settings import Settings
from tests.cli.objects import T0, a_condition, a_connector, a_realm, a_settled, a_settled_realm, an_agent, with_status

CRM = {"connector": "crm", "allow": ["get_customer"]}
CRM_CONNECTOR = a_connector("crm", type="MCP", tools=[{"name": "get_customer", "effect": "Read"}])


def _objects(found: Any) -> list[tuple[str, str]]:
    return [(each.verb, each.kind) for each in found]


def _forecast(before: Any, *changes: Manifest, name: str = "refunds") -> forecast.AgentForecast:
    return forecast.of_agent(before, _after(before, *changes), name, T0)


def _after(before: Any, *changes: Manifest) -> Any:
    """The namespace with the changes in it; an object's status is its own, whatever a manifest says."""
    stored = [_with_status_of(before.agents.get(each["metadata"]["name"], {}), each) for each in changes]
    return before.with_objects(stored)


def _with_status_of(live: Manifest, body: Manifest) -> Manifest:
    return {**body, "status": live["status"]} if body["kind"] == "Agent" and "status" in live else body


def test_a_new_agent_makes_everything_and_then_serves() -> None:
    """The fence before the pods, and in the end its first revision serves."""
    told = _forecast(a_realm(a_connector()), an_agent())
    assert _objects(told.now) == [
        ("create", "ServiceAccount"),
        ("create", "NetworkPolicy"),
        ("create", "PodDisruptionBudget"),
        ("create", "ControllerRevision"),
        ("create", "ConfigMap"),
        ("create", "Deployment"),
    ]
    assert told.revision.is_new
    assert told.revision.before is None
    assert told.revision.number == 1
    assert "first to serve" in told.story[-1]


def test_an_agent_that_is_carried_out_needs_nothing() -> None:
    """The same manifest again is no change."""
    told = _forecast(a_settled_realm(an_agent(), a_connector()), an_agent())
    assert not told.changes_something
    assert not told.revision.is_new


def test_a_changed_instruction_is_a_new_revision_beside_the_old() -> None:
    """The old one's pods go when the new one's are ready, and not before; the number counts on."""
    told = _forecast(a_settled_realm(an_agent(), a_connector()), an_agent(instructions="You decide well."))
    assert [each.path for each in told.revision.behaviour] == ["instructions"]
    assert _objects(told.now) == [("create", "ControllerRevision"), ("create", "ConfigMap"), ("create", "Deployment")]
    gone = {("delete", "Deployment"), ("delete", "ConfigMap")}
    assert set(_objects(told.later)) == {*gone, ("change", "PodDisruptionBudget")}
    assert "beside" in told.story[0]
    assert told.revision.number == 2


def test_going_back_is_no_new_revision() -> None:
    """What served before is taken up again, under its old number."""
    first = a_settled_realm(an_agent(), a_connector())
    told = _forecast(first, an_agent(instructions="You decide well."))
    assert not told.revision.is_kept
    changed = _with_status_of(first.agents["refunds"], an_agent(instructions="You decide well."))
    second = a_settled(first.with_objects([changed]), "refunds")
    back = _forecast(second, an_agent())
    assert (back.revision.number, back.revision.is_kept) == (1, True)


def test_more_replicas_are_no_new_revision() -> None:
    """Only the number of pods changes, and the change of the object is told by its field."""
    told = _forecast(a_settled_realm(an_agent(), a_connector()), an_agent(runtime={"replicas": 3}))
    assert not told.revision.is_new
    ((change,),) = [[each for each in told.now if each.kind == "Deployment"]]
    assert [(each.path, each.before, each.after) for each in change.differences] == [("spec.replicas", 1, 3)]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"tools": [CRM]}, "ConnectorNotFound"),
        ({"model": {"connector": "llm2", "name": "m"}}, "ConnectorNotFound"),
        ({"tools": [{"connector": "llm", "allow": ["x"]}]}, "ConnectorTypeMismatch"),
        ({"sandbox": {"profile": "Isolated", "runtimeClassName": "gvisor"}}, "RuntimeClassNotFound"),
        (
            {"instructions": None, "instructionsFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
            "InstructionsNotFound",
        ),
    ],
)
def test_an_obstacle_is_told_and_changes_nothing_that_serves(spec: dict[str, Any], reason: str) -> None:
    """The revision stays, nothing is made, and the reason is the one that the status would show."""
    told = _forecast(a_settled_realm(an_agent(), a_connector()), an_agent(**spec))
    assert [each.reason for each in told.obstacles] == [reason]
    assert told.revision.after is None
    assert told.now == ()
    assert told.changes_something


def test_references_inside_the_manifests_count_as_existing() -> None:
    """An Agent may be applied together with the Connector and the ConfigMap that it needs."""
    spec: dict[str, Any] = {
        "instructions": None,
        "instructionsFrom": {"configMapKeyRef": {"name": "words", "key": "a"}},
    }
    words = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"a": "You decide."}}
    told = _forecast(a_realm(), an_agent(**spec), a_connector(), words)
    assert told.obstacles == ()


def test_an_agent_changes_with_the_connector_that_it_uses() -> None:
    """What is declared of a tool is part of the revision: agents that no manifest names are affected too."""
    before = a_settled_realm(an_agent(tools=[CRM]), a_connector(), CRM_CONNECTOR)
    other = a_connector("crm", type="MCP", tools=[{"name": "get_customer", "effect": "Once"}])
    (told,) = forecast.affected(before, before.with_objects([other]), [], T0)
    assert told.name == "refunds"
    assert [each.path for each in told.revision.behaviour] == ["connector crm.get_customer.effect"]
    assert list(forecast.affected(before, before, [], T0)) == []


def test_a_changed_config_map_changes_the_instructions() -> None:
    """The agent's text is where it refers to."""
    spec: dict[str, Any] = {
        "instructions": None,
        "instructionsFrom": {"configMapKeyRef": {"name": "words", "key": "a"}},
    }
    words = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"a": "You decide."}}
    before = a_settled_realm(an_agent(**spec), a_connector(), words)
    after = before.with_objects([{**words, "data": {"a": "You decide well."}}])
    (told,) = forecast.affected(before, after, [], T0)
    assert [(each.path, each.after) for each in told.revision.behaviour] == [("instructions", "You decide well.")]
    assert config_maps_of(before.agents.values()) == {"words"}


def _change_set(before: Any, *targets: Target, secrets: Any = ()) -> changeset.ChangeSet:
    after = _after(before, *(each.after for each in targets))
    return changeset.make(Knowledge(targets, {"support": before}, {"support": after}, dict(secrets)), T0)


def test_a_change_outside_of_the_behaviour_is_shown_apart() -> None:
    """Who may call and who owns it: a change of the object, not a revision."""
    before = a_settled_realm(an_agent(), a_connector())
    changed = an_agent(access={"callers": []})
    found = _change_set(before, Target("a.yaml:1", "support", before.agents["refunds"], changed))
    (manifest,) = found.manifests
    assert manifest.state == "changed"
    assert [each.path for each in manifest.differences] == ["spec.access.callers"]
    assert "spec.access.callers is empty: nobody may send tasks" in manifest.cautions


def test_a_default_that_is_spelt_out_is_no_change() -> None:
    """The file may leave it to the API server, or not."""
    before = a_settled_realm(an_agent(), a_connector())
    same = an_agent(suspend=False, riskTier="Limited", limits={"timeout": "1m", "maxSteps": 12})
    found = _change_set(before, Target("a.yaml:1", "support", before.agents["refunds"], same))
    assert [each.state for each in found.manifests] == ["same"]
    assert not found.changes_something


def test_kinds_that_are_not_proctors_are_counted_and_never_shown() -> None:
    """A Secret among the manifests is named by its kind alone."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"token": "hush"}}
    found = _change_set(a_realm(), Target("a.yaml:1", "support", None, secret))
    assert found.others == ("Secret",)
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (None, "Secret support/key does not exist"),
        ({"data": {"password": "eA=="}}, "Secret support/key has no key token; it has: password"),
        ({"stringData": {"token": "x"}}, None),
        ({"metadata": {"managedFields": [{"fieldsV1": {"f:data": {".": {}, "f:token": {}}}}]}}, None),
    ],
)
def test_a_connectors_secret_is_looked_for_by_its_keys(secret: Manifest | None, words: str | None) -> None:
    """Whether it is there, and has the key: told by the names of its fields, without a value."""
    connector = a_connector(auth={"secretRef": {"name": "key"}})
    found = _change_set(
        a_realm(), Target("a.yaml:1", "support", None, connector), secrets={("support", "key"): secret}.items()
    )
    told = [each for each in found.manifests[0].cautions if "Secret" in each]
    assert told == ([] if words is None else [each for each in told if words in each])
    assert bool(told) is (words is not None)


def test_a_tool_that_the_system_does_not_offer_is_worth_a_look() -> None:
    """The last probe knows what there is."""
    crm = with_status(CRM_CONNECTOR, a_condition("Ready", "True"), tools=[{"name": "lookup", "digest": "sha256:0"}])
    told = _forecast(a_realm(a_connector(), crm), an_agent(tools=[CRM]))
    assert "tool crm/get_customer: the system does not offer it; it has lookup" in told.cautions


def test_a_tool_that_is_not_declared_counts_as_once() -> None:
    """The most careful assumption is said before it surprises."""
    told = _forecast(a_realm(a_connector(), a_connector("crm", type="MCP")), an_agent(tools=[CRM]))
    assert "tool crm/get_customer: not declared in the Connector, so it counts as Once" in told.cautions


def test_the_installation_is_read_as_the_operator_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same variables give the same platform, whichever program reads them."""
    variables = {
        "PROCTOR_OPERATOR_AGENT_IMAGE": "registry.example.com/agent:2",
        "PROCTOR_OPERATOR_ISOLATED_RUNTIME_CLASS": "gvisor",
        "PROCTOR_OPERATOR_DNS_CIDRS": '["169.254.20.10/32"]',
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    env = [{"name": name, "value": value} for name, value in variables.items()]
    operator = {
        "metadata": {"namespace": "proctor-system"},
        "spec": {"template": {"spec": {"containers": [{"env": env}]}}},
    }
    assert platform_of(operator) == Settings().platform()


def test_an_installation_that_cannot_be_asked_has_a_name_for_its_image() -> None:
    """Never a guess that looks like an image."""
    assert platform_of(None).agent_image == UNKNOWN_IMAGE


def test_keys_are_told_without_values() -> None:
    """By a Secret's own data, or by who set which field."""
    secret = {"data": {"a": "x"}, "metadata": {"managedFields": [{"fieldsV1": {"f:data": {"f:b": {}, ".": {}}}}]}}
    assert cautions.keys_of(secret) == {"a", "b"}
