"""The one story of governance, by the program that tells it to people: it checks each turn, and says what it saw."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from proctor_cluster import governance
from proctor_cluster.engines import ROOT
from proctor_cluster.settings import Settings
from tests.e2e.conftest import Installed

_WIDTH = 100


@pytest.fixture(scope="module")
def told(cluster: Installed, settings: Settings) -> str:
    """All that `make demo-governance` says, in a terminal of a hundred columns."""
    command = [sys.executable, "-m", "proctor_cluster", "demo-governance", "--name", settings.name]
    environment = {**os.environ, "COLUMNS": str(_WIDTH)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT, env=environment, check=False)
    said = done.stdout + done.stderr
    cluster.kubectl("delete", "-k", str(governance.SAMPLE), "--ignore-not-found", "--wait=false")
    assert done.returncode == 0, said
    return said


TURNS = {
    "nobody answers for it": "spec.owner: Required value",
    "the policy says more than the agent's team": "Policy/returns require/OutputSchema",
    "the wrong person": "max is neither one of spec.approvers.users nor in one of spec.approvers.groups",
    "the right person": "Approve by lena",
    "paid": '"payment_id"',
    "the word of a stranger": "tools/sinks: amount of payments/refund",
    "a task that goes astray": "BudgetExhausted",
    "the exception": "Inventory: every order is looked at once.",
    "the record": "whole, and as it was anchored",
    "the auditor's page": "# What the record says of support/returns",
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_the_story_takes_each_of_its_turns(told: str, turn: str) -> None:
    """The program itself fails when one does not end as it must; here it is seen to be told."""
    assert turn in " ".join(told.split())


_PAGE = ROOT / "docs" / "governance.md"
_FENCE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("fence", _FENCE.findall(_PAGE.read_text()), ids=lambda text: text.splitlines()[0][-40:])
def test_the_page_shows_what_the_story_tells(told: str, fence: str) -> None:
    """Each line of the page in its order; `…` stands for what differs from run to run."""
    lines = iter(" ".join(line.split()) for line in told.splitlines())
    for wanted in fence.splitlines():
        pattern = ".*".join(re.escape(part) for part in " ".join(wanted.split()).split("…"))
        assert any(re.fullmatch(pattern, line) for line in lines), f"{wanted!r} is not in its place in:\n{told}"


@pytest.mark.parametrize("sample", ["refunds", "governance"])
def test_the_page_tells_to_apply_what_the_api_server_takes(told: str, cluster: Installed, sample: str) -> None:
    """As the page says it: without the images that a build puts in."""
    assert told
    words = f"kubectl apply -k manifests/samples/{sample}"
    assert words in _PAGE.read_text()
    cluster.kubectl("apply", "--dry-run=server", "-k", str(ROOT / "manifests" / "samples" / sample))
