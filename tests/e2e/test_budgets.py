"""Budgets on a real Kubernetes: an agent that never comes to an end is stopped by its money, and everybody is told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.settings import Settings
from tests.e2e.asking import Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, an_agent, condition, eventually, is_
from tests.e2e.refunds import SAMPLE, bring_up

_BUDGETS = install.MANIFESTS / "samples" / "budgets"
# A model that looks the customer up again and again.
_RULES = """
answerTools: final_result.*
rules:
  - name: short
    when: {task: {contains: short}}
    then: {text: done}
  - name: again
    when: {task: {regex: '.*'}}
    then: {calls: [{tool: get_customer, arguments: {customer_id: C-1042}}]}
"""


@pytest.fixture(scope="module")
def ns(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """A namespace with that model, the sample's CRM, and an agent that could go on for a hundred steps."""
    bring_up(cluster, settings)
    name = f"budgets-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    found = Namespace(cluster.kubectl, name)
    found.apply(*_model(name, cluster.images["proctor-demo"]), *_connectors(name))
    found.kubectl("rollout", "status", "deployment/model", "--timeout=90s")
    found.apply(
        an_agent(
            name,
            model={"connector": "llm", "name": "gpt-5-mini", "parameters": {"max_tokens": 200}},
            tools=[{"connector": "crm", "allow": ["get_customer"]}],
            limits={"timeout": "60s", "maxSteps": 100},
            access={"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
        )
    )
    found.wait(is_("Ready", "True"), seconds=90)
    yield found
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def web(ns: Namespace, cluster: Installed) -> Iterator[Caller]:
    """The web shop, which may ask."""
    caller = Caller(cluster.cluster, "shop", "web")
    yield caller
    caller.close()


def _model(namespace: str, image: str) -> tuple[Manifest, ...]:
    systems = yaml.safe_load_all((SAMPLE / "systems.yaml").read_text())
    ours = [each for each in systems if each["metadata"]["name"] in {"keys", "scripted-model"}]
    text = yaml.safe_dump_all(ours).replace("demo-systems", namespace).replace("scripted-model", "model")
    made = list(yaml.safe_load_all(text.replace("image: proctor-demo", f"image: {image}")))
    rules = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model", "namespace": namespace}}
    return ({**rules, "data": {"rules.yaml": _RULES}}, *made)


def _connectors(namespace: str) -> tuple[Manifest, ...]:
    text = (SAMPLE / "connectors.yaml").read_text().replace("namespace: support", f"namespace: {namespace}")
    made = [each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace"]
    for each in made:
        if each["metadata"]["name"] == "llm":
            each["spec"]["url"] = f"http://model.{namespace}.svc:8000/v1"
    return tuple(made)


def _budget(namespace: str, **budget: object) -> Manifest:
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "spending", "namespace": namespace},
        "spec": {
            "owner": {"team": "finance", "contact": "finance@example.com"},
            "mode": "Enforce",
            "budgets": [{"name": "daily", "per": "Day", **budget}],
        },
    }


def test_a_budget_stops_an_agent_in_the_middle_of_a_task(ns: Namespace, web: Caller) -> None:
    """Some calls are paid, the next is refused, and the task ends with the reason; status and an Event tell of it."""
    ns.apply(_budget(ns.name, tokens=9000))
    # The gateway hears of the policy by its watch.
    task = eventually(
        lambda: web.invoke(ns.name, "clerk", "look up for ever").body,
        lambda found: found["error"] is not None and found["error"]["reason"] == "BudgetExhausted",
    )
    assert task["phase"] == "Failed"
    calls = web.calls(ns.name, "clerk", task["id"])
    paid = [each for each in calls if each["kind"] == "Model" and each["state"] == "Succeeded"]
    last = [each for each in calls if each["kind"] == "Model"][-1]
    assert paid
    assert (last["state"], last["error"]["reason"]) == ("Denied", "BudgetExhausted")
    assert f"Policy/{ns.name}/spending budgets/daily" in last["error"]["message"]
    told = ns.wait(is_("BudgetAvailable", "False", "BudgetExhausted"), seconds=60)
    usage = told["status"]["usage"]
    assert usage["tasksToday"] >= 1
    assert 0 < usage["tokensToday"] <= 9000
    assert usage["exhausted"] == [f"Policy/{ns.name}/spending budgets/daily"]
    assert usage["resetsAt"].endswith("T00:00:00Z")
    assert "budgets/daily refuses" in condition(told, "BudgetAvailable")["message"]
    events = ns.list("events.events.k8s.io")
    assert "BudgetExhausted" in {each["reason"] for each in events if each["regarding"]["name"] == "clerk"}


def test_a_raised_budget_lets_it_go_on(ns: Namespace, web: Caller) -> None:
    """At once; and the status says so a little later."""
    ns.apply(_budget(ns.name, tokens=9_000_000))
    eventually(
        lambda: web.invoke(ns.name, "clerk", "a short question").body["phase"], lambda phase: phase == "Succeeded"
    )
    ns.wait(is_("BudgetAvailable", "True", "WithinBudget"), seconds=60)


def test_tasks_are_throttled_at_the_door(ns: Namespace, web: Caller) -> None:
    """A budget of tasks that throttles: 429, and when to come again."""
    ns.apply(_budget(ns.name, tasks=1, action="Throttle"))
    refused = eventually(
        lambda: web.submit(ns.name, "clerk", "a short question").body,
        lambda body: body.get("status") == 429,
    )
    assert refused["type"].endswith("/BudgetExhausted")


def test_the_sample_is_accepted(cluster: Installed, ns: Namespace) -> None:
    """Both policies are taken by the API server as they are, a budget of a team and one of a namespace among them."""
    cluster.kubectl("apply", "-k", str(_BUDGETS))
    made = json.loads(cluster.kubectl("get", "policies.proctor.dev,clusterpolicies", "-A", "-o", "json"))["items"]
    scopes = {budget.get("scope", "Agent") for each in made for budget in each["spec"].get("budgets", ())}
    assert {"Agent", "Namespace", "Team"} <= scopes
    cluster.kubectl("delete", "-k", str(_BUDGETS))
