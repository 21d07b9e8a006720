"""Secrets in instructions, input, arguments, results and headers of a real installation, and everything searched."""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path

import pytest
import yaml

from proctor_cluster.settings import Settings
from tests.e2e import refunds
from tests.e2e.asking import Caller
from tests.e2e.conftest import Installed
from tests.e2e.declared import Namespace, is_
from tests.e2e.pods import PYTHON

pytestmark = pytest.mark.nightly

_MARK = uuid.uuid4().hex
INSTRUCTIONS, INPUT, HEADER = (f"sk-{what}-{_MARK}" for what in ("instructions", "input", "header"))
"""The input becomes the argument of a refund: the sample's model gives it as the reason."""
_QUESTION = f"Customer C-1042 asks for a refund of order O-50042 (50 EUR): {INPUT}"
_HEADERS = dict.fromkeys(("X-Api-Key", "Cookie", "Baggage", "Tracestate", "User-Agent"), HEADER)
_DECLARED = {"agents.proctor.dev", "controllerrevisions.apps", "configmaps"}
"""An agent's instructions are in its declaration, its revision, and what its pods mount."""

_DUMP = """
import json, sqlite3
found = {}
with sqlite3.connect("file:/var/lib/proctor/gateway.db?mode=ro", uri=True) as connection:
    connection.row_factory = sqlite3.Row
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            for column in row.keys():
                value = row[column]
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                for name, secret in json.loads(SECRETS).items():
                    if secret in text:
                        found.setdefault(name, set()).add(f"{table}.{column}")
print(json.dumps({name: sorted(places) for name, places in found.items()}))
"""


@pytest.fixture(scope="module")
def secrets(cluster: Installed, settings: Settings) -> dict[str, str]:
    """What was planted, after an agent has read all of it and answered."""
    refunds.bring_up(cluster, settings)
    support = Namespace(cluster.kubectl, "support")
    body = yaml.safe_load((refunds.SAMPLE / "agent.yaml").read_text())
    body["metadata"]["name"] = "secretive"
    body["spec"]["instructions"] += f"\nThe word of today is {INSTRUCTIONS}.\n"
    support.apply(body)
    support.wait(is_("Ready", "True"), "secretive", 120)
    caller = Caller(cluster.cluster, "shop", "web")
    try:
        task = caller.ask("POST", "/agents/support/secretive/invoke", {"input": _QUESTION}, _HEADERS).body
        calls = caller.calls("support", "secretive", task["id"])
    finally:
        caller.close()
    assert task["phase"] == "Succeeded", task
    assert any(INPUT in json.dumps(call["arguments"]) for call in calls if call["name"] == "refund"), calls
    (told,) = (json.dumps(call["result"]) for call in calls if call["name"] == "get_customer")
    mail = re.search(r"[\w.+-]+@[\w.-]+\.\w+", told)
    assert mail is not None, told
    time.sleep(15)  # a checkpoint is anchored, and the snapshot of the cluster kept
    keys = {f"credential of {name}": f"demo-{name}-key" for name in ("model", "crm", "payments")}
    return {"instructions": INSTRUCTIONS, "input": INPUT, "result": mail[0], "header": HEADER, **keys}


def found(secrets: dict[str, str], text: str) -> set[str]:
    """The names of those that are in the text, which is not empty."""
    assert text, "a search in nothing finds nothing"
    return {name for name, secret in secrets.items() if secret in text}


def test_no_log_holds_one(cluster: Installed, secrets: dict[str, str]) -> None:
    """Operator, gateway and the agent, whole."""
    for namespace, selector in (
        ("proctor-system", "app.kubernetes.io/name=proctor-operator"),
        ("proctor-system", "app.kubernetes.io/name=proctor-gateway"),
        ("support", "proctor.dev/agent=secretive"),
    ):
        text = cluster.kubectl("-n", namespace, "logs", "-l", selector, "--all-containers", "--tail=-1")
        assert found(secrets, text) == set(), selector


def test_no_metric_holds_one(cluster: Installed, secrets: dict[str, str]) -> None:
    """Of the operator and of the gateway."""
    for name, port in (("proctor-operator", 8080), ("proctor-gateway", 9090)):
        words = ("-n", "proctor-system", "get", "pod", "-l", f"app.kubernetes.io/name={name}", "-o", "name")
        pod = cluster.kubectl(*words).split()[0].removeprefix("pod/")
        text = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/proctor-system/pods/{pod}:{port}/proxy/metrics")
        assert "proctor_" in text
        assert found(secrets, text) == set(), name


def test_no_object_holds_one_but_the_declaration(cluster: Installed, secrets: dict[str, str]) -> None:
    """Every object of every kind, Events and each status among them; Secrets are what keys are kept in."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    seen: dict[str, set[str]] = {}
    for kind in sorted({each for each in kinds if each not in {"secrets", "events"}} | {"events"}):
        body = json.loads(cluster.kubectl("get", kind, "-A", "-o", "json"))
        for each in body["items"]:
            # The systems of the demo and the model's rules are not proctor's.
            if each["metadata"].get("namespace") == "demo-systems":
                continue
            text = json.dumps(each)
            seen.setdefault(kind, set()).update(found(secrets, text))
            if "status" in each:
                assert found(secrets, json.dumps(each["status"])) == set(), (kind, each["metadata"])
    assert {kind: names for kind, names in seen.items() if names and kind not in _DECLARED} == {}
    assert {name for kind in _DECLARED for name in seen[kind]} <= {"instructions"}


def test_the_record_holds_none(cluster: Installed, secrets: dict[str, str], tmp_path: Path) -> None:
    """Neither as it is shown, nor in any file of an export."""
    shown = refunds.shell(cluster, "kubectl proctor audit show --agent support/secretive -o json")
    assert "tool.request" in shown.out
    assert found(secrets, shown.out) == set()
    exported = refunds.shell(cluster, f"cd {tmp_path} && kubectl proctor audit export record")
    assert exported.code == 0, exported.told
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    text = "".join(file.read_bytes().decode("utf-8", "replace") for file in files)
    assert found(secrets, text) == set()


def test_the_database_holds_what_a_task_needs_and_no_key(cluster: Installed, secrets: dict[str, str]) -> None:
    """What was said is with its task, so that it can be done again; headers and keys are nowhere."""
    code = _DUMP.replace("SECRETS", repr(json.dumps(secrets)))
    words = ("-n", "proctor-system", "exec", "deployment/proctor-gateway", "--", PYTHON, "-c", code)
    places = json.loads(cluster.kubectl(*words))
    allowed = {
        "instructions": {"known.body", "revisions.data"},
        "input": {"tasks.input", "calls.arguments", "calls.result", "answers.body", "tasks.output", "readings.text"},
        "result": {"calls.result", "answers.body", "readings.text"},
    }
    assert {name: set(where) - allowed.get(name, set()) for name, where in places.items()} == {
        name: set() for name in places
    }
    assert places.keys() == allowed.keys()
