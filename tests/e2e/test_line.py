"""The whole line on a real Kubernetes: a caller, the gateway, an agent in its sandbox, a model, a CRM, payments."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.ledger import payments
from proctor_cluster.settings import Settings
from tests.e2e.asking import ENDED, Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, an_agent, eventually, is_

_SAMPLE = install.MANIFESTS / "samples" / "refunds"
_REFUND = "Customer C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks"

# A model that takes its time: look up, pay, answer. The order in the question makes each task's payment its own.
_SLOW = """
answerTools: final_result.*
rules:
  - name: look-up
    when: {results: [{tool: get_customer, count: 0}]}
    then: {delaySeconds: 1, calls: [{tool: get_customer, arguments: {customer_id: C-1042}}]}
  - name: pay
    when:
      task: {regex: 'order (?P<order>O-[0-9]+) and pay'}
      results: [{tool: get_customer}, {tool: refund, count: 0}]
    then: {delaySeconds: 1, calls: [{tool: refund, arguments: {order_id: '{order}', amount: 5, reason: test}}]}
  - name: answer
    when: {results: [{tool: get_customer}]}
    then: {delaySeconds: 1, text: done}
"""


@pytest.fixture(scope="module")
def story(cluster: Installed, settings: Settings) -> Installed:
    """The refunds sample, as the demo installs it."""
    install.apply(settings, cluster.cluster, _SAMPLE, cluster.images)
    install.wait_for_rollout(cluster.cluster, "demo-systems")
    cluster.kubectl(
        "-n", "support", "wait", "--for=condition=Ready", "connectors,agents", "--all", "--timeout=120s", timeout=130
    )
    return cluster


@pytest.fixture(scope="module")
def web(story: Installed) -> Iterator[Caller]:
    """The web shop, which may ask the refunds agent."""
    caller = Caller(story.cluster, "shop", "web")
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def slow(story: Installed) -> Iterator[Namespace]:
    """A namespace with a slow model of its own, the sample's CRM and payments, and an agent that uses all three."""
    name = f"slow-{uuid.uuid4().hex[:8]}"
    story.kubectl("create", "namespace", name)
    ns = Namespace(story.kubectl, name)
    ns.apply(*_slow_model(name, story.images["proctor-demo"]), *_connectors(name))
    ns.kubectl("rollout", "status", "deployment/model", "--timeout=90s")
    ns.apply(
        an_agent(
            name,
            tools=[{"connector": "crm", "allow": ["get_customer"]}, {"connector": "payments", "allow": ["refund"]}],
            runtime={"concurrency": 16},
            access={"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
        )
    )
    ns.kubectl("wait", "--for=condition=Ready", "connectors", "--all", "--timeout=90s")
    ns.wait(is_("Ready", "True"))
    yield ns
    story.kubectl("delete", "namespace", name, "--wait=false")


def _slow_model(namespace: str, image: str) -> tuple[Manifest, ...]:
    systems = yaml.safe_load_all((_SAMPLE / "systems.yaml").read_text())
    ours = [each for each in systems if each["metadata"]["name"] in {"keys", "scripted-model"}]
    text = yaml.safe_dump_all(ours).replace("demo-systems", namespace).replace("scripted-model", "model")
    made = list(yaml.safe_load_all(text.replace("image: proctor-demo", f"image: {image}")))
    rules = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "model", "namespace": namespace},
        "data": {"rules.yaml": _SLOW},
    }
    return (rules, *made)


