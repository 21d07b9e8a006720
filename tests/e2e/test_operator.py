"""The operator on a real Kubernetes: what a person declares, and what comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api import manifests
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, a_model, an_agent, condition, eventually, is_

BROKEN = "localhost/no-such-image:1"


@pytest.fixture
def ns(cluster: Installed, new_namespace: Any) -> Namespace:
    """A namespace of this test's own that admits only pods of the restricted standard, with a Connector in it."""
    name = new_namespace(**{"pod-security.kubernetes.io/enforce": "restricted"})
    namespace = Namespace(cluster.kubectl, name)
    namespace.apply(a_model(name))
    return namespace


@pytest.fixture
def no_operator(cluster: Installed) -> Iterator[None]:
    """The operator is away while the test runs."""
    _scale_operator(cluster, 0)
    yield
    _scale_operator(cluster, 1)


def _scale_operator(cluster: Installed, replicas: int) -> None:
    cluster.kubectl("-n", "proctor-system", "scale", "deploy/proctor-operator", f"--replicas={replicas}")
    if replicas:
        cluster.kubectl("-n", "proctor-system", "rollout", "status", "deploy/proctor-operator", timeout=120)
    else:
        cluster.kubectl(
            "-n", "proctor-system", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=proctor-operator",
            "--timeout=60s",
        )  # fmt: skip


def _ready(ns: Namespace, name: str = "clerk", **spec: Any) -> Manifest:
    ns.apply(an_agent(ns.name, name, **spec))
    return ns.wait(is_("Ready", "True"), name)


def _run(ns: Namespace, program: str) -> Any:
    """What a Python program prints that runs in the agent's pod."""
    pod = ns.list("pods", "proctor.dev/agent=clerk")[0]["metadata"]["name"]
    return json.loads(ns.kubectl("exec", pod, "--", "/opt/proctor/bin/python", "-c", program))


