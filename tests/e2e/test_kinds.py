"""The kinds on a real API server: what it refuses and why, what it fills in, and what `kubectl` shows of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from proctor.api import kinds, names
from proctor.api.schema import definition
from proctor_cluster.cluster import Cluster
from tests.api import manifests
from tests.e2e.faults import FAULTS, Fault

pytestmark = pytest.mark.usefixtures("operator_away")

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


class Api:
    """The kinds of one API server, seen from one namespace."""

    def __init__(self, cluster: Cluster, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self._cluster = cluster
        self._objects = kubernetes.client.CustomObjectsApi(client)
        self.namespace = namespace

    def create(self, manifest: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create the object under strict field validation. Raises ApiException."""
        options = {"field_validation": "Strict"} | ({"dry_run": "All"} if dry_run else {})
        kind = kinds.named(manifest["kind"])
        where = (names.GROUP, names.VERSION)
        if kind.scope is kinds.Scope.CLUSTER:
            return dict(self._objects.create_cluster_custom_object(*where, kind.plural, manifest, **options))
        made = self._objects.create_namespaced_custom_object(*where, self.namespace, kind.plural, manifest, **options)
        return dict(made)

    def merge(self, manifest: dict[str, Any], *, status: bool = False) -> dict[str, Any]:
        """Merge the manifest into the object of its name, or into the object's status alone. Raises ApiException."""
        patch = self._objects.patch_namespaced_custom_object
        if status:
            patch = self._objects.patch_namespaced_custom_object_status
        kind = kinds.named(manifest["kind"])
        name = manifest["metadata"]["name"]
        return dict(patch(names.GROUP, names.VERSION, self.namespace, kind.plural, name, manifest))

    def report(self, manifest: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        """Write the object's status, as the operator does."""
        return self.merge({key: manifest[key] for key in ("kind", "metadata")} | {"status": status}, status=True)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """The output of kubectl in the namespace."""
        return self._cluster.kubectl("--namespace", self.namespace, *args, stdin=stdin)


@pytest.fixture(scope="module")
def client(bare_cluster: Cluster) -> Iterator[kubernetes.client.ApiClient]:
    """A way into an API server that knows the kinds as this tree has them."""
    bare_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "manifests" / "crds"))
    for kind in kinds.ALL:
        bare_cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind.plural}.{names.GROUP}")
    with kubernetes.config.new_client_from_config(str(bare_cluster.kubeconfig), bare_cluster.context) as client:
        yield client


@pytest.fixture(scope="module")
def dry(bare_cluster: Cluster, client: kubernetes.client.ApiClient) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What the API server would store; nothing remains."""
    api = Api(bare_cluster, client, "default")
    return lambda manifest: api.create(manifest, dry_run=True)


@pytest.fixture
def api(bare_cluster: Cluster, client: kubernetes.client.ApiClient, namespace: str) -> Api:
    """The kinds in a namespace of the test's own."""
    return Api(bare_cluster, client, namespace)


def refusal_of(action: Callable[[], object]) -> str:
    """The message with which the API server refuses."""
    with pytest.raises(kubernetes.client.ApiException) as refused:
        action()
    assert refused.value.status in {400, 422}, refused.value.body
    return str(json.loads(refused.value.body)["message"])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.base}: {fault.what}")
def test_a_fault_is_refused(dry: Callable[..., dict[str, Any]], fault: Fault) -> None:
    """Whoever writes a fault reads which field is wrong, and why."""
    message = refusal_of(lambda: dry(fault.manifest()))
    assert fault.field in message
    assert fault.reason in message


def test_a_refusal_does_not_repeat_a_password(dry: Callable[..., dict[str, Any]]) -> None:
    """Refusals end up in the logs of pipelines, so a credential in a URL is not part of them."""
    manifest = manifests.changed(manifests.load("connector-minimal"), {"spec.url": "https://user:hunter2@llm/v1"})
    assert "hunter2" not in refusal_of(lambda: dry(manifest))


@pytest.mark.parametrize("name", manifests.NAMES)
def test_a_valid_manifest_is_accepted_and_means_the_same(dry: Callable[..., dict[str, Any]], name: str) -> None:
    """With the API server's defaults or with proctor's own, the manifest is the same model."""
    manifest = manifests.load(name)
    model = kinds.named(manifest["kind"]).model
    assert model.parse(dry(manifest)).model_dump()["spec"] == model.parse(manifest).model_dump()["spec"]


