"""Tasks that are not live, on a real Kubernetes: replay, mirror, and exams, marked by a model or compared with stable.

What the systems behind the agent were asked is read from the systems themselves: they count their calls.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.forward import forwarded
from proctor_cluster.settings import Settings
from tests.e2e.asking import Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, condition
from tests.e2e.own_model import model_connector, scripted_model
from tests.e2e.recorded import rows

_SAMPLE = install.MANIFESTS / "samples" / "refunds-upgrade"
_PAYS = "Customer C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks, "
_DECLINES = "Customer C-1043 asks for a refund of order O-50043 (80 EUR): not needed, "
_PAUSE: Manifest = {"pause": {}}
_REHEARSED = (
    "SELECT t.purpose, t.revision, t.phase, COUNT(*) FROM tasks t WHERE t.namespace = 'support' "
    "AND t.agent = 'refunds' AND t.purpose = :purpose AND (t.revision = :candidate OR t.created_at >= :since) "
    "GROUP BY 1, 2, 3"
)
_EFFECTS = (
    "SELECT c.state, c.touched, COUNT(*) FROM calls c JOIN tasks t ON t.id = c.task WHERE t.namespace = 'support' "
    "AND t.agent = 'refunds' AND t.purpose = :purpose AND t.revision = :candidate AND c.name = 'refund' GROUP BY 1, 2"
)
_JUDGE = """
models: [judge-1]
rules:
  - name: no-apology
    when: {task: {contains: apologises, lacks: sorry}}
    then: {text: '{"pass": false, "score": 0.1, "reason": "there is no apology"}'}
  - {name: fine, when: {turn: 0}, then: {text: '{"pass": true, "score": 0.9, "reason": "well said"}'}}
"""
_MILD, _STRICT = "The reason says what was decided.", "Whoever is declined is told why, and one apologises."
_SUITE = """
name: judged
judge: {{connector: judge, model: judge-1}}
cases:
  - name: too-old
    inputs: "Customer C-1043 asks for a refund of order O-50043 (80 EUR): not needed"
    evaluators: [{{LLMJudge: "{rubric}"}}]
  - name: eligible
    inputs: "Customer C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks"
    evaluators: [{{LLMJudge: The reason says what was paid.}}]
"""


@pytest.fixture(scope="module")
def shop(cluster: Installed, settings: Settings) -> Iterator[Namespace]:
    """The sample of upgrades, which serves; an upgrade of it begins with no step."""
    install.apply(settings, cluster.cluster, _SAMPLE, cluster.images)
    install.wait_for_rollout(cluster.cluster, "demo-systems")
    found = Namespace(cluster.kubectl, "support")
    found.wait(lambda it: condition(it, "Ready")["status"] == "True", "refunds", 180)
    yield found
    # Two writers had a part in its spec: who applies the plain sample next begins with a new object.
    found.kubectl("delete", "agent", "refunds", "--wait")


@pytest.fixture(scope="module")
def web(cluster: Installed, shop: Namespace) -> Iterator[Caller]:
    """The web shop, which may ask."""
    caller = Caller(cluster.cluster, "shop", "web")
    yield caller
    caller.close()


def _ask(web: Caller, question: str, mark: str, count: int) -> list[Manifest]:
    """So many live tasks, one after the other, and how they ended."""
    answers = [web.invoke("support", "refunds", f"{question}{mark} {number}").body for number in range(count)]
    assert {each["phase"] for each in answers} == {"Succeeded"}
    return answers


def _read(cluster: Installed, system: str, key: str, path: str, namespace: str = "demo-systems") -> Manifest:
    """What the system says of itself."""
    with forwarded(cluster.cluster, namespace, f"service/{system}", 8000) as address:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        found: Manifest = json.loads(connection.getresponse().read())
        connection.close()
        return found


def _counts(cluster: Installed) -> dict[str, int]:
    """How often each tool was called, by the systems' own count."""
    crm = _read(cluster, "crm", "demo-crm-key", "/calls")
    return {**crm, **_read(cluster, "payments", "demo-payments-key", "/calls")}