def test_a_declared_agent_serves_behind_its_fence(ns: Namespace) -> None:
    """Applying an Agent gives a ready pod, and around it everything that confines it."""
    agent = _ready(ns)
    revision = agent["status"]["revision"]["stable"]
    assert ns.get("controllerrevision", f"clerk-{revision}")["revision"] == 1
    assert ns.get("deployment", f"clerk-{revision}")["status"]["readyReplicas"] == 1
    assert ns.get("configmap", f"clerk-{revision}")["immutable"] is True
    assert ns.get("serviceaccount", "agent-clerk")["automountServiceAccountToken"] is False
    assert ns.get("networkpolicy", "agent-clerk")["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert ns.get("poddisruptionbudget", "agent-clerk")["spec"]["maxUnavailable"] == 1
    assert condition(agent, "Reconciling")["status"] == "False"
    assert agent["status"]["endpoints"]["invoke"].endswith(f"/agents/{ns.name}/clerk/invoke")


def test_an_agents_pod_holds_nothing_worth_stealing(ns: Namespace) -> None:
    """Inside the pod there is no token, no secret, no other user, and nothing writable but /tmp."""
    _ready(ns)
    looked = _run(
        ns,
        "import os, json\n"
        "skipped = ('/proc', '/sys', '/dev')\n"
        "writable = [d for d, _, _ in os.walk('/') if not d.startswith(skipped) and os.access(d, os.W_OK)]\n"
        "capabilities = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapBnd'))]\n"
        "seccomp = [l.split()[1] for l in open('/proc/self/status') if l.startswith('Seccomp:')]\n"
        "print(json.dumps({'uid': os.getuid(), 'writable': writable, 'capabilities': capabilities, 'seccomp': seccomp,"
        " 'token': os.path.exists('/var/run/secrets'), 'env': dict(os.environ)}))",
    )
    assert looked["uid"] == 65532
    assert [each for each in looked["writable"] if each != "/tmp" and not each.startswith("/tmp/")] == []
    assert set(looked["capabilities"]) == {"0000000000000000"}
    assert looked["seccomp"] == ["2"], "a seccomp filter is active"
    assert looked["token"] is False
    assert not [name for name in looked["env"] if "KEY" in name or "TOKEN" in name or "SECRET" in name]


def test_the_old_revision_serves_until_the_new_one_is_ready(ns: Namespace) -> None:
    """Changed instructions start a second revision; the first has a ready pod until the second serves, then goes."""
    first = _ready(ns)["status"]["revision"]["stable"]
    ns.apply(an_agent(ns.name, instructions="You are tested again."))
    gaps = 0
    until = time.monotonic() + 60
    # The pods are looked at before the status: if it still names the first revision after, they had to be there before.
    while time.monotonic() < until:
        found = [each for each in ns.list("deployments") if each["metadata"]["name"] == f"clerk-{first}"]
        if (agent := ns.agent())["status"]["revision"]["stable"] != first:
            break
        gaps += sum(each["status"].get("readyReplicas", 0) for each in found) < 1
    second = agent["status"]["revision"]["stable"]
    assert second not in {first, None}
    assert gaps == 0, "the first revision was not ready while it was still the stable one"
    eventually(lambda: ns.list("deployments"), lambda found: len(found) == 1)
    numbers = {each["metadata"]["name"]: each["revision"] for each in ns.list("controllerrevisions")}
    assert numbers == {f"clerk-{first}": 1, f"clerk-{second}": 2}


def test_a_broken_image_never_serves_and_the_old_revision_does(ns: Namespace) -> None:
    """An image that does not exist fails at the progress deadline; the status says why; the old revision serves on."""
    first = _ready(ns)["status"]["revision"]["stable"]
    ns.apply(an_agent(ns.name, runtime={"image": BROKEN}, rollout={"progressDeadline": "10s"}))
    during = ns.wait(lambda agent: "ImagePullBackOff" in condition(agent, "Reconciling")["message"])
    assert condition(during, "Available")["status"] == "True"
    after = ns.wait(is_("Stalled", "True", "ProgressDeadlineExceeded"))
    assert condition(after, "Ready")["reason"] == "ProgressDeadlineExceeded"
    assert BROKEN in condition(after, "Ready")["message"]
    assert condition(after, "Available")["status"] == "True"
    assert after["status"]["revision"]["stable"] == first
    assert len(after["status"]["revision"]["blocked"]) == 1
    eventually(lambda: ns.list("deployments"), lambda found: [each["status"]["readyReplicas"] for each in found] == [1])
    reasons = {each["reason"] for each in ns.list("events.events.k8s.io") if each["regarding"]["kind"] == "Agent"}
    assert {"RevisionCreated", "Promoted", "CandidateStarted", "RolloutFailed"} <= reasons
    ns.apply(an_agent(ns.name, rollout={"progressDeadline": "10s"}))
    back = ns.wait(is_("Ready", "True"))
    assert _who(back) == {"stable": first, "served": [first]}


def _who(agent: Manifest) -> Manifest:
    """Which revisions serve, are tried and are refused, apart from what they are made of."""
    return {name: each for name, each in agent["status"]["revision"].items() if name != "images"}


def test_suspend_stops_every_pod_and_resume_brings_them_back(ns: Namespace) -> None:
    """`suspend: true` leaves no pod; without it the same revision serves again."""
    first = _ready(ns)["status"]["revision"]["stable"]
    ns.kubectl("patch", "agent", "clerk", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    ns.wait(is_("Ready", "False", "Suspended"))
    eventually(lambda: ns.list("pods", "proctor.dev/agent=clerk"), lambda found: not found)
    ns.kubectl("patch", "agent", "clerk", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    assert ns.wait(is_("Available", "True"))["status"]["revision"]["stable"] == first


def test_kubectl_scale_changes_the_pods_and_not_the_revision(ns: Namespace) -> None:
    """The scale subresource sets the number of pods of the revision that serves."""
    first = _ready(ns)["status"]["revision"]["stable"]
    ns.kubectl("scale", "agent", "clerk", "--replicas=2")
    agent = ns.wait(lambda body: body["status"].get("readyReplicas") == 2 and is_("Ready", "True")(body))
    assert _who(agent) == {"stable": first, "served": [first]}
    assert json.loads(ns.kubectl("get", "agent", "clerk", "-o", "json"))["status"]["replicas"] == 2


def test_what_others_change_or_delete_is_put_right(ns: Namespace) -> None:
    """A widened NetworkPolicy is narrowed again, a deleted ServiceAccount is made again."""
    _ready(ns)
    before = ns.get("networkpolicy", "agent-clerk")["spec"]
    widened = json.dumps({"spec": {"egress": [{}]}})
    ns.kubectl("patch", "networkpolicy", "agent-clerk", "--type=merge", "-p", widened)
    eventually(lambda: ns.get("networkpolicy", "agent-clerk")["spec"], lambda spec: spec == before)
    old = ns.get("serviceaccount", "agent-clerk")["metadata"]["uid"]
    ns.kubectl("delete", "serviceaccount", "agent-clerk")
    eventually(
        lambda: ns.list("serviceaccounts"),
        lambda found: any(e["metadata"]["name"] == "agent-clerk" and e["metadata"]["uid"] != old for e in found),
    )


def test_what_is_missing_is_named_and_its_arrival_is_enough(ns: Namespace) -> None:
    """An Agent says which Connectors and which instructions are missing, and starts when they come."""
    spec = {
        "model": {"connector": "other", "name": "m"},
        "tools": [{"connector": "crm", "allow": ["get_customer"]}],
        "instructions": None,
        "instructionsFrom": {"configMapKeyRef": {"name": "words", "key": "text"}},
    }
    ns.apply(an_agent(ns.name, **spec))
    message = condition(ns.wait(is_("Stalled", "True")), "Stalled")["message"]
    for missing in ("Connector " + ns.name + "/other", "Connector " + ns.name + "/crm", f"ConfigMap {ns.name}/words"):
        assert missing in message
    assert ns.list("deployments") == []
    crm = {**a_model(ns.name, "crm"), "spec": {"type": "MCP", "url": "http://nobody.invalid/mcp"}}
    words = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "words", "namespace": ns.name},
        "data": {"text": "You are tested."},
    }
    ns.apply(words, a_model(ns.name, "other"), crm)
    ns.wait(is_("Ready", "True"), seconds=90)


def test_the_network_is_measured_and_the_status_says_what_was_found(cluster: Installed, ns: Namespace) -> None:
    """A probe pod behind the same fence tries to get out; the status carries its finding and its time."""
    _ready(ns)
    agent = ns.wait(lambda body: body["status"]["sandbox"]["networkIsolation"] != "Unknown")
    sandbox = agent["status"]["sandbox"]
    direct = _run(
        ns,
        "import json, os, socket\n"
        "def reach(host, port):\n"
        "    try: socket.create_connection((host, port), 3).close(); return True\n"
        "    except OSError: return False\n"
        "print(json.dumps(reach(os.environ['KUBERNETES_SERVICE_HOST'], 443)))",
    )
    assert sandbox["networkIsolation"] == ("NotEnforced" if direct else "Verified"), (
        "the status agrees with a pod's own try"
    )
    assert sandbox["probedAt"]
    assert condition(agent, "Isolated")["status"] == ("False" if direct else "True")


def test_a_foreign_network_policy_takes_the_proof_away(ns: Namespace) -> None:
    """NetworkPolicies add up: when another one selects the agent's pods, isolation is not claimed any more."""
    _ready(ns)
    before = ns.wait(lambda body: body["status"]["sandbox"]["networkIsolation"] != "Unknown")
    ns.apply({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "generous", "namespace": ns.name},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    })  # fmt: skip
    if before["status"]["sandbox"]["networkIsolation"] == "Verified":
        after = ns.wait(lambda body: body["status"]["sandbox"]["networkIsolation"] == "Unknown")
        assert "generous" in after["status"]["sandbox"]["message"]
    else:
        assert ns.agent()["status"]["sandbox"]["networkIsolation"] == "NotEnforced"


