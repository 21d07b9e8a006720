"""Objectives on a real Kubernetes: a model that fails when it is told to, and what the Agent's status makes of it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.settings import Settings
from tests.e2e import voting
from tests.e2e.asking import Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, an_agent, condition, eventually, is_
from tests.e2e.own_model import model_connector, scripted_model
from tests.e2e.refunds import bring_up

_RULES = """
answerTools: final_result.*
rules:
  - {name: fail, when: {task: {contains: fail}}, then: {error: {status: 400, message: told to fail}}}
  - {name: answer, when: {turn: 0}, then: {text: done}}
"""
_ACCESS = {"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]}
_SLOS = [
    # Two of ten may fail, judged from ten on: few tasks are enough to go through all states.
    {"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "80", "window": "1h", "minEvents": 10},
    {
        "name": "fast",
        "indicator": {"type": "Latency", "threshold": "60s"},
        "target": "90",
        "window": "28d",
        "minEvents": 10,
    },
    {
        "name": "own",
        "indicator": {"type": "Custom", "good": "task.output == 'done'", "total": "true"},
        "target": "5",
        "gate": {"rollout": False},
    },
]


@pytest.fixture(scope="module")
def ns(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """A namespace with a model of its own, and an agent with objectives."""
    bring_up(cluster, settings)
    name = f"slos-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    found = Namespace(cluster.kubectl, name)
    found.apply(*scripted_model(name, cluster.images["proctor-demo"], _RULES), *model_connector(name))
    found.kubectl("rollout", "status", "deployment/model", "--timeout=90s")
    found.apply(an_agent(name, slos=_SLOS, access=_ACCESS, runtime={"concurrency": 16}))
    found.kubectl("wait", "--for=condition=Ready", "connectors", "--all", "--timeout=90s")
    found.wait(is_("Ready", "True"), seconds=90)
    yield found
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def web(ns: Namespace, cluster: Installed) -> Iterator[Caller]:
    """The web shop, which may ask."""
    caller = Caller(cluster.cluster, "shop", "web")
    yield caller
    caller.close()


def _ask(web: Caller, ns: Namespace, question: str, count: int, name: str = "clerk") -> list[str]:
    """So many tasks, eight at a time; how they ended."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: web.invoke(ns.name, name, question), range(count))
        return [answer.body["phase"] for answer in answers]


def _slo(body: Manifest, name: str = "answered") -> Manifest:
    return next((each for each in body.get("status", {}).get("slos", ()) if each["name"] == name), {"state": None})


def _in(state: str, name: str = "answered") -> Callable[[Manifest], bool]:
    return lambda body: _slo(body, name)["state"] == state


