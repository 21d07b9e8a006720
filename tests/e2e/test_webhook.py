"""The webhook on a real Kubernetes: what crosses objects is refused, nobody is locked out, certificates rotate."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from proctor_cluster.command import CommandError
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, a_model, an_agent, eventually, is_
from tests.e2e.test_policies import policy

OPERATOR = ("-n", "proctor-system", "deployment/proctor-operator")
PODS = "app.kubernetes.io/name=proctor-operator"
TOOLS: list[Manifest] = [
    {"name": "get_customer", "effect": "Read", "data": ["pii"]},
    {"name": "note", "effect": "Once"},
]
GRANT = [{"connector": "crm", "allow": ["get_customer", "note"]}]


def a_crm(namespace: str, tools: list[Manifest], url: str = "http://crm.invalid/mcp") -> Manifest:
    """A Connector to a system with these tools."""
    return {**a_model(namespace, "crm"), "spec": {"type": "MCP", "url": url, "tools": tools}}


@pytest.fixture
def ns(cluster: Installed) -> Iterator[Namespace]:
    """A namespace with a model and a CRM, and an operator that answers."""
    cluster.kubectl("rollout", "status", *OPERATOR, "--timeout=120s", timeout=130)
    name = f"webhook-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    found = Namespace(cluster.kubectl, name)
    found.apply(a_model(name), a_crm(name, TOOLS))
    yield found
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def refusal(ns: Namespace, *manifests: Manifest) -> str:
    """What is said when these are applied; nothing if they are taken."""
    try:
        ns.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    except CommandError as exc:
        return str(exc)
    return ""


def judged(ns: Namespace, rule: Manifest, agent: Manifest) -> str:
    """The refusal of the agent under the rule: the operator hears of a new policy a moment later."""
    ns.apply(rule)
    try:
        return eventually(lambda: refusal(ns, agent), bool, 20)
    finally:
        ns.kubectl("delete", "policies.proctor.dev", "careful")


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "all three dangers": (
        {"tools": {"trifecta": "Deny"}},
        "tools/trifecta at spec.tools",
        "take one of the three away",
    ),
    "a tool by its effect": (
        {"tools": {"deny": [{"effects": ["Once"]}]}},
        "tools/deny at spec.tools[0].allow",
        "crm/note",
    ),
    "a host": (
        {"egress": {"hosts": ["*.example.com"]}},
        "egress/hosts at spec.model.connector",
        "allowed: *.example.com",
    ),
    "data to a model": (
        {"data": {"denyFlows": [{"data": ["pii"], "to": ["llm"]}]}},
        "data/denyFlows at spec.model",
        "must not reach llm",
    ),
    "a demand in CEL": (
        {"expressions": [{"name": "two", "expression": "connectors.size() < 2", "message": "One system, please."}]},
        "expressions/two",
        "One system, please.",
    ),
}


@pytest.mark.parametrize(("spec", "rule", "step"), BAD.values(), ids=BAD)
def test_what_crosses_objects_is_refused(ns: Namespace, spec: dict[str, Any], rule: str, step: str) -> None:
    """The refusal names the object, the rule, the field, what to do, and whom to ask."""
    said = judged(ns, policy(**spec), an_agent(ns.name, tools=GRANT))
    for each in (f"Agent {ns.name}/clerk", f"Policy/{ns.name}/careful {rule}", step, "risk@example.com"):
        assert each in said


def test_a_policy_that_cannot_hold_is_refused(ns: Namespace) -> None:
    """A typo in CEL, and a form that lets prose through, each with its field."""
    typo = policy(expressions=[{"name": "typo", "expression": "agent.spec.", "message": "No."}])
    assert "spec.expressions[typo] cannot hold" in refusal(ns, typo)
    prose = policy(tools={"quarantine": [{"tool": "get_*", "schema": {"type": "string"}}]})
    assert "spec.tools.quarantine[0] cannot hold: schema is free text" in refusal(ns, prose)


def a_replier(namespace: str) -> Manifest:
    """An agent with a fixed reply that is of another form than its answers."""
    reply = {"after": ["Any"], "reply": {"decision": "maybe"}}
    form = {"schema": {"properties": {"decision": {"enum": ["approve", "decline"]}}}}
    return an_agent(namespace, "replier", output=form, fallbacks=[reply])


def test_a_fixed_reply_that_is_no_answer_is_refused(ns: Namespace) -> None:
    """With the field and the words that it may have."""
    said = refusal(ns, a_replier(ns.name))
    assert f"Agent {ns.name}/replier: spec.fallbacks[0].reply.decision: does not match spec.output.schema" in said
    assert "'maybe' is not one of ['approve', 'decline']" in said


def test_without_an_operator_it_is_taken_and_said_later(cluster: Installed, ns: Namespace) -> None:
    """Nobody answers, so the change is taken; when an operator is back, the status says what it breaks."""
    agent = an_agent(ns.name, tools=GRANT)
    ns.apply(policy(tools={"trifecta": "Deny"}))
    eventually(lambda: refusal(ns, agent), bool, 20)
    cluster.kubectl("scale", *OPERATOR, "--replicas=0")
    cluster.kubectl("-n", "proctor-system", "wait", "--for=delete", "pod", "-l", PODS, "--timeout=60s", timeout=70)
    try:
        began = time.monotonic()
        ns.apply(agent, a_replier(ns.name))
        assert time.monotonic() - began < 10
    finally:
        cluster.kubectl("scale", *OPERATOR, "--replicas=1")
    found = ns.wait(is_("PolicyCompliant", "False", "Violating"), seconds=90)
    assert "tools/trifecta" in json.dumps(found["status"]["conditions"])
    assert not found["status"].get("revision", {}).get("stable")
    ns.wait(is_("Stalled", "True", "ReplyMismatch"), "replier", seconds=30)
    stopped = deepcopy(agent)
    stopped["spec"]["suspend"] = True
    assert refusal(ns, stopped) == ""
    ns.kubectl("delete", "agents.proctor.dev", "clerk")


def _authorities(cluster: Installed) -> list[x509.Certificate]:
    """Whom the API server trusts."""
    hooks = json.loads(cluster.kubectl("get", "validatingwebhookconfiguration", "proctor-webhook", "-o", "json"))
    bundle = hooks["webhooks"][0]["clientConfig"].get("caBundle")
    return x509.load_pem_x509_certificates(base64.b64decode(bundle)) if bundle else []


def _serving(cluster: Installed) -> int:
    """The serial number of the certificate in the Secret."""
    secret = json.loads(cluster.kubectl("-n", "proctor-system", "get", "secret", "proctor-webhook", "-o", "json"))
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"])).serial_number


def _answers(cluster: Installed, pod: str, agent: Manifest, path: Path) -> bool:
    """Whether this very replica refuses the agent."""
    asked = {"uid": "u", "kind": {"kind": "Agent"}, "resource": {"resource": "agents"}, "object": agent}
    namespace = agent["metadata"]["namespace"]
    path.write_text(json.dumps({"request": {**asked, "namespace": namespace, "name": "clerk"}}))
    url = f"/api/v1/namespaces/proctor-system/pods/https:{pod}:9443/proxy/admit"
    answer = json.loads(cluster.kubectl("create", "--raw", url, "-f", str(path)))
    return not answer["response"]["allowed"]


def test_certificates_rotate_while_two_replicas_answer(cluster: Installed, ns: Namespace, tmp_path: Path) -> None:
    """Through several certificates and authorities changes go on being refused: a failed handshake would let them pass.

    A few may pass, for an answer that takes longer than two seconds does so, too.
    """
    agent = an_agent(ns.name, tools=GRANT)
    short = ("AUTHORITY_SECONDS=60", "CERTIFICATE_SECONDS=24", "CERTIFICATE_POLL_SECONDS=2")
    cluster.kubectl("set", "env", *OPERATOR, *(f"PROCTOR_OPERATOR_{each}" for each in short))
    cluster.kubectl("scale", *OPERATOR, "--replicas=2")
    cluster.kubectl("rollout", "status", *OPERATOR, "--timeout=120s", timeout=130)
    try:
        ns.apply(policy(tools={"trifecta": "Deny"}))
        # The long-lived certificate is nobody's any more: emptied, all begins anew with short ones.
        cluster.kubectl(
            "-n", "proctor-system", "patch", "secret", "proctor-webhook", "--type=merge", "-p", '{"data":null}'
        )
        eventually(lambda: len(_authorities(cluster)) == 1 and bool(refusal(ns, agent)), bool, 40)
        time.sleep(3)
        serials, names, answers = set[int](), set[int](), list[bool]()
        until = time.monotonic() + 75
        while time.monotonic() < until:
            answers.append("tools/trifecta" in refusal(ns, agent))
            serials.add(_serving(cluster))
            names |= {each.serial_number for each in _authorities(cluster)}
            time.sleep(0.5)
        assert sum(answers) >= 0.9 * len(answers)
        assert len(serials) >= 4
        assert len(names) >= 2
        pods = cluster.kubectl("-n", "proctor-system", "get", "pods", "-l", PODS, "-o", "name").split()
        answered = [_answers(cluster, each.removeprefix("pod/"), agent, tmp_path / "asked.json") for each in pods]
        assert answered == [True, True]
    finally:
        cluster.kubectl("set", "env", *OPERATOR, *(f"PROCTOR_OPERATOR_{each.split('=')[0]}-" for each in short))
        cluster.kubectl("scale", *OPERATOR, "--replicas=1")
        cluster.kubectl(
            "-n", "proctor-system", "patch", "secret", "proctor-webhook", "--type=merge", "-p", '{"data":null}'
        )
        cluster.kubectl("rollout", "status", *OPERATOR, "--timeout=120s", timeout=130)
        eventually(lambda: bool(refusal(ns, agent)), bool, 60)
