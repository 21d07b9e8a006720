"""Tasks split by an HTTPRoute on a real Kubernetes: its weights follow the upgrade, whoever else writes to it.

No implementation of the Gateway API runs here: the test's own proxies draw by the route's weights and knock there.
"""

from __future__ import annotations

import copy
import http.client
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.engines import ROOT
from proctor_cluster.forward import forwarded
from proctor_cluster.settings import Settings
from tests.e2e import pods
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, an_agent, condition, eventually, is_
from tests.e2e.shoppers import Background

_CRD = Path(__file__).parent / "gateway_api.yaml"
_SAMPLE = install.MANIFESTS / "samples" / "refunds-upgrade"
_FENCED = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_DOORS = ("proctor-gateway-stable", "proctor-gateway-candidate")
_ROUTE = "httproutes.gateway.networking.k8s.io"
_RULES = {
    "traffic": {"httpRoute": {"name": "refunds"}},
    "steps": [
        {"weight": 30, "until": {"minTasks": 5, "minDuration": "3s"}},
        {"weight": 50, "until": {"minTasks": 10, "minDuration": "3s"}},
    ],
    "progressDeadline": "90s",
    "scaleDownDelay": "2s",
    "abortScaleDownDelay": "2s",
    "rollback": {"drain": "30s", "watch": {"for": "5s"}},
    # A wide margin, so that a few dozen tasks are enough; what the margins cost is measured elsewhere.
    "analysis": {"metrics": [{"name": "answered", "margin": "0.25"}]},
}


def _documented(kind: str) -> Manifest:
    """The example of docs/rollouts.md of that kind."""
    blocks = _FENCED.findall((ROOT / "docs" / "rollouts.md").read_text())
    found: list[Manifest] = [each for block in blocks for each in yaml.safe_load_all(block) if isinstance(each, dict)]
    return next(each for each in found if each.get("kind") == kind)