@pytest.mark.parametrize(
    ("sandbox", "field", "value"),
    [
        ({"profile": "Hardened"}, "hostUsers", False),
        ({"profile": "Isolated", "runtimeClassName": "runc-isolated"}, "runtimeClassName", "runc-isolated"),
    ],
    ids=["hardened", "isolated"],
)
def test_a_stronger_sandbox_really_runs(
    cluster: Installed, ns: Namespace, sandbox: Manifest, field: str, value: Any
) -> None:
    """Hardened pods have a user namespace, Isolated ones another RuntimeClass, and both serve."""
    if "runtimeClassName" in sandbox and "runc-isolated" not in cluster.kubectl("get", "runtimeclasses", "-o", "name"):
        _make_runtime_class(cluster)
    _ready(ns, sandbox=sandbox)
    pod = ns.list("pods", "proctor.dev/agent=clerk")[0]
    assert pod["spec"][field] == value
    if field == "hostUsers":
        inside = _run(ns, "import json; print(json.dumps(open('/proc/self/uid_map').read().split()))")
        assert inside != ["0", "0", "4294967295"], "uid 0 of the pod is not uid 0 of the node"


def _make_runtime_class(cluster: Installed) -> None:
    manifest = "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: runc-isolated}, handler: runc}"
    cluster.kubectl("apply", "-f", "-", stdin=manifest)