def _connectors(namespace: str) -> tuple[Manifest, ...]:
    text = (_SAMPLE / "connectors.yaml").read_text().replace("namespace: support", f"namespace: {namespace}")
    made = [each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace"]
    for each in made:
        if each["metadata"]["name"] == "llm":
            each["spec"]["url"] = f"http://model.{namespace}.svc:8000/v1"
    return tuple(made)


def test_a_refund_is_decided_paid_and_on_record(story: Installed, web: Caller) -> None:
    """Asked from outside, the agent reads the customer, pays, answers in the declared form; each call is on record."""
    task = web.invoke("support", "refunds", _REFUND).body
    assert (task["phase"], task["output"]["decision"]) == ("Succeeded", "approve")
    calls = web.calls("support", "refunds", task["id"])
    tools = [(call["name"], call["effect"], call["state"]) for call in calls if call["kind"] == "Tool"]
    assert tools == [
        ("get_customer", "Read", "Succeeded"),
        ("get_order", "Read", "Succeeded"),
        ("refund", "Idempotent", "Succeeded"),
    ]
    assert "C-1042" in json.dumps(calls[1]["result"])
    assert float(task["usage"]["cost"]) > 0
    paid = payments(story.cluster, "O-50042")
    assert paid[0]["amount"] == 50


def test_the_same_key_is_the_same_task(web: Caller) -> None:
    """An Idempotency-Key sent twice gives one task; with another question it is refused."""
    first = web.submit("support", "refunds", _REFUND, key="once")
    again = web.submit("support", "refunds", _REFUND, key="once")
    other = web.submit("support", "refunds", "Something else", key="once")
    assert first.body["id"] == again.body["id"]
    assert other.status in {409, 422}


def test_who_is_not_named_is_not_let_in(story: Installed) -> None:
    """A ServiceAccount that spec.access does not name gets 403, a made-up token 401; neither makes a task."""
    stranger = Caller(story.cluster, "support", "default")
    nobody = Caller(story.cluster, "shop", "web")
    nobody._token = "made-up"
    try:
        assert stranger.submit("support", "refunds", _REFUND).status == 403
        assert nobody.submit("support", "refunds", _REFUND).status == 401
    finally:
        stranger.close()
        nobody.close()


def test_nothing_found_in_the_pod_opens_a_door(story: Installed) -> None:
    """From inside the pod the CRM, the model and the gateway refuse all that can be tried with what is there."""
    program = """
import json, os, urllib.request, urllib.error
def ask(url, token=None, body=b'{}'):
    headers = {'Content-Type': 'application/json', **({'Authorization': 'Bearer ' + token} if token else {})}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=4).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return 'no connection'
found = [None, 'anything', open('/etc/proctor/agent.json').read()[:40].replace('\\n', ' '), *os.environ.values()]
gateway = os.environ['PROCTOR_GATEWAY_URL']
direct = ['http://crm.demo-systems.svc:8000/mcp', 'http://scripted-model.demo-systems.svc:8000/v1/chat/completions']
print(json.dumps({
    'direct': [ask(url, token) for url in direct for token in found[:3]],
    'gateway': [ask(gateway + path, token) for path in ('/v1/chat/completions', '/mcp/crm') for token in found],
}))
"""
    pods = json.loads(story.kubectl("-n", "support", "get", "pods", "-l", "proctor.dev/agent=refunds", "-o", "json"))
    pod = pods["items"][0]["metadata"]["name"]
    words = ("-n", "support", "exec", pod, "--", "/opt/proctor/bin/python", "-c", program)
    tried = json.loads(story.kubectl(*words, timeout=120))
    assert set(tried["direct"]) <= {401, "no connection"}
    assert set(tried["gateway"]) <= {401, 403}


def _submit_ten(web: Caller, ns: Namespace, first: int) -> dict[str, str]:
    """Ten tasks that look a customer up and pay; the order of each by its id."""
    asked = {}
    for number in range(10):
        order = f"O-{first + number}"
        answer = web.submit(ns.name, "clerk", f"Look the customer up for order {order} and pay")
        assert answer.status == 202, answer.body
        asked[answer.body["id"]] = order
    return asked


def _ends(web: Caller, ns: Namespace, asked: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {
        task: eventually(lambda task=task: web.task(ns.name, "clerk", task), lambda it: it["phase"] in ENDED, 150)
        for task in asked
    }


def _assert_true(story: Installed, asked: dict[str, str], ended: dict[str, dict[str, Any]]) -> None:
    """What each task says of itself agrees with the ledger, which is outside."""
    paid: dict[str, int] = {}
    for entry in payments(story.cluster):
        paid[entry["order_id"]] = paid.get(entry["order_id"], 0) + 1
    for task, order in asked.items():
        end, count = ended[task], paid.get(order, 0)
        assert count <= 1, f"{order} was paid {count} times"
        if end["phase"] == "Succeeded":
            assert count == 1, f"{task} says it succeeded, and {order} was not paid"
        else:
            assert end["error"]["reason"], f"{task} ended {end['phase']} without a reason"
            assert count == 0 or "refund" in json.dumps(end["error"]), f"{task} was paid and does not say so: {end}"


def _kill(story: Installed, namespace: str, selector: str) -> None:
    """As kill -9: no time to finish anything."""
    words = ("delete", "pod", "-l", selector, "--grace-period=0", "--force", "--wait=false")
    story.kubectl("-n", namespace, *words)


@pytest.mark.parametrize("moment", [0.5, 2.5], ids=["while-it-reads", "while-it-pays"])
@pytest.mark.parametrize("victim", ["operator", "gateway", "agent"])
@pytest.mark.timeout(420)
def test_ten_tasks_end_in_the_truth_whatever_is_killed(
    story: Installed, web: Caller, slow: Namespace, victim: str, moment: float
) -> None:
    """Operator, gateway or agent die while ten tasks run: all ten end, and what they say agrees with the ledger."""
    slow.wait(is_("Ready", "True"))
    first = int(time.time()) % 10_000_000 * 10
    asked = _submit_ten(web, slow, first)
    time.sleep(moment)
    match victim:
        case "operator":
            _kill(story, "proctor-system", "app.kubernetes.io/name=proctor-operator")
        case "gateway":
            _kill(story, "proctor-system", "app.kubernetes.io/name=proctor-gateway")
        case _:
            _kill(story, slow.name, "proctor.dev/agent=clerk")
    ended = _ends(web, slow, asked)
    _assert_true(story, asked, ended)
    phases = sorted(end["phase"] for end in ended.values())
    if victim == "operator":
        assert phases == ["Succeeded"] * 10, "the operator has no part in a task"


def test_suspend_is_the_stop_button(web: Caller, slow: Namespace) -> None:
    """Suspended in mid-task, the agent takes no new task, and what runs ends without another call out."""
    slow.wait(is_("Ready", "True"))
    task = web.submit(slow.name, "clerk", "Look the customer up for order O-1 and pay").body["id"]
    time.sleep(0.5)
    slow.kubectl("patch", "agent", "clerk", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    ended = eventually(lambda: web.task(slow.name, "clerk", task), lambda it: it["phase"] in ENDED)
    assert ended["phase"] != "Succeeded"
    assert [call["name"] for call in web.calls(slow.name, "clerk", task) if call["name"] == "refund"] == []
    refused = eventually(lambda: web.submit(slow.name, "clerk", "anything").status, lambda status: status != 202)
    assert refused in {403, 409, 503}