class Proxies(Background):
    """Gateways that draw each task's backend by the route's weights as they are now, and send it there."""

    def __init__(self, cluster: Installed, shop: Namespace, agent: str, count: int = 3) -> None:
        super().__init__()
        self._shop = shop
        self._cluster = cluster
        self._path = f"/agents/{shop.name}/{agent}/invoke"
        words = ("-n", "shop", "create", "token", "web", "--audience=proctor-gateway", "--duration=1h")
        self._token = cluster.kubectl(*words).strip()
        self._chance = random.Random(7)  # noqa: S311 - a draw, no secret
        self._weights = (100, 0)
        self._threads = [
            threading.Thread(target=self._follow),
            *(threading.Thread(target=self._send) for _ in range(count)),
        ]
        self.sent: list[tuple[str, str, str]] = []
        """Of each task that was answered: by which door, which revision, how it ended."""

    def _follow(self) -> None:
        while not self._stop.wait(0.5):
            found = self._shop.kubectl("get", _ROUTE, "refunds", "-o", "json", "--ignore-not-found")
            if found:
                self._weights = _weights(json.loads(found))

    def _send(self) -> None:
        namespace = install.NAMESPACE
        with (
            forwarded(self._cluster.cluster, namespace, f"service/{_DOORS[0]}", 8080) as stable,
            forwarded(self._cluster.cluster, namespace, f"service/{_DOORS[1]}", 8080) as candidate,
        ):
            number = 0
            while not self._stop.wait(0.05):
                number += 1
                weights = self._weights
                is_candidate = self._chance.random() * sum(weights) < weights[1]
                self._ask(candidate if is_candidate else stable, _DOORS[is_candidate], number)

    def _ask(self, address: str, door: str, number: int) -> None:
        mark = f"{threading.get_ident()}/{number}"
        question = f"Customer C-1043 asks for a refund of order O-50043 (80 EUR): the colour fades, {mark}"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request("POST", self._path, json.dumps({"input": question}), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status == 200:
                self.sent.append((door, body["revision"], body["phase"]))
        finally:
            connection.close()


def _weights(route: Manifest) -> tuple[int, int]:
    backends = {each["name"]: each["weight"] for each in route["spec"]["rules"][0]["backendRefs"]}
    return backends[_DOORS[0]], backends[_DOORS[1]]


def _without_weights(route: Manifest) -> Any:
    spec = copy.deepcopy(route["spec"])
    for rule in spec["rules"]:
        for each in rule["backendRefs"]:
            each.pop("weight")
    return spec


@pytest.fixture(scope="module")
def shop(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """The sample's systems, and an agent of this module's own whose tasks a route splits, once it is there."""
    install.apply(settings, cluster.cluster, _SAMPLE, cluster.images)
    install.wait_for_rollout(cluster.cluster, "demo-systems")
    found = Namespace(cluster.kubectl, "support")
    spec = found.agent("refunds")["spec"]
    mine = {**spec, "evals": [], "rollout": _RULES}
    cluster.kubectl("delete", "crd", _ROUTE, "--ignore-not-found", "--wait")
    found.apply({**an_agent(found.name, "routed"), "spec": mine})
    found.wait(is_("Ready", "True"), "routed", 120)
    yield found
    found.kubectl("delete", "agent", "routed", "refunds", "--wait")
    cluster.kubectl("delete", "crd", _ROUTE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def route(cluster: Installed, shop: Namespace) -> Manifest:
    """The documented route, served by a controller as far as its status says."""
    cluster.kubectl("apply", "-f", str(_CRD))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{_ROUTE}", "--timeout=30s")
    documented = _documented("HTTPRoute")
    shop.apply(documented)
    return shop.get(_ROUTE, documented["metadata"]["name"])


def _accept(shop: Namespace, generation: int, status: str = "True", reason: str = "ResolvedRefs") -> None:
    """What a controller writes."""
    said = {
        "type": "ResolvedRefs",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-11-23T00:00:00Z",
    }
    parent = {"controllerName": "example.com/proxy", "parentRef": {"name": "web"}, "conditions": [said]}
    patch = json.dumps({"status": {"parents": [parent]}})
    shop.kubectl("patch", _ROUTE, "refunds", "--subresource=status", "--type=merge", "-p", patch)


def _rollout(agent: Manifest) -> Manifest:
    found: Manifest = agent["status"].get("rollout", {})
    return found


def _instruct(shop: Namespace, words: str) -> None:
    before = shop.agent("routed")["spec"]["instructions"].split("\n", 1)[1]
    patch = json.dumps({"spec": {"instructions": f"{words}\n{before}"}})
    shop.kubectl("patch", "agent", "routed", "--type=merge", "-p", patch)


def _poke(shop: Namespace) -> None:
    """The agent is looked at now, not within a minute."""
    shop.kubectl("annotate", "agent", "routed", "--overwrite", f"example.com/looked-at={time.time()}")


@pytest.mark.timeout(300)
def test_an_upgrade_waits_for_a_route_that_is_not_there(cluster: Installed, shop: Namespace) -> None:
    """First the kind is missing, then the route, then a backend; each is said, and none is a pass or a failure."""
    assert condition(shop.agent("routed"), "TrafficRouted")["reason"] == "GatewayAPIMissing"
    _instruct(shop, "You decide refund requests of customers, kindly.")
    frozen = shop.wait(is_("Reconciling", "True", "UpgradesFrozen"), "routed")
    assert "GatewayAPIMissing" in condition(frozen, "Reconciling")["message"]
    assert condition(frozen, "Ready")["status"] == "True"
    cluster.kubectl("apply", "-f", str(_CRD))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{_ROUTE}", "--timeout=30s")
    _poke(shop)
    shop.wait(is_("TrafficRouted", "False", "RouteNotFound"), "routed")
    lame = _documented("HTTPRoute")
    lame["spec"]["rules"][0]["backendRefs"].pop()
    shop.apply(lame)
    _poke(shop)
    shop.wait(is_("TrafficRouted", "False", "BackendsMissing"), "routed")


@pytest.mark.timeout(400)
def test_the_weights_follow_the_upgrade_and_the_doors_are_its_evidence(
    cluster: Installed, shop: Namespace, route: Manifest
) -> None:
    """A good change is promoted by tasks that the route split; what somebody else writes to it meanwhile is mended."""
    _accept(shop, route["metadata"]["generation"], "False", "RefNotPermitted")
    _poke(shop)
    shop.wait(is_("TrafficRouted", "False", "RouteNotAccepted"), "routed")
    _accept(shop, route["metadata"]["generation"])
    stable = shop.agent("routed")["status"]["revision"]["stable"]
    with Proxies(cluster, shop, "routed") as proxies:
        _poke(shop)
        tried = shop.wait(lambda it: _rollout(it).get("weight") == 30, "routed", 90)
        candidate = tried["status"]["revision"]["candidate"]
        eventually(lambda: _weights(shop.get(_ROUTE, "refunds")), lambda found: found == (70, 30), 15)
        shop.apply(_documented("HTTPRoute"))
        seen = eventually(lambda: _weights(shop.get(_ROUTE, "refunds")), lambda found: found != (100, 0), 15)
        assert seen in {(70, 30), (50, 50)}
        over = shop.wait(lambda it: _rollout(it).get("lastOutcome", {}).get("revision") == candidate, "routed", 200)
        eventually(lambda: _weights(shop.get(_ROUTE, "refunds")), lambda found: found == (100, 0), 15)
    outcome = _rollout(over)["lastOutcome"]
    assert outcome["type"] == "Promoted", outcome
    assert over["status"]["revision"]["stable"] == candidate
    after = shop.get(_ROUTE, "refunds")
    assert _without_weights(after) == _without_weights(route)
    assert "ownerReferences" not in after["metadata"]
    assert after["metadata"].get("labels") == route["metadata"].get("labels")
    by_stable = [revision for door, revision, _ in proxies.sent if door == _DOORS[0]]
    by_candidate = [revision for door, revision, _ in proxies.sent if door == _DOORS[1]]
    assert by_candidate.count(candidate) >= outcome["exposed"] - len(proxies.sent) // 10
    assert outcome["exposed"] >= 15
    assert stable in by_stable
    assert {phase for _, _, phase in proxies.sent} == {"Succeeded"}
    print(f"{len(proxies.sent)} tasks, {len(by_candidate)} by the candidate's door; exposed {outcome['exposed']}")  # noqa: T201


@pytest.mark.timeout(300)
def test_a_withdrawal_sets_0_before_anything_is_drained(cluster: Installed, shop: Namespace, route: Manifest) -> None:
    """At every gateway and in the route; when tasks drain, no proxy sends any more."""
    _accept(shop, route["metadata"]["generation"])
    _instruct(shop, "You decide refund requests of customers, patiently.")
    with Proxies(cluster, shop, "routed") as proxies:
        tried = shop.wait(lambda it: _rollout(it).get("weight") == 30, "routed", 90)
        candidate = tried["status"]["revision"]["candidate"]
        eventually(lambda: _weights(shop.get(_ROUTE, "refunds")), lambda found: found == (70, 30), 15)
        eventually(lambda: proxies.sent[-40:], lambda sent: candidate in {revision for _, revision, _ in sent}, 60)
        shop.kubectl("annotate", "agent", "routed", "--overwrite", f"proctor.dev/command=abort@{candidate}/e2e")
        shop.wait(lambda it: _rollout(it).get("stage") in {"Draining", "ScalingDown"}, "routed", 60)
        assert _weights(shop.get(_ROUTE, "refunds")) == (100, 0)
        before = len(proxies.sent)
        eventually(lambda: len(proxies.sent), lambda count: count > before + 20, 60)
        later = proxies.sent[before + 10 :]
    assert candidate not in {revision for _, revision, _ in later}
    ended = shop.wait(lambda it: _rollout(it).get("phase") == "Failed", "routed", 90)
    assert _rollout(ended)["lastOutcome"]["type"] == "Aborted"
    assert {phase for _, _, phase in proxies.sent} == {"Succeeded"}


def test_only_labelled_namespaces_may_knock(cluster: Installed, new_namespace: Any) -> None:
    """A caller who could choose the door would choose the arm."""
    code = "import socket\n"
    for door in _DOORS:
        address = f"{door}.{install.NAMESPACE}.svc"
        code += (
            f"try:\n    socket.create_connection(({address!r}, 8080), 2)\n    print('reached')\n"
            "except OSError:\n    print('refused')\n"
        )
    found = []
    for labels in ({"proctor.dev/routes": "true"}, {}):
        namespace = new_namespace(**labels)
        pods.run(
            cluster.cluster, namespace, "proxy", cluster.images["proctor-agent"], f"import time\ntime.sleep(3)\n{code}"
        )
        found.append(pods.finish(cluster.cluster, namespace, "proxy").split())
    assert found == [["reached", "reached"], ["refused", "refused"]]


def test_the_documented_grant_names_what_there_is(cluster: Installed) -> None:
    """Its kind is not installed here; what it names is."""
    grant = _documented("ReferenceGrant")
    assert grant["metadata"]["namespace"] == install.NAMESPACE
    for each in grant["spec"]["to"]:
        cluster.kubectl("-n", install.NAMESPACE, "get", "service", each["name"])
