"""The program as a person starts it: help, mistakes, exit codes; and all that works without a cluster."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from proctor.api import kinds, names
from proctor.cli.main import VERBS, app
from proctor.cli.resources import OURS
from tests.api.manifests import changed, load
from tests.cli.api_server import kubeconfig
from tests.cli.gateway_server import GatewayState, problem, running

Run = Callable[..., Any]
LLM = changed(load("connector-model"), {"metadata.name": "llm"})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program with these words; fails on any exception that is not an exit."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("PROCTOR_GATEWAY", raising=False)

    def start(*words: str, stdin: str | None = None) -> Any:
        result = CliRunner().invoke(app, words, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return start


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A kubeconfig for a server that nobody runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return kubeconfig(tmp_path / "kubeconfig", f"https://127.0.0.1:{port}")


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches_by_examples(run: Run, verb: str) -> None:
    """Every verb shows how it is used."""
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"kubectl proctor {verb}" in result.output


def test_help_tells_the_exit_codes(run: Run) -> None:
    """So that scripts can rely on them; and every verb is there."""
    result = run("--help")
    assert "3 no, not so" in result.output
    assert all(verb in result.output for verb in VERBS)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["stauts"], 2, "No such command 'stauts'"),
        (["status", "--tail"], 2, "No such option"),
        (["status", "a", "-A"], 2, "NAME and --all-namespaces exclude each other"),
        (["status", "--watch", "--wait"], 2, "exclude each other"),
        (["status", "--timeout", "soon", "--wait"], 2, "'soon' is not a duration"),
        (["status", "-o", "xml"], 2, "'xml'"),
        (["plan", "-f", "/absent.yaml", "--offline"], 2, "/absent.yaml cannot be read"),
        (["explain", "nonsense"], 4, "there is no kind nonsense"),
        (["explain", "pod/x", "--kubeconfig", "CONFIG"], 2, "only an agent's state can be explained"),
        (["logs", "a", "-o", "yaml"], 2, "cannot be written as yaml"),
        (["tasks", "a", "t1", "--cancel", "t2"], 2, "--cancel stands alone"),
        (["invoke", "a", "[x", "--kubeconfig", "CONFIG"], 2, "begins like JSON, but is none"),
        (["invoke", "a", "x", "--kubeconfig", "CONFIG", "--gateway", "nonsense"], 2, "it must be http://HOST:PORT"),
        (["invoke", "a", "x", "--kubeconfig", "CONFIG", "--service-account", "a/b/c"], 2, "NAMESPACE/NAME"),
        (["status", "..", "--kubeconfig", "CONFIG"], 2, ".. is no name of an object"),
        (["tasks", "a", "..", "--kubeconfig", "CONFIG", "--gateway", "http://localhost:1"], 2, ".. is no name"),
        (["status", "--kubeconfig", "/absent"], 1, "there is no kubeconfig: /absent does not exist"),
        (["status", "--kubeconfig", "CONFIG", "--context", "other"], 2, "has no context other; it has: ctx"),
        (["status", "--kubeconfig", "CONFIG"], 1, "cannot be reached: Connection refused"),
    ],
)
def test_a_mistake_is_told_in_words(run: Run, nowhere: Path, words: list[str], code: int, says: str) -> None:
    """What is wrong, by name, with an exit code; never a traceback."""
    result = run(*(str(nowhere) if word == "CONFIG" else word for word in words))
    assert result.exit_code == code
    assert says in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert "hush" not in result.output


def test_a_kubeconfig_that_is_none_is_named(run: Run, tmp_path: Path) -> None:
    """Broken YAML in it is no crash of ours."""
    broken = tmp_path / "config"
    broken.write_text("a: [1\n")
    result = run("status", "--kubeconfig", str(broken))
    assert result.exit_code == 1
    assert f"kubeconfig {broken} cannot be used" in result.output


def _file(tmp_path: Path, *bodies: dict[str, Any]) -> str:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump_all(bodies, sort_keys=False))
    return str(path)


def test_a_plan_needs_no_cluster(run: Run, tmp_path: Path) -> None:
    """Offline, references inside the files count as existing; something would change, so the exit code is 3."""
    result = run("plan", "--offline", "-f", _file(tmp_path, load("agent-minimal"), LLM))
    assert result.exit_code == 3
    assert "+ Agent default/refunds  new" in result.output
    assert "+ Deployment refunds-" in result.output


@pytest.mark.parametrize(("words", "code"), [([], 3), (["--strict"], 1)])
def test_an_obstacle_fails_only_a_strict_plan(run: Run, tmp_path: Path, words: list[str], code: int) -> None:
    """A Connector that is somewhere else is no fault of the file, unless the person says that it is."""
    result = run("plan", "--offline", *words, "-f", _file(tmp_path, load("agent-minimal")))
    assert result.exit_code == code
    assert "✗ ConnectorNotFound  spec.model: there is no Connector default/llm; create it" in result.output
    assert "1 would stall" in result.output


def test_an_invalid_manifest_is_refused_with_its_line(run: Run, tmp_path: Path) -> None:
    """File, line, object, field, and what would be right; nothing is planned."""
    file = _file(tmp_path, load("connector-model"), changed(load("agent-minimal"), {"spec.riskTeir": "High"}))
    result = run("plan", "--offline", "-f", file)
    assert result.exit_code == 1
    line = next(number for number, text in enumerate(Path(file).read_text().splitlines(), 1) if "riskTeir" in text)
    assert f"{file}:{line} Agent refunds spec.riskTeir  ✗ unknown field; did you mean riskTier?" in result.output
    assert "1 fault; nothing was looked at further" in result.output


def test_a_plan_is_json_for_programs(run: Run, tmp_path: Path) -> None:
    """The same facts, with stable names; faults as well."""
    result = run("plan", "--offline", "-o", "json", "-f", _file(tmp_path, load("agent-minimal"), LLM))
    (_, agent) = sorted(json.loads(result.stdout)["manifests"], key=lambda each: each["kind"], reverse=True)
    assert agent["state"] == "new"
    assert {each["kind"] for each in agent["agent"]["now"]} >= {"Deployment", "NetworkPolicy"}
    bad = run("plan", "--offline", "-o", "json", "-f", _file(tmp_path, changed(load("agent-minimal"), {"spec.x": 1})))
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["faults"][0]["path"] == "spec.x"


def test_a_plan_reads_standard_input(run: Run) -> None:
    """What kustomize or helm print can be piped into it."""
    result = run("plan", "--offline", "-f", "-", stdin=yaml.safe_dump(load("connector-model")))
    assert result.exit_code == 3
    assert "stdin:1" in result.output


@pytest.mark.parametrize("output", ["table", "json", "yaml", "name"])
@pytest.mark.parametrize("what", [[], ["agent"], ["agent.spec.tools"], ["workflow.spec.steps"]])
def test_explain_writes_every_format(run: Run, what: list[str], output: str) -> None:
    """And what is meant for programs can be read by them."""
    result = run("explain", *what, "-o", output)
    assert result.exit_code == 0
    if output in {"json", "yaml"}:
        assert yaml.safe_load(result.stdout)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ({"phase": "Succeeded", "output": {"decision": "refund"}}, 0),
        ({"phase": "Failed", "error": {"reason": "Timeout", "message": "60 s are over"}}, 3),
        ({"phase": "Indeterminate", "error": {"reason": "OutcomeUnknown", "message": "refund"}}, 3),
    ],
)
def test_invoke_prints_the_answer_and_nothing_else(run: Run, nowhere: Path, ending: dict[str, Any], code: int) -> None:
    """To standard output; how it went goes to standard error, and whether it went well is the exit code."""
    with running(GatewayState(ending=ending)) as url:
        result = run("invoke", "refunds", "Hello", "--calls", "--gateway", url, "--kubeconfig", str(nowhere))
    assert result.exit_code == code
    assert (json.loads(result.stdout) if result.stdout else None) == ending.get("output")
    assert "get_customer" in result.stderr
    assert ending["phase"] in result.stderr


def test_the_kubeconfigs_token_is_shown_to_a_gateway_on_a_private_way_only(run: Run, nowhere: Path) -> None:
    """On loopback it is; on an open way a ServiceAccount's is asked for, which here nobody can give."""
    state = GatewayState()
    with running(state) as url:
        assert run("invoke", "refunds", "Hello", "--gateway", url, "--kubeconfig", str(nowhere)).exit_code == 0
    assert state.requests[0][2]["authorization"] == "Bearer hush"
    result = run("invoke", "refunds", "Hello", "--gateway", "http://gateway.invalid", "--kubeconfig", str(nowhere))
    assert "ServiceAccount support/default" in result.output
    assert "hush" not in result.output