DEFAULTS = {
    "agent-minimal": {
        "riskTier": "Limited",
        "suspend": False,
        "limits": {"timeout": "1m", "maxSteps": 12},
        "runtime": {"replicas": 1, "concurrency": 8, "env": []},
        "tools": [],
        "slos": [],
        "evals": [],
        "sandbox": {"profile": "Standard"},
        "rollout": {
            "analysis": {
                "alpha": "0.05",
                "beta": "0.10",
                "exposure": {"maxCandidateTasks": 200},
                "maxDuration": "7d",
                "maxTasks": 2000,
                "metrics": [],
                "onInconclusive": "Hold",
                "taskDeadline": "15m",
            },
            "rollback": {"drain": "10m", "watch": {"for": "2d", "runLength": 5000}, "window": 3},
            "scaleDownDelay": "30s",
            "abortScaleDownDelay": "30s",
            "progressDeadline": "10m",
            "historyLimit": 10,
        },
    },
    "connector-minimal": {"limits": {"timeout": "30s"}, "prices": [], "tools": []},
    "policy-minimal": {
        "budgets": [],
        "expressions": [],
        "exceptions": [],
        "staleReads": "Deny",
        "sandbox": {"minimumProfile": "Hardened", "requireVerifiedIsolation": False},
    },
    "clusterpolicy-minimal": {
        "budgets": [],
        "expressions": [],
        "exceptions": [],
        "staleReads": "Deny",
        "sandbox": {"minimumProfile": "Hardened", "requireVerifiedIsolation": False},
    },
    "approval-minimal": {"quorum": 1, "fourEyes": True, "onTimeout": "Deny"},
    "workflow-minimal": {
        "suspend": False,
        "limits": {"deadline": "1d", "parallelism": 10, "maxSteps": 1000},
        "retention": {"ttl": {"succeeded": "7d", "failed": "30d"}, "archive": False},
        "triggers": [],
        "finally": [],
    },
    "workflowrun-minimal": {"priority": 0},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_object_says_all_that_it_means(dry: Callable[..., dict[str, Any]], name: str) -> None:
    """The API server writes these defaults into the object, and no other field that nobody set."""
    manifest = manifests.load(name)
    assert dry(manifest)["spec"] == manifest["spec"] | DEFAULTS[name]


def test_defaults_do_not_reach_below_a_list(dry: Callable[..., dict[str, Any]]) -> None:
    """A tool that was declared by its name alone is stored so: a client that compares lists sees no difference."""
    manifest = manifests.changed(manifests.load("connector-maximal"), {"spec.tools": [{"name": "refund"}]})
    assert dry(manifest)["spec"]["tools"] == [{"name": "refund"}]


NASTY = (
    *(
        "",
        " ",
        "\n",
        "a\n",
        "A",
        "a",
        "a.b",
        "-a",
        "0",
        "00",
        "0.0",
        "0.5",
        ".5",
        "1",
        "1.0",
        "1e3",
        "-1",
        "100",
        "99.99",
    ),
    *("0s", "10s", "10s\n", "1h30m", "1m1h", "999999999d", "99999d", "1.5h", "90d", "2160h", "2161h", "89d24h"),
    *("Europe/Berlin", "UTC", "europe", "@daily", "* * * * *", "*/15 0-6,8 1 JAN SUN", "60 * * * *", "5/0 * * * *"),
    *(
        "2027-01-01T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-01-01t00:00:00z",
        "2027-01-01T24:00:00Z",
        "0000-01-01T00:00:00Z",
    ),
    *(
        "9999-12-31T23:59:59-23:59",
        "2027-01-01T00:00:00.123456789Z",
        "2027-02-30T00:00:00Z",
        "2027-01-01T00:00:00+24:00",
    ),
    *(
        "http://a",
        "https://a:99999/b",
        "http://a b",
        "http://[::1]/",
        "http://ä",
        "ä",
        "\u00a0",
        "\x00",
        "💥" * 40,
        "a" * 70,
    ),
)


def texts(value: object, at: str = "") -> Iterator[str]:
    """The paths of all texts in a part of a manifest."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from texts(each, f"{at}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from texts(each, f"{at}[{index}]")
    elif isinstance(value, str):
        yield at.removeprefix(".")


@pytest.mark.parametrize("name", [name for name in manifests.NAMES if "minimal" not in name])
def test_what_the_api_server_accepts_proctor_can_read(dry: Callable[..., dict[str, Any]], name: str) -> None:
    """No text in any field passes the API server and then stops the operator: both know the same grammar."""
    manifest = manifests.load(name)
    model = kinds.named(manifest["kind"]).model
    # Each field gets three of the texts, each text meets many fields; the parts of map keys with dots are left out.
    turns = itertools.cycle(NASTY)
    for path in texts(manifest["spec"], "spec"):
        if any("." in key for key in path.split(".")) or "matchLabels" in path:
            continue
        for text in itertools.islice(turns, 3):
            try:
                accepted = dry(manifests.changed(manifest, {path: text}))
            except kubernetes.client.ApiException as refused:
                assert refused.status in {400, 422}, (path, text, refused.body)  # noqa: PT017 - any other is no refusal
            else:
                model.parse(accepted)


_SLO = {"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}
# The manifest without the list; the list's path; its item; what somebody else changes in it.
KEYED: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("agent-minimal", "spec.tools", {"connector": "crm", "allow": ["get_order"]}, {"allow": ["get_order", "find"]}),
    ("agent-minimal", "spec.runtime.env", {"name": "LEVEL", "value": "info"}, {"value": "debug"}),
    ("agent-minimal", "spec.slos", _SLO, {"target": "95"}),
    ("agent-minimal", "spec.evals", {"name": "golden", "configMapRef": {"name": "exam"}}, {"minPass": "0.9"}),
    ("agent-minimal", "spec.rollout.analysis.metrics", {"name": "answered", "margin": "0.1"}, {"margin": "0.2"}),
    (
        "connector-minimal",
        "spec.prices",
        {"model": "m", "inputPerMillion": "1", "outputPerMillion": "1"},
        {"inputPerMillion": "2"},
    ),
    ("policy-minimal", "spec.budgets", {"name": "task", "per": "Task", "cost": "0.20"}, {"cost": "0.10"}),
    ("policy-minimal", "spec.expressions", {"name": "no", "expression": "true", "message": "a"}, {"message": "b"}),
    (
        "policy-minimal",
        "spec.rollout.freeze",
        {"name": "year", "reason": "a", "once": {"from": "2026-12-24T00:00:00Z", "until": "2027-01-01T00:00:00Z"}},
        {"reason": "b"},
    ),
)


@pytest.mark.parametrize(("name", "path", "item", "change"), KEYED, ids=[each[1] for each in KEYED])
def test_a_list_that_two_had_a_part_in_can_be_taken_away(
    api: Api, name: str, path: str, item: dict[str, Any], change: dict[str, Any]
) -> None:
    """Who applied it takes it away after somebody patched a field of its item: what is left is an empty list."""
    given = {"spec.slos": [_SLO]} if path.endswith("metrics") else {}
    without = manifests.changed(manifests.load(name), given)
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    api.kubectl(*apply, stdin=json.dumps(manifests.changed(without, {path: [item]})))
    api.merge(manifests.changed(without, {path: [item | change]}))
    api.kubectl(*apply, stdin=json.dumps(without))
    kind = kinds.named(without["kind"])
    found = json.loads(api.kubectl("get", f"{kind.plural}.{names.GROUP}", without["metadata"]["name"], "-o", "json"))
    for step in path.split("."):
        found = found[step]
    assert found == []
    kind.model.parse(manifests.changed(without, {path: []}))


@pytest.mark.parametrize("name", ["workflowrun-minimal", "approval-minimal"])
def test_what_was_asked_cannot_be_changed(api: Api, name: str) -> None:
    """A run and a question stay what they were when they began; a new one is made instead."""
    manifest = manifests.load(name)
    api.create(manifest)
    message = refusal_of(lambda: api.merge(manifest | {"spec": {"requestedBy": "someone else"}}))
    assert "spec: " in message
    assert "immutable" in message
    api.merge(manifest | {"metadata": manifest["metadata"] | {"labels": {"seen": "true"}}})


def vote(**changes: str) -> dict[str, Any]:
    """A vote that the minimal Approval accepts, but for the changes."""
    return {"user": "jane@example.com", "decision": "Approve", "digest": DIGEST} | changes


BALLOTS = (
    ("an answer that is no option", {"votes": [vote(decision="Perhaps")]}, "must be one of spec.options"),
    ("a decision that is no option", {"decision": "Perhaps"}, "must be one of spec.options"),
    ("a vote on something else", {"votes": [vote(digest="sha256:" + "f" * 64)]}, "must be spec.subject.digest"),
    ("a vote of one who may not", {"votes": [vote(user="max@example.com")]}, "must not be one of spec.notBy"),
    ("a vote of the one who asks", {"votes": [vote(user="joe@example.com")]}, "must not be spec.requestedBy"),
    ("two votes of one person", {"votes": [vote(), vote()]}, "Duplicate value"),
)


@pytest.mark.parametrize(("what", "status", "reason"), BALLOTS, ids=[each[0] for each in BALLOTS])
def test_an_approval_accepts_no(api: Api, what: str, status: dict[str, Any], reason: str) -> None:
    """The API server itself holds who may answer, with which answers, to what exactly."""
    asked = {"spec.requestedBy": "joe@example.com", "spec.notBy": ["max@example.com"]}
    manifest = manifests.changed(manifests.load("approval-minimal"), asked)
    api.create(manifest)
    assert reason in refusal_of(lambda: api.report(manifest, status)), what


def test_a_decision_is_final(api: Api) -> None:
    """Neither a vote nor a decision is changed or taken back; more votes may come."""
    manifest = manifests.load("approval-minimal")
    api.create(manifest)
    api.report(manifest, {"phase": "Decided", "votes": [vote()], "decision": "Approve"})
    assert "final" in refusal_of(lambda: api.report(manifest, {"decision": "Reject"}))
    assert "final" in refusal_of(lambda: api.report(manifest, {"decision": None}))
    assert "final" in refusal_of(lambda: api.report(manifest, {"votes": [vote(decision="Reject")]}))
    assert "final" in refusal_of(lambda: api.report(manifest, {"votes": []}))
    api.report(manifest, {"votes": [vote(), vote(user="ann@example.com", decision="Reject")]})


def test_a_run_that_has_ended_stays_ended(api: Api) -> None:
    """Only a failed run goes on, and only by a retry that is counted."""
    manifest = manifests.load("workflowrun-minimal")
    api.create(manifest)
    api.report(manifest, {"phase": "Running"})
    api.report(manifest, {"phase": "Failed"})
    assert "phase is final" in refusal_of(lambda: api.report(manifest, {"phase": "Running"}))
    api.report(manifest, {"phase": "Running", "retries": 1})
    api.report(manifest, {"phase": "Succeeded"})
    assert "phase is final" in refusal_of(lambda: api.report(manifest, {"phase": "Running", "retries": 2}))


def test_status_is_no_part_of_what_is_declared(api: Api) -> None:
    """Whoever may write an Agent's spec cannot claim that it is ready."""
    manifest = manifests.load("agent-minimal")
    assert "status" not in api.create(manifest | {"status": {"readyReplicas": 7}})


def filled(schema: dict[str, Any]) -> Any:
    """A value that sets every field of a schema."""
    if "properties" in schema:
        return {name: filled(each) for name, each in schema["properties"].items()}
    if "additionalProperties" in schema:
        return {"a": filled(schema["additionalProperties"])}
    if "items" in schema:
        return [filled(schema["items"])]
    if schema.get("type") == "string":
        special = "0.5" if "x-kubernetes-validations" in schema else "Seen"
        return (
            schema["enum"][0]
            if "enum" in schema
            else {"date-time": "2026-11-22T18:00:00Z"}.get(schema.get("format", ""), special)
        )
    return {"integer": 1, "boolean": True, "object": {"any": 1}}.get(schema.get("type", ""), [1])


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.name)
def test_all_that_is_reported_is_stored(api: Api, kind: kinds.Kind) -> None:
    """No field of a status is dropped by the API server, nor by the model that reads it."""
    manifest = manifests.load(f"{kind.singular}-minimal")
    manifest["metadata"]["name"] = api.namespace
    version = definition(kind)["spec"]["versions"][0]
    status = filled(version["schema"]["openAPIV3Schema"]["properties"]["status"])
    if kind is kinds.APPROVAL:
        status |= {"decision": "Approve", "votes": [status["votes"][0] | {"decision": "Approve", "digest": DIGEST}]}
    api.create(manifest)
    try:
        api.kubectl(
            "patch",
            kind.plural,
            api.namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": status}),
        )
        stored = json.loads(api.kubectl("get", kind.plural, api.namespace, "-o", "json"))
        assert stored["status"] == status
        assert kind.model.parse(stored).status.dump() == status
    finally:
        api.kubectl("delete", kind.plural, api.namespace, "--wait=false")


