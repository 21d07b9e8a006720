"""kubectl proctor against a real API server: what it foretells comes true, and what it says of others' rights holds."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor_cluster.settings import Settings
from tests.e2e import refunds
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, a_model, an_agent, eventually, is_
from tests.e2e.refunds import Done, environment, shell

Run = Callable[..., Done]


@pytest.fixture
def ns(cluster: Installed, new_namespace: Any) -> Namespace:
    """A namespace with a Connector in it."""
    namespace = Namespace(cluster.kubectl, new_namespace())
    namespace.apply(a_model(namespace.name))
    return namespace


@pytest.fixture
def run(cluster: Installed, ns: Namespace) -> Run:
    """Runs kubectl proctor in the test's namespace."""

    def start(words: str, kubeconfig: str | None = None) -> Done:
        return shell(cluster, f"kubectl proctor {words} -n {ns.name}", kubeconfig=kubeconfig)

    return start


def _program(cluster: Installed) -> str:
    found = shutil.which("kubectl-proctor", path=environment(cluster)["PATH"])
    assert found
    return found


def _plan(run: Run, tmp_path: Path, *bodies: Manifest) -> tuple[Done, Any]:
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump_all(bodies, sort_keys=False))
    done = run(f"plan -f {file} -o json")
    return done, json.loads(done.out)


def _owned(ns: Namespace, kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in ns.list(kind, "proctor.dev/agent=clerk")}


def test_what_a_plan_foretells_comes_true(ns: Namespace, run: Run, tmp_path: Path) -> None:
    """The revision and every object of the plan are what the operator then makes; the same plan again is empty."""
    first = an_agent(ns.name)
    done, told = _plan(run, tmp_path, first)
    assert done.code == 3, done.told
    forecast = told["manifests"][0]["agent"]
    ns.apply(first)
    agent = ns.wait(is_("Ready", "True"))
    assert agent["status"]["revision"]["stable"] == forecast["revision"]["after"]
    for kind in ("Deployment", "ConfigMap", "ControllerRevision", "ServiceAccount", "NetworkPolicy"):
        assert {each["name"] for each in forecast["now"] if each["kind"] == kind} == _owned(ns, kind), kind
    done, told = _plan(run, tmp_path, first)
    assert (done.code, told["manifests"][0]["state"]) == (0, "same")

    second = an_agent(ns.name, instructions="You are tested again.")
    done, told = _plan(run, tmp_path, second)
    forecast = told["manifests"][0]["agent"]
    assert [each["path"] for each in forecast["revision"]["behaviour"]] == ["instructions"]
    ns.apply(second)
    after = forecast["revision"]["after"]
    ns.wait(lambda body: is_("Ready", "True")(body) and body["status"]["revision"].get("stable") == after)
    gone = {each["name"] for each in forecast["later"] if each["kind"] == "Deployment"}
    deadline = time.monotonic() + 60
    while gone & _owned(ns, "Deployment"):
        assert time.monotonic() < deadline, gone
        time.sleep(0.5)


def test_a_plan_touches_nothing(ns: Namespace, run: Run, tmp_path: Path) -> None:
    """Neither the Agent, nor a Namespace, nor a dry run leaves a trace."""
    _plan(run, tmp_path, an_agent(ns.name))
    assert ns.list("agents.proctor.dev") == []


def test_the_api_servers_own_rules_are_asked(ns: Namespace, run: Run, tmp_path: Path) -> None:
    """A rule that only the API server can evaluate is a fault with the field's line, as any other."""
    resources = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    done, told = _plan(run, tmp_path, an_agent(ns.name, runtime={"resources": resources}))
    assert done.code == 1
    (fault,) = told["faults"]
    assert "requests.cpu must not exceed limits.cpu" in fault["message"]
    assert fault["path"].startswith("spec.runtime.resources")
    assert fault["place"].rpartition(":")[2].isdigit()


@pytest.mark.parametrize("how", ["apply", "apply --server-side --field-manager=flux"])
def test_a_plan_is_about_what_apply_would_make(ns: Namespace, run: Run, tmp_path: Path, how: str) -> None:
    """A field that leaves the file leaves the object; one that somebody else set stays. Both ways of applying."""
    whole = an_agent(ns.name, riskTier="High", suspend=True)
    ns.kubectl(*how.split(), "-f", "-", stdin=yaml.safe_dump(whole))
    ns.kubectl("scale", "agents.proctor.dev/clerk", "--replicas=3")
    done, told = _plan(run, tmp_path, an_agent(ns.name, suspend=True))
    (manifest,) = told["manifests"]
    assert done.code == 3, done.told
    assert [(each["path"], each["before"], each["after"]) for each in manifest["differences"]] == [
        ("spec.riskTier", "High", "Limited")
    ]