def _events(ns: Namespace) -> list[tuple[str, str]]:
    """The Events about objectives, oldest first."""
    items = json.loads(ns.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
    ours = [each for each in items if each["reason"].startswith("SLO")]
    ours.sort(key=lambda each: each["metadata"]["creationTimestamp"])
    return [(each["reason"], each["note"].split(":")[0]) for each in ours]


@pytest.mark.timeout(420)
def test_an_objective_goes_through_its_states(ns: Namespace, web: Caller) -> None:
    """No data, met, at risk, breached, met again: by what the model does, each within seconds, and told once."""
    body = ns.wait(_in("InsufficientData"))
    assert condition(body, "SLOCompliant")["status"] == "Unknown"

    assert set(_ask(web, ns, "hello", 12)) == {"Succeeded"}
    body = ns.wait(_in("Met"))
    found = _slo(body)
    assert (found["sli"], found["good"], found["total"], found["budgetRemaining"]) == ("1", 12, 12, "1")
    assert found["asOf"]

    assert set(_ask(web, ns, "fail", 3)) == {"Failed"}
    body = ns.wait(_in("AtRisk"))
    assert "budget spent, 3 bad of 15 in 1h" in _slo(body)["message"]

    _ask(web, ns, "fail", 12)
    body = ns.wait(_in("Breached"))
    found = condition(body, "SLOCompliant")
    assert (found["status"], found["reason"]) == ("False", "Breached")
    assert "answered: 15 bad of 27 in 1h" in found["message"]
    assert body["status"]["releaseGate"]["state"] == "Freeze"
    # The agent does what it was told, though not well: an upgrade is not held up by its own objective's words.
    assert condition(body, "Available")["status"] == "True"

    _ask(web, ns, "hello", 80)
    body = ns.wait(_in("Met"))
    assert (_slo(body)["good"], _slo(body)["total"]) == (92, 107)
    assert condition(body, "SLOCompliant")["status"] == "True"
    answered = [each for each in _events(ns) if each[1] == "answered"]
    assert answered == [("SLOAtRisk", "answered"), ("SLOBreached", "answered"), ("SLORecovered", "answered")]


@pytest.mark.timeout(300)
def test_people_let_an_upgrade_go_on_without_budget(ns: Namespace, web: Caller) -> None:
    """With a reason, for that revision and for an hour; without a reason they are asked again."""
    rules = {"steps": [{"pause": {}}], "budgetOverride": {"groups": ["sre"], "for": "1h"}}
    runtime = {"concurrency": 16}
    ns.apply(an_agent(ns.name, "spender", slos=_SLOS[:1], access=_ACCESS, runtime=runtime, rollout=rules))
    try:
        ns.wait(is_("Ready", "True"), "spender", 90)
        assert set(_ask(web, ns, "fail", 12, "spender")) == {"Failed"}
        ns.wait(lambda it: it["status"].get("releaseGate", {}).get("state") == "Freeze", "spender")
        ns.kubectl("patch", "agent", "spender", "--type=merge", "-p", '{"spec": {"instructions": "Mend it."}}')
        (first,) = eventually(lambda: ns.list("approvals"), lambda found: len(found) == 1)
        waits = ns.wait(lambda it: condition(it, "Reconciling")["reason"] == "UpgradesFrozen", "spender")
        assert first["metadata"]["name"] in condition(waits, "Reconciling")["message"]
        voting.approve(ns, first["metadata"]["name"])
        asked = eventually(lambda: ns.list("approvals"), lambda found: len(found) == 2)
        assert ns.agent("spender")["status"]["rollout"]["phase"] == "Settled"
        second = max(each["metadata"]["name"] for each in asked)
        voting.approve(ns, second, "it mends the breach")
        passed = ns.wait(lambda it: it["status"]["rollout"]["phase"] == "Paused", "spender", 90)["status"]
        assert (passed["releaseGate"]["state"], passed["releaseGate"]["override"]) == ("Freeze", second)
    finally:
        ns.kubectl("delete", "agent", "spender", "--wait")


def test_the_table_shows_objectives(ns: Namespace) -> None:
    """How many are not missed, and the smallest share of a budget that is left."""
    header, row = ns.kubectl("get", "agents").splitlines()
    # By place, for a column may be empty.
    slo, budget = (row[header.index(each) :].split()[0] for each in ("SLO ", "BUDGET "))
    assert (slo, budget[-1]) == ("3/3", "%")


def test_more_of_the_same_is_not_written(ns: Namespace, web: Caller) -> None:
    """Three tasks as fast as all others change nothing that anybody acts on: two looks later all is as it was."""
    eventually(lambda: _slo(ns.agent(), "fast")["state"], lambda state: state == "Met")
    before = _slo(ns.agent(), "fast")
    _ask(web, ns, "hello", 3)
    time.sleep(32)
    after = _slo(ns.agent(), "fast")
    # But for counts that are five minutes old: they are made fresh.
    first, second = (datetime.fromisoformat(each["asOf"]) for each in (before, after))
    assert after == before or second - first >= timedelta(minutes=5)


@pytest.mark.timeout(420)
def test_without_the_gateway_nothing_is_claimed(ns: Namespace, cluster: Installed) -> None:
    """Stale, with the values and the time of the last measurement; and as before when the gateway is back."""
    before = _slo(ns.agent())
    gateway = ("-n", install.NAMESPACE, "deployment/proctor-gateway")
    cluster.kubectl("scale", *gateway, "--replicas=0")
    try:
        body = ns.wait(_in("Stale"), seconds=150)
        found = _slo(body)
        assert {key: found.get(key) for key in ("sli", "good", "total", "asOf")} == {
            key: before.get(key) for key in ("sli", "good", "total", "asOf")
        }
        assert (condition(body, "SLOCompliant")["status"], condition(body, "SLOCompliant")["reason"]) == (
            "Unknown",
            "Stale",
        )
    finally:
        cluster.kubectl("scale", *gateway, "--replicas=1")
        cluster.kubectl("rollout", "status", *gateway, "--timeout=120s", timeout=130)
    ns.wait(_in("Met"), seconds=120)


_RULES_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "prometheusrules.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"plural": "prometheusrules", "singular": "prometheusrule", "kind": "PrometheusRule"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_where_prometheus_operator_is_the_rules_are_made(ns: Namespace, cluster: Installed) -> None:
    """One PrometheusRule for the Agent, which goes when its objectives go. The kind alone stands for that operator."""
    operator = ("-n", install.NAMESPACE, "deployment/proctor-operator")
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(_RULES_CRD))
    try:
        cluster.kubectl("wait", "--for=condition=Established", "crd", _RULES_CRD["metadata"]["name"], "--timeout=30s")
        # Otherwise the operator looks for the kind every five minutes.
        cluster.kubectl("rollout", "restart", *operator)
        cluster.kubectl("rollout", "status", *operator, "--timeout=120s", timeout=130)
        (rule,) = eventually(lambda: ns.list("prometheusrules"), lambda found: len(found) == 1)
        alerts = {each.get("alert") for group in rule["spec"]["groups"] for each in group["rules"]}
        assert {"ProctorSLOBurning", "ProctorSLOBreached"} <= alerts
        ns.kubectl("patch", "agent", "clerk", "--type=json", "-p", '[{"op": "remove", "path": "/spec/slos"}]')
        eventually(lambda: ns.list("prometheusrules"), lambda found: not found)
        eventually(
            ns.agent, lambda body: "slos" not in body["status"] and condition(body, "SLOCompliant")["status"] is None
        )
    finally:
        cluster.kubectl("delete", "crd", _RULES_CRD["metadata"]["name"], "--wait=false")