def test_conditions_of_two_writers_stand_side_by_side(api: Api) -> None:
    """Conditions are told apart by their type, so server-side apply of one leaves the other."""
    manifest = manifests.load("agent-minimal")
    api.create(manifest)
    for writer, type_ in (("one", "Ready"), ("two", "Isolated")):
        condition = {"type": type_, "status": "True", "reason": "Seen", "lastTransitionTime": "2026-11-22T18:00:00Z"}
        applied = {key: manifest[key] for key in ("apiVersion", "kind", "metadata")} | {
            "status": {"conditions": [condition]}
        }
        args = ("apply", "--server-side", "--subresource=status", f"--field-manager={writer}", "-f", "-")
        api.kubectl(*args, stdin=json.dumps(applied))
    found = api.kubectl("get", "agent", "refunds", "-o", "jsonpath={.status.conditions[*].type}")
    assert sorted(found.split()) == ["Isolated", "Ready"]


def test_an_agent_scales_like_a_deployment(api: Api) -> None:
    """`kubectl scale` and an autoscaler read and write the wish, and read what is, without knowing an Agent."""
    manifest = manifests.load("agent-minimal")
    api.create(manifest)
    api.report(manifest, {"replicas": 1, "selector": "proctor.dev/agent=refunds"})
    scale = json.loads(api.kubectl("get", "agent", "refunds", "--subresource=scale", "-o", "json"))
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 1, "selector": "proctor.dev/agent=refunds"}
    api.kubectl("scale", "agent", "refunds", "--replicas=3")
    assert api.kubectl("get", "ag", "refunds", "-o", "jsonpath={.spec.runtime.replicas}") == "3"