def test_an_agent_that_stalls_is_waited_for_no_longer(ns: Namespace, run: Run) -> None:
    """The reason is told, the exit code is 3, and `explain` has the next step."""
    ns.apply(an_agent(ns.name, model={"connector": "absent", "name": "m"}))
    done = run("status clerk --wait --timeout 60s")
    assert done.code == 3, done.told
    assert "ConnectorNotFound" in done.out
    why = run("explain agent/clerk")
    assert why.code == 3
    assert f"there is no Connector {ns.name}/absent" in why.out
    assert f"→ kubectl get connectors -n {ns.name}" in why.out


def test_a_pod_that_cannot_start_is_explained(ns: Namespace, run: Run) -> None:
    """By the pod's own words, and in plain ones."""
    ns.apply(an_agent(ns.name, runtime={"image": "localhost/no-such-image:1"}))
    deadline = time.monotonic() + 60
    while "the node cannot get the image" not in (told := run("explain agent/clerk").out).lower():
        assert time.monotonic() < deadline, told
        time.sleep(1)
    assert run("status clerk --wait --timeout 1s").code == 6
    assert "ImagePull" in run("status clerk").out


def test_a_name_that_is_not_there_leads_to_one_that_is(ns: Namespace, run: Run, cluster: Installed) -> None:
    """By its likeness, or by the namespace in which it is."""
    ns.apply(an_agent(ns.name, suspend=True))
    done = run("status clerck")
    assert done.code == 4
    assert "did you mean clerk?" in done.err
    elsewhere = shell(cluster, "kubectl proctor status clerk -n default")
    assert f"add -n {ns.name}" in elsewhere.err


@pytest.fixture
def watching(cluster: Installed, ns: Namespace) -> Iterator[subprocess.Popen[str]]:
    """`status --watch` of the test's namespace, not on a terminal."""
    words = [_program(cluster), "status", "--watch", "-o", "json", "-n", ns.name]
    with subprocess.Popen(words, env=environment(cluster), stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()


def test_a_watch_tells_each_change_by_a_line(ns: Namespace, watching: subprocess.Popen[str]) -> None:
    """The agent that comes, that is stopped, and that goes; each at once, and nothing in between."""
    ns.apply(an_agent(ns.name, suspend=True))
    assert watching.stdout is not None
    seen = [json.loads(watching.stdout.readline())]
    while seen[-1]["reason"] != "Suspended":
        seen.append(json.loads(watching.stdout.readline()))
    ns.kubectl("delete", "agents.proctor.dev", "clerk", "--wait=false")
    while seen[-1]["reason"] != "Deleted":
        seen.append(json.loads(watching.stdout.readline()))
    assert all(before != after for before, after in pairwise(seen))


class User:
    """Somebody with few rights: a ServiceAccount, known by a token in a kubeconfig of its own."""

    def __init__(self, cluster: Installed, namespace: str, name: str, path: Path) -> None:
        admin = yaml.safe_load(cluster.kubeconfig.read_text())
        token = cluster.kubectl("-n", namespace, "create", "token", name, "--duration=1h").strip()
        body = {**admin, "users": [{"name": admin["users"][0]["name"], "user": {"token": token}}]}
        path.write_text(yaml.safe_dump(body))
        self.token = token
        self.kubeconfig = str(path)


@pytest.fixture
def viewer(cluster: Installed, ns: Namespace, tmp_path: Path) -> User:
    """Somebody who may see the namespace and nothing else."""
    ns.kubectl("create", "serviceaccount", "viewer")
    ns.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={ns.name}:viewer")
    return User(cluster, ns.name, "viewer", tmp_path / "viewer")


def test_who_may_only_see_can_see(ns: Namespace, run: Run, viewer: User, tmp_path: Path) -> None:
    """The right `view` is enough to look; a plan says what was not checked, and plans with what it saw."""
    ns.apply(an_agent(ns.name))
    ns.wait(is_("Ready", "True"))
    assert run("status clerk", kubeconfig=viewer.kubeconfig).code == 0
    assert run("logs clerk", kubeconfig=viewer.kubeconfig).code == 0
    why = run("explain agent/clerk", kubeconfig=viewer.kubeconfig)
    assert why.code == 0, why.told
    file = tmp_path / "agent.yaml"
    file.write_text(yaml.safe_dump(an_agent(ns.name, riskTier="High")))
    done = run(f"plan -f {file}", kubeconfig=viewer.kubeconfig)
    assert done.code == 3, done.told
    assert "▲ not checked by the API server" in done.out
    assert "~ spec.riskTier" in done.out


def test_who_may_not_look_is_told_so(run: Run, viewer: User, cluster: Installed) -> None:
    """Denied, by what and for whom; the exit code is 5."""
    done = shell(cluster, "kubectl proctor status -A", kubeconfig=viewer.kubeconfig)
    assert done.code == 5
    assert "cannot list resource" in done.err
    asked = run("invoke clerk Hello --service-account default --gateway http://h:1", kubeconfig=viewer.kubeconfig)
    assert asked.code == 5
    assert "you may not ask for a token of ServiceAccount" in asked.err
    assert "--resource=serviceaccounts/token" in asked.err
    forwarded = run("invoke clerk Hello", kubeconfig=viewer.kubeconfig)
    assert forwarded.code == 5
    assert viewer.token not in done.told + asked.told + forwarded.told


@pytest.fixture(scope="module")
def shop(cluster: Installed, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """The sample's caller, with the right to reach the gateway through the API server."""
    refunds.bring_up(cluster, settings)
    reach = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reach-gateway", "namespace": "proctor-system"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
        ],
    }
    gone = ("-n", "proctor-system", "delete", "role,rolebinding", "reach-gateway", "--ignore-not-found")
    cluster.kubectl(*gone)
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(reach))
    words = ("create", "rolebinding", "reach-gateway", "--role=reach-gateway", "--serviceaccount=shop:web")
    cluster.kubectl("-n", "proctor-system", *words)
    yield User(cluster, "shop", "web", tmp_path_factory.mktemp("shop") / "config")
    cluster.kubectl(*gone)