def test_who_is_not_let_in_learns_how_to_be(run: Run, nowhere: Path) -> None:
    """What to add to the Agent, for exactly this identity."""
    with running(GatewayState(refusals=[problem(403, "Forbidden", "x is not one of spec.access.callers")])) as url:
        result = run("invoke", "refunds", "Hello", "--gateway", url, "--kubeconfig", str(nowhere))
    assert result.exit_code == 5
    assert "to let it in, add to spec.access.callers:" in result.output


def test_an_asynchronous_task_is_its_id(run: Run, nowhere: Path) -> None:
    """And `tasks` shows it, cancels it, and says when there is none of that name."""
    with running(GatewayState(ends_after=99)) as url:
        way = ["--gateway", url, "--kubeconfig", str(nowhere)]
        task = run("invoke", "refunds", '{"order": 7}', "--async", "-o", "name", *way).stdout.strip()
        assert task == "task-1"
        assert "task-1" in run("tasks", "refunds", *way).stdout
        shown = run("tasks", "refunds", task, *way).stdout
        assert '"order": 7' in shown
        assert "get_customer" in shown
        written = json.loads(run("tasks", "refunds", task, "-o", "json", *way).stdout)
        assert [each["name"] for each in written["calls"]] == ["get_customer"]
        assert "Cancelled" in run("tasks", "refunds", "--cancel", task, *way).stderr
        assert run("tasks", "refunds", task, "--watch", *way).exit_code == 3
        assert run("tasks", "refunds", "task-2", *way).exit_code == 4