def _more(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def _try(shop: Namespace, candidate: str, steps: list[Manifest], **spec: object) -> str:
    """Somebody applies a candidate of the sample, with these steps; the revision that it makes."""
    before = shop.agent("refunds")["status"]["revision"]
    change = yaml.safe_load((_SAMPLE / "candidates" / f"{candidate}.yaml").read_text())
    change["spec"] |= {"rollout": {"steps": steps, "abortScaleDownDelay": "1s", "progressDeadline": "120s"}, **spec}
    shop.kubectl("patch", "agent", "refunds", "--type=merge", "-p", yaml.safe_dump(change))
    known = {None, before["stable"], before.get("candidate")}
    found: str = shop.wait(lambda it: it["status"]["revision"].get("candidate") not in known, "refunds")["status"][
        "revision"
    ]["candidate"]
    return found


def _in(shop: Namespace, phase: str, seconds: float = 120) -> Manifest:
    """The rollout as soon as it is in that phase."""
    agent = shop.wait(lambda it: it["status"]["rollout"]["phase"] == phase, "refunds", seconds)
    found: Manifest = agent["status"]["rollout"]
    return found


@pytest.mark.timeout(300, func_only=True)
def test_replay_and_mirror_leave_no_trace_outside(cluster: Installed, shop: Namespace, web: Caller) -> None:
    """Finished tasks run again on both revisions and ask nobody; copies of live tasks read, but pay nothing."""
    _ask(web, _PAYS, "to be replayed", 4)
    _ask(web, _DECLINES, "to be replayed", 2)
    before, stable = _counts(cluster), shop.agent("refunds")["status"]["revision"]["stable"]
    since = rows(cluster, "SELECT MAX(created_at) FROM tasks")[0][0]
    candidate = _try(
        shop, "polite", [{"replay": {"tasks": 6}}, {"mirror": {"percent": 100, "minTasks": 5}}, _PAUSE], evals=[]
    )

    replay = _in(shop, "Mirroring")["replay"]
    assert (replay["state"], replay["pairs"], replay["unusable"]) == ("Passed", 6, 0)
    assert not _more(_counts(cluster), before), "a replay asks nobody"
    about = {"candidate": candidate, "since": since}
    ran = {tuple(each) for each in rows(cluster, _REHEARSED, purpose="Replay", **about)}
    assert ran == {("Replay", stable, "Succeeded", 6), ("Replay", candidate, "Succeeded", 6)}
    assert rows(cluster, _EFFECTS, purpose="Replay", candidate=candidate) == [["Succeeded", 0, 4]]

    answers = _ask(web, _PAYS, "to be mirrored", 5)
    _in(shop, "Paused")
    assert {each["revision"] for each in answers} == {stable}
    assert {each["output"]["decision"] for each in answers} == {"approve"}
    # Each task and its copy looked up customer and order; only the task itself paid.
    assert _more(_counts(cluster), before) == {"get_customer": 10, "get_order": 10, "refund": 5}
    copies = {tuple(each) for each in rows(cluster, _REHEARSED, purpose="Mirror", **about)}
    assert copies == {("Mirror", candidate, "Succeeded", 5)}
    assert rows(cluster, _EFFECTS, purpose="Mirror", candidate=candidate) == [["Succeeded", 0, 5]]
    listed = web.ask("GET", "/agents/support/refunds/tasks?limit=100").body["items"]
    assert {each["purpose"] for each in listed} == {"Live"}
    assert {each["id"] for each in answers} <= {each["id"] for each in listed}


@pytest.mark.timeout(300, func_only=True)
def test_a_replay_says_how_many_pairs_were_of_no_use(cluster: Installed, shop: Namespace, web: Caller) -> None:
    """A candidate that asks what no original asked has nothing to be compared by: the upgrade is held, and says so."""
    _ask(web, _PAYS, "to be replayed", 2)
    before = _counts(cluster)
    _try(shop, "generous", [{"replay": {"tasks": 4}}, _PAUSE], evals=[])
    rollout = _in(shop, "Held")
    assert (rollout["replay"]["pairs"], rollout["replay"]["unusable"]) == (0, 4)
    assert "4 pairs were of no use" in rollout["message"]
    assert not _more(_counts(cluster), before), "what no record answers is not asked for real"


def _suite(rubric: str) -> Manifest:
    metadata = {"name": "judged", "namespace": "support"}
    data = {"suite.yaml": _SUITE.format(rubric=rubric)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.mark.timeout(300, func_only=True)
def test_a_judge_marks_the_exam_and_never_learns_whose_it_is(cluster: Installed, shop: Namespace) -> None:
    """Another Connector's model says if an answer is good enough: what it passes goes on, what it fails is refused."""
    shop.apply(*scripted_model("support", cluster.images["proctor-demo"], _JUDGE))
    judge = next(each for each in model_connector("support") if each["metadata"]["name"] == "llm")
    judge["metadata"]["name"] = "judge"
    shop.apply(judge, _suite(_MILD))
    shop.kubectl("rollout", "status", "deployment/model", "--timeout=90s")
    shop.kubectl("wait", "--for=condition=Ready", "connector/judge", "--timeout=90s")
    evals = [{"name": "judged", "configMapRef": {"name": "judged"}, "minPass": "1"}]
    try:
        passed = _try(shop, "polite", [{"evals": {}}, _PAUSE], evals=evals)
        exam = _in(shop, "Paused")["exams"][0]
        assert (exam["state"], exam["passed"], exam["cases"]) == ("Passed", 2, 2)
        shop.apply(_suite(_STRICT))
        failed = _try(shop, "generous", [{"evals": {}}, _PAUSE], evals=evals)
        agent = shop.wait(
            lambda it: it["status"]["rollout"].get("lastOutcome", {}).get("revision") == failed, "refunds", 120
        )
        outcome = agent["status"]["rollout"]["lastOutcome"]
        assert (outcome["type"], outcome["reason"], outcome["exposed"]) == ("Failed", "ExamFailed", 0)
        assert "too-old" in outcome["message"]
        assert "the judge says: there is no apology" in outcome["message"]
        asked = json.dumps(_read(cluster, "model", "demo-model-key", "/requests", "support"))
        assert _MILD in asked
        assert _STRICT in asked
        assert not [each for each in (passed, failed, "andidate") if each in asked]
    finally:
        shop.kubectl(
            "delete", "deployment/model", "service/model", "configmap/model", "configmap/judged", "secret/keys"
        )
        shop.kubectl("delete", "connector/judge", "--ignore-not-found")


def _compared(lost: int) -> Manifest:
    """An exam of five cases that whoever pays passes, and so many that only the careful do."""
    cases = [
        {
            "name": f"eligible-{number}",
            "inputs": f"{_PAYS}{number}",
            "evaluators": [{"MustCall": {"connector": "payments", "tool": "refund", "times": 1}}],
        }
        for number in range(5)
    ]
    cases += [
        {"name": f"too-old-{number}", "inputs": f"{_DECLINES}{number}", "evaluators": [{"MustNotCall": "payments"}]}
        for number in range(lost)
    ]
    metadata = {"name": "compared", "namespace": "support"}
    data = {"suite.yaml": yaml.safe_dump({"name": "compared", "cases": cases})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.mark.timeout(300, func_only=True)
def test_an_exam_is_compared_with_what_serves(cluster: Installed, shop: Namespace) -> None:
    """All reach minPass: four lost cases may be chance, five refuse a candidate, and one that loses none goes on."""
    evals = [{"name": "compared", "configMapRef": {"name": "compared"}, "minPass": "0.5"}]
    steps: list[Manifest] = [{"evals": {}}, _PAUSE]
    stable, before = shop.agent("refunds")["status"]["revision"]["stable"], _counts(cluster)
    try:
        shop.apply(_compared(4))
        _try(shop, "generous", steps, evals=evals, instructions="Trust the customer, at first.")
        exam = _in(shop, "Paused")["exams"][0]
        assert (exam["state"], exam["passed"], exam["cases"], exam["baseline"]) == ("Passed", 5, 9, "1")
        assert (len(exam["regressed"]), exam["chance"]) == (4, "0.0625")

        shop.apply(_compared(5))
        worse = _try(shop, "generous", steps, evals=evals)
        refused = shop.wait(
            lambda it: it["status"]["rollout"].get("lastOutcome", {}).get("revision") == worse, "refunds", 120
        )["status"]
        outcome, exam = refused["rollout"]["lastOutcome"], refused["rollout"]["exams"][0]
        assert (outcome["type"], outcome["reason"], outcome["exposed"]) == ("Failed", "ExamFailed", 0)
        assert (exam["state"], exam["passed"], exam["cases"], exam["chance"]) == ("Failed", 5, 10, "0.0312")
        assert exam["regressed"] == [f"too-old-{number}" for number in range(5)]
        assert (refused["revision"]["stable"], refused["revision"]["blocked"]) == (stable, [worse])
        told = {each["note"] for each in shop.list("events.events.k8s.io") if each["reason"] == "ExamRegressed"}
        assert any(note.startswith(f"{worse} no longer passes too-old-0") for note in told), told

        _try(shop, "polite", steps, evals=evals)
        exam = _in(shop, "Paused")["exams"][0]
        assert (exam["state"], exam["passed"], exam["baseline"], exam["chance"]) == ("Passed", 10, "1", "1")
        assert "refund" not in _more(_counts(cluster), before), "an exam pays nothing"
    finally:
        shop.kubectl("delete", "configmap/compared", "--ignore-not-found")