def test_a_missing_runtime_class_is_a_condition_and_not_a_pod(ns: Namespace) -> None:
    """Profile Isolated on a cluster without the RuntimeClass starts nothing and says which classes there are."""
    ns.apply(an_agent(ns.name, sandbox={"profile": "Isolated", "runtimeClassName": "no-such-class"}))
    agent = ns.wait(is_("Stalled", "True", "RuntimeClassNotFound"))
    assert "no-such-class" in condition(agent, "Stalled")["message"]
    assert ns.list("deployments") == []


def test_deletion_needs_no_operator(cluster: Installed, ns: Namespace, request: pytest.FixtureRequest) -> None:
    """With the operator away an Agent is deleted at once and its children follow; nothing hangs on a finalizer."""
    _ready(ns)
    request.getfixturevalue("no_operator")
    ns.kubectl("delete", "agent", "clerk", "--timeout=20s")
    for kind in ("deployments", "pods", "configmaps", "controllerrevisions", "networkpolicies"):
        eventually(lambda kind=kind: _ours(ns, kind), lambda found: not found, seconds=60)


def _ours(ns: Namespace, kind: str) -> list[Manifest]:
    return ns.list(kind, "app.kubernetes.io/managed-by=proctor")


def test_a_restarted_operator_writes_nothing_when_nothing_differs(cluster: Installed, ns: Namespace) -> None:
    """A new process looks at every Agent and sends no write."""
    for number in range(3):
        ns.apply(an_agent(ns.name, f"clerk-{number}"))
    for number in range(3):
        ns.wait(is_("Ready", "True"), f"clerk-{number}")
        ns.wait(lambda body: body["status"]["sandbox"]["networkIsolation"] != "Unknown", f"clerk-{number}")
    _scale_operator(cluster, 0)
    before = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in ns.list("agents.proctor.dev")}
    _scale_operator(cluster, 1)
    reconciled = eventually(
        lambda: _operator_metric(cluster, 'proctor_operator_reconciles_total{kind="Agent",result="ok"}'),
        lambda count: count >= 3,
    )
    time.sleep(3)
    assert reconciled >= 3
    assert _operator_metric(cluster, 'proctor_operator_writes_total{kind="Agent",verb="status"}') == 0
    assert _operator_metric(cluster, 'proctor_operator_writes_total{kind="Deployment",verb="apply"}') == 0
    after = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in ns.list("agents.proctor.dev")}
    assert after == before


def _operator_metric(cluster: Installed, series: str) -> float:
    pods = json.loads(
        cluster.kubectl(
            "-n", "proctor-system", "get", "pods", "-l", "app.kubernetes.io/name=proctor-operator", "-o", "json"
        )
    )["items"]
    name = next(pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    text = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/proctor-system/pods/{name}:8080/proxy/metrics")
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(series)), 0.0)


def test_an_operator_killed_in_mid_rollout_ends_what_it_began(cluster: Installed, ns: Namespace) -> None:
    """The operator dies while a candidate starts; the next process makes it stable, and nothing is left over."""
    first = _ready(ns)["status"]["revision"]["stable"]
    ns.apply(an_agent(ns.name, instructions="You are tested in mid-rollout."))
    ns.wait(lambda body: body["status"]["revision"].get("candidate") is not None)
    cluster.kubectl(
        "-n", "proctor-system", "delete", "pod", "-l", "app.kubernetes.io/name=proctor-operator",
        "--grace-period=0", "--force",
    )  # fmt: skip
    agent = ns.wait(lambda body: body["status"]["revision"].get("stable") not in {first, None}, seconds=90)
    assert agent["status"]["rollout"]["phase"] == "Settled"
    eventually(lambda: ns.list("deployments"), lambda found: len(found) == 1)


@pytest.mark.parametrize("kind", ["workflow", "workflowrun"])
def test_kinds_that_nothing_acts_on_say_so(ns: Namespace, kind: str) -> None:
    """An object of such a kind is kept, and its status says loudly that nothing acts on it."""
    manifest = manifests.load(f"{kind}-minimal")
    name = manifest["metadata"]["name"]
    ns.apply(manifest)
    try:
        kept = eventually(lambda: ns.get(f"{kind}.proctor.dev", name), is_("Stalled", "True"))
        assert condition(kept, "Ready")["reason"] == "NotActedOn"
    finally:
        ns.kubectl("delete", f"{kind}.proctor.dev", name)