def test_the_same_key_is_the_same_task(run: Run, nowhere: Path) -> None:
    """A script that runs twice sends once."""
    with running(GatewayState()) as url:
        words = ["invoke", "refunds", "x", "--idempotency-key", "k", "-o", "name", "--gateway", url]
        first = run(*words, "--kubeconfig", str(nowhere)).stdout
        assert run(*words, "--kubeconfig", str(nowhere)).stdout == first


@pytest.mark.parametrize("kind", [kinds.AGENT, kinds.CONNECTOR], ids=lambda kind: kind.name)
def test_the_kinds_are_called_as_the_registry_calls_them(kind: kinds.Kind) -> None:
    """The command line says their names in words, so as not to load all models for one status."""
    resource = OURS[kind.name]
    assert (resource.kind, resource.plural, resource.api_version) == (kind.name, kind.plural, names.API_VERSION)


def test_a_status_does_not_load_what_it_does_not_need() -> None:
    """Neither the models of all kinds, nor the client of the cluster before there is somebody to ask."""
    script = (
        "import sys; from typer.testing import CliRunner; from proctor.cli.main import app; "
        "CliRunner().invoke(app, ['status', '--help']); "
        "print([each for each in ('proctor.api.kinds', 'kubernetes', 'httpx2') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_terminal_that_knows_no_signs_is_no_reason_to_fail() -> None:
    """What it cannot show becomes a question mark."""
    words = [sys.executable, "-m", "proctor.cli.main", "explain"]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False)
    assert done.returncode == 0
    assert b"? kubectl proctor explain agent.spec" in done.stdout