ASK = "Customer C-1044 asks for a refund of order O-50044 (480 EUR): changed my mind"


def test_a_kubeconfig_with_a_token_asks_as_itself(cluster: Installed, shop: User) -> None:
    """Through the API server, where nobody can read the token; its owner sees the task afterwards."""
    done = shell(cluster, f"kubectl proctor invoke refunds '{ASK}' -n support -o json", kubeconfig=shop.kubeconfig)
    assert done.code == 0, done.told
    task = json.loads(done.out)
    assert task["caller"] == "system:serviceaccount:shop:web"
    words = f"kubectl proctor tasks refunds {task['id']} -n support -o json"
    assert json.loads(shell(cluster, words, kubeconfig=shop.kubeconfig).out)["calls"]
    assert shop.token not in done.told


def test_logs_are_followed_by_task(cluster: Installed, shop: User) -> None:
    """The lines of one task, from whichever pod, as they come."""
    asked = shell(cluster, f"kubectl proctor invoke refunds '{ASK}' -n support -o name", kubeconfig=shop.kubeconfig)
    task = asked.out.strip()
    followed = shell(cluster, f"timeout 15 kubectl-proctor logs refunds -n support --follow --task {task}")
    assert followed.code == 124
    assert "task answered" in followed.out
    assert all(task in line for line in followed.out.splitlines())


SLOW = """
import http.server, json, time
class Agent(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
    def do_GET(self):
        self.answer({})
    def do_POST(self):
        time.sleep(12)
        self.answer({"output": "slowly"})
http.server.ThreadingHTTPServer(("", 8080), Agent).serve_forever()
"""


def test_a_gateway_that_is_away_is_waited_for(cluster: Installed, ns: Namespace) -> None:
    """Whose gateway dies while a task is under way gets the task's answer from the next one."""
    image = cluster.images["proctor-agent"]
    program = {"image": image, "command": ["/opt/proctor/bin/python", "-c", SLOW]}
    callers = [{"serviceAccount": {"namespace": ns.name, "name": "default"}}]
    ns.apply(an_agent(ns.name, runtime=program, access={"callers": callers}))
    ns.wait(is_("Ready", "True"))
    asked = [_program(cluster), "invoke", "clerk", "Hello", "-n", ns.name, "--timeout", "3m", "-o", "json"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(asked, env=environment(cluster), **pipes) as process:
        listed = f"kubectl proctor tasks clerk -n {ns.name} --phase Running -o name"
        eventually(lambda: shell(cluster, listed).out, bool)
        # One second is too short to finish what was begun: the next gateway has to.
        words = ("delete", "pod", "-l", "app.kubernetes.io/name=proctor-gateway", "--grace-period=1")
        cluster.kubectl("-n", "proctor-system", *words)
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, f"{out}\n{err}"
    assert json.loads(out)["output"] == "slowly"
    assert "again in" in err
