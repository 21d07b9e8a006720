"""What `kubectl proctor policy test` says that a policy would change."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from proctor.cli.main import app
from proctor.cli.realm import Realm
from proctor.cli.tasks import Call, Task
from proctor.cli.views import trial
from proctor.cli.views.trial import Place
from tests.cli.api_server import kubeconfig
from tests.plan import examples as plans
from tests.policy import examples
from tests.policy.examples import T0, policy

PLACE = Place(examples.agent(), examples.connectors(), {})
STEPS: dict[str, Any] = {"limits": {"maxSteps": 5}}


def test_what_is_new_and_what_is_gone_is_told_apart():
    """A policy of the same name gives way: what it alone forbade is gone, what the new one forbids is new."""
    live, other = policy(**STEPS), policy("other", limits={"maxSteps": 6})
    new = policy(models={"deny": [{"name": "gpt-*"}]})
    (change,) = trial.changes([PLACE], [live, other], [new], T0)
    assert [each.rule for each in change.new] == ["models/deny"]
    assert [(each.policy, each.rule) for each in change.gone] == [("Policy/support/baseline", "limits/maxSteps")]
    assert change.is_meant


def test_an_agent_that_is_not_meant_changes_nothing():
    """It is among the agents, and nothing is said of it."""
    (change,) = trial.changes([PLACE], [], [policy(selector={"names": ["other"]}, **STEPS)], T0)
    assert (change.is_meant, change.new, change.gone) == (False, (), ())


def made(*calls: tuple[str, str, dict[str, Any]]) -> tuple[Task, list[Call]]:
    """A task that made these calls, all of which succeeded."""
    body = {"id": "t1", "agent": {"namespace": "support", "name": "refunds"}, "phase": "Succeeded"}
    task = Task.model_validate({**body, "input": "Refund order A-1.", "createdAt": T0.isoformat()})
    shared = {"kind": "Tool", "state": "Succeeded", "effect": "Once"}
    found = [
        Call.model_validate(
            {**shared, "id": f"t1.{n}", "sequence": n, "connector": c, "name": name, "arguments": arguments}
            | ({"effect": "Read"} if c == "crm" else {})
        )
        for n, (c, name, arguments) in enumerate(calls, 1)
    ]
    return task, found


def test_calls_are_judged_by_what_had_been_read():
    """A payment before untrusted content was read stays as it was; the one after it needs people."""
    pay, read = ("payments", "refund", {"order_id": "A-1"}), ("crm", "get_order", {"order_id": "A-1"})
    careful = policy(tools={"deny": [{"tool": "nothing"}]})
    found = trial.calls(PLACE, [], [careful], [made(pay, read, pay)], T0)
    assert [(each.call, trial.word(each.before), trial.word(each.after)) for each in found] == [
        ("payments/refund", "made", "people are asked")
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """An API server that knows one agent, its Connectors and a policy; the way in to it."""
    bodies = {
        "agents": [PLACE.agent.model_dump(mode="json", by_alias=True, exclude_none=True)],
        "connectors": [
            each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in PLACE.connectors.values()
        ],
        "namespaces": [{"metadata": {"name": "support", "labels": {"stage": "prod"}}}],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            items = bodies.get(self.path.partition("?")[0].rsplit("/", 1)[-1], [])
            body = json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield kubeconfig(tmp_path / "config", f"http://127.0.0.1:{http.server_address[1]}")
    http.shutdown()
    http.server_close()
    thread.join()


def run(server: Path, path: Path, *arguments: str) -> Any:
    """The command's outcome."""
    command = ["policy", "test", "-f", str(path), "--kubeconfig", str(server), *arguments]
    return CliRunner().invoke(app, command)


def written(tmp_path: Path, mode: str, **spec: Any) -> Path:
    """A ClusterPolicy in a file."""
    body = {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "everywhere"},
        "spec": {"owner": {"team": "risk", "contact": "risk@example.com"}, "mode": mode, **spec},
    }
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


CODES = {"Enforce": 3, "Warn": 0, "Audit": 0}


