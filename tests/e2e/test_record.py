"""The record of a real installation: the commands of docs/record.md, and what happens when the database is changed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proctor_cluster.engines import ROOT
from proctor_cluster.settings import Settings
from tests.e2e import refunds
from tests.e2e.conftest import Installed
from tests.e2e.refunds import Done

_PAGE = ROOT / "docs" / "record.md"
_FENCE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_QUESTION = '"Customer C-1044 asks for a refund of order O-50044 (480 EUR): changed my mind"'


@pytest.fixture(scope="module")
def sample(cluster: Installed, settings: Settings) -> Installed:
    """The cluster with the sample, whose agent has answered once; all of it is signed and anchored."""
    refunds.bring_up(cluster, settings)
    words = f"kubectl proctor invoke refunds {_QUESTION} -n support --service-account shop/web"
    assert refunds.shell(cluster, words).code == 0
    return cluster


@pytest.fixture
def run(sample: Installed, tmp_path: Path) -> Callable[[str], Done]:
    """Runs a line of shell in a directory of its own."""
    return lambda words: refunds.shell(sample, f"cd {tmp_path} && {words}")


def test_the_page_does_what_it_shows(run: Callable[[str], Done]) -> None:
    """Each command in turn: its exit code, and each line that is shown, in that order."""
    deadline = time.monotonic() + 90
    while run("kubectl proctor audit anchors").code and time.monotonic() < deadline:
        time.sleep(2)
    for fence in _FENCE.findall(_PAGE.read_text()):
        for each in re.split(r"^\$ ", fence, flags=re.MULTILINE)[1:]:
            command, *shown = each.rstrip().splitlines()
            code = re.search(r"# exit code (\d+)", command)
            done = run(command)
            assert done.code == (int(code[1]) if code else 0), f"{command}\n{done.told}"
            lines = iter(" ".join(line.split()) for line in done.told.splitlines())
            for wanted in shown:
                pattern = ".*".join(re.escape(part) for part in " ".join(wanted.split()).split("…"))
                assert any(re.fullmatch(pattern, line) for line in lines), f"{wanted!r} is not in:\n{done.told}"


def test_what_the_agent_did_is_in_the_record_and_what_was_said_is_not(run: Callable[[str], Done]) -> None:
    """The tools that it called, for whom, and under which revision; neither its instructions nor the question."""
    done = run("kubectl proctor audit show --agent support/refunds -o json")
    records = [json.loads(line) for line in done.out.splitlines()]
    types = {each["type"] for each in records}
    assert {"config.changed", "run.start", "llm.call", "tool.request", "tool.result", "run.end"} <= types
    callers = {each["principal"]["sub"] for each in records if "principal" in each}
    assert "system:serviceaccount:shop:web" in callers
    assert "changed my mind" not in done.out
    assert "480 EUR" not in done.out


def test_the_key_is_nobody_elses(sample: Installed) -> None:
    """Neither the operator, nor an agent's account, nor a caller may read the Secret that signs."""
    for account in ("proctor-system:proctor-operator", "support:agent-refunds", "shop:web"):
        words = ("auth", "can-i", "get", "secrets/proctor-record-key", "-n", "proctor-system")
        said = refunds.shell(sample, f"kubectl {' '.join(words)} --as system:serviceaccount:{account}")
        assert said.out.strip() == "no", account
    said = refunds.shell(
        sample,
        "kubectl auth can-i update configmaps -n proctor-system "
        "--as system:serviceaccount:proctor-system:proctor-gateway",
    )
    assert said.out.strip() == "no"