def test_kubectl_get_answers_the_first_question(api: Api) -> None:
    """Is it ready, if not why, and what serves: one line, and more of it with -o wide."""
    manifest = manifests.load("agent-minimal")
    api.create(manifest)
    ready = {"type": "Ready", "status": "False", "reason": "ImagePullFailed", "message": "No such image."}
    api.report(
        manifest,
        {
            "conditions": [ready | {"lastTransitionTime": "2026-11-22T18:00:00Z"}],
            "revision": {"stable": "0a1b2c3d4e", "candidate": "4e3d2c1b0a"},
            "readyReplicas": 2,
            "sandbox": {"profile": "Standard", "networkIsolation": "Verified"},
        },
    )
    shown = api.kubectl("get", "agents").splitlines()
    upgrade = ["PHASE", "STABLE", "CANDIDATE", "WEIGHT", "VERDICT"]
    assert shown[0].split() == ["NAME", "READY", "REASON", *upgrade, "PODS", "SLO", "BUDGET", "ISOLATION", "AGE"]
    assert shown[1].split()[:-1] == ["refunds", "False", "ImagePullFailed", "0a1b2c3d4e", "4e3d2c1b0a", "2", "Verified"]
    wide = api.kubectl("get", "agents", "-o", "wide")
    for each in ("MODEL", "gpt-5-mini", "OWNER", "support-platform", "RISK", "Limited", "MESSAGE", "No such image."):
        assert each in wide


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.name)
def test_every_kind_has_its_columns_and_its_short_name(api: Api, kind: kinds.Kind) -> None:
    """`kubectl get <short name> -o wide` shows every column of the registry, in its order."""
    manifest = manifests.load(f"{kind.singular}-maximal")
    manifest["metadata"]["name"] = api.namespace
    api.create(manifest)
    try:
        header = api.kubectl("get", kind.short, api.namespace, "-o", "wide").splitlines()[0]
        shown = [column.name.upper() for column in sorted(kind.columns, key=lambda column: column.wide)]
        assert header.split() == " ".join(["NAME", *shown]).split()
    finally:
        api.kubectl("delete", kind.short, api.namespace, "--wait=false")


def test_one_word_shows_all_that_is_proctors(api: Api) -> None:
    """`kubectl get proctor` and `kubectl get all` list objects of every namespaced kind."""
    named = {kind: manifests.load(f"{kind.singular}-minimal") for kind in kinds.ALL if kind is not kinds.CLUSTER_POLICY}
    for manifest in named.values():
        api.create(manifest)
    for category in ("proctor", "all"):
        found = set(api.kubectl("get", category, "-o", "name").split())
        assert {f"{kind.singular}.{names.GROUP}/{body['metadata']['name']}" for kind, body in named.items()} <= found


def test_kubectl_explain_knows_what_a_field_is_for(api: Api) -> None:
    """The words of the models reach the one who asks at the terminal."""
    assert "The intended use." in api.kubectl("explain", "agent.spec.purpose")
    assert "What undoes it when a later step fails." in api.kubectl("explain", "agwf.spec.steps.compensate")