@pytest.mark.parametrize(("mode", "code"), CODES.items(), ids=CODES)
def test_the_exit_code_says_whether_something_would_be_stopped(server: Path, tmp_path: Path, mode: str, code: int):
    """Under Audit and Warn the findings are shown, and nothing would be stopped."""
    done = run(server, written(tmp_path, mode, selector={"namespaces": {"matchLabels": {"stage": "prod"}}}, **STEPS))
    assert done.exit_code == code, done.output
    assert "limits/maxSteps" in done.output
    assert "1 agent is meant" in done.output


def test_the_answer_is_for_programs_too(server: Path, tmp_path: Path):
    """As JSON, every finding has its policy, rule, mode and field."""
    done = run(server, written(tmp_path, "Warn", **STEPS), "-o", "json")
    (agent,) = json.loads(done.stdout)["agents"]
    (finding,) = agent["new"]
    assert (finding["policy"], finding["rule"], finding["path"]) == (
        "ClusterPolicy/everywhere",
        "limits/maxSteps",
        "spec.limits.maxSteps",
    )


TYPO = {"name": "typo", "expression": "agnt.spec.purpose != ''", "message": "Say what it is for."}
LONG = {"name": "long", "selector": {"names": ["x"]}, "rules": ["limits"], "reason": "The pilot runs on."}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a word that is none": ({"mode": "Enforced"}, "spec.mode  ✗ 'Enforced' is not one of"),
    "a field that is none": (
        {"require": {"field": ["Evals"]}},
        "spec.require.field  ✗ unknown field; did you mean fields?",
    ),
    "an expression": ({"expressions": [TYPO]}, "spec.expressions.typo  ✗ cannot hold"),
    "an exception for years": (
        {"exceptions": [{**LONG, "approvedBy": "ciso", "expiresAt": "2099-01-01T00:00:00Z"}]},
        "spec.exceptions.long.expiresAt  ✗ is more than 90 days ahead; set",
    ),
}


@pytest.mark.parametrize(("spec", "said"), FAULTS.values(), ids=FAULTS)
def test_a_policy_that_cannot_hold_is_an_error(
    server: Path, tmp_path: Path, monkeypatch, spec: dict[str, Any], said: str
):
    """Its place, its name, the field and what would be right are told before anything is compared."""
    monkeypatch.setenv("COLUMNS", "300")
    done = run(server, written(tmp_path, **{"mode": "Warn", **STEPS, **spec}))
    assert done.exit_code == 1
    assert re.search(rf"policy\.yaml:\d+ ClusterPolicy everywhere {re.escape(said)}", done.output), done.output


FILES = {
    "another kind": ("kind: Agent\n", "no Policy and no ClusterPolicy, but Agent", 2),
    "nothing": ("", "no Policy and no ClusterPolicy, but nothing", 2),
    "no YAML": ("a: [", "policy.yaml:1 YAML", 1),
}


@pytest.mark.parametrize(("text", "said", "code"), FILES.values(), ids=FILES)
def test_a_file_that_holds_no_policy_is_named(
    server: Path, tmp_path: Path, monkeypatch, text: str, said: str, code: int
):
    """With what it holds, and the verb for that."""
    monkeypatch.setenv("COLUMNS", "300")
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    done = run(server, path)
    assert (done.exit_code, said in done.output) == (code, True), done.output


def test_a_plan_reckons_with_the_policies_that_are_there():
    """What `plan` foretells is what the operator will make: the same revision, the same obstacles, the same freeze."""
    bodies = {"llm": plans.llm(), "crm": plans.crm()}
    realm = Realm(
        "support",
        plans.PLATFORM,
        agents={"refunds": plans.agent_body()},
        connectors={
            name: each.model_dump(mode="json", by_alias=True, exclude_none=True) for name, each in bodies.items()
        },
        config_maps={},
        policies=(policy_body(tools={"deny": [{"tool": "other"}]}), policy_body("second", **STEPS)),
        read_at=T0,
    )
    world = realm.world("refunds")
    assert world.standing.effective.behaviour is not None
    assert [each.rule for each in world.standing.obstacles] == ["limits/maxSteps"]
    assert Realm(**{**vars(realm), "policies": ()}).world("refunds").standing.effective.behaviour is None


def policy_body(name: str = "first", **spec: Any) -> dict[str, Any]:
    """An enforced Policy as JSON."""
    return policy(name, **spec).model_dump(mode="json", by_alias=True, exclude_none=True)
