"""`slo`: objectives for other tools."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from proctor.cli import dump
from proctor.cli.main import app
from tests.cli.objects import an_agent

SLOS = [{"name": "fast", "indicator": {"type": "Latency", "threshold": "10s"}, "target": "95", "window": "7d"}]


@pytest.fixture
def agent(tmp_path: Path) -> str:
    """A file with an Agent and something else."""
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    path = tmp_path / "agent.yaml"
    path.write_text("---\n".join(dump.as_yaml(each) for each in (an_agent(slos=SLOS), other)))
    return str(path)


def run(*words: str) -> tuple[int, str]:
    """What the program ends with, and writes."""
    result = CliRunner().invoke(app, ["slo", *words])
    return result.exit_code, result.output


def test_openslo_goes_out_and_comes_back(agent: str, tmp_path: Path):
    """What `import` writes is what the manifest said."""
    code, text = run("export", "-f", agent, "--openslo")
    assert code == 0
    (tmp_path / "openslo.yaml").write_text(text)
    code, text = run("import", "-f", str(tmp_path / "openslo.yaml"))
    assert (code, yaml.safe_load(text)) == (0, {"slos": SLOS})


def test_rules_are_a_file_for_prometheus(agent: str):
    """With the groups of every objective."""
    code, text = run("export", "-f", agent, "--prometheus")
    names = [group["name"] for group in yaml.safe_load(text)["groups"]]
    assert (code, names[0]) == (0, "proctor-slo-sli-recordings-support-refunds-fast")


FAULTS = {
    "no form": (["export", "-f", "AGENT"], 2, "either --openslo or --prometheus"),
    "both forms": (["export", "-f", "AGENT", "--openslo", "--prometheus"], 2, "either --openslo or --prometheus"),
    "no agent": (["export", "--openslo"], 2, "NAME of an agent or -f FILE"),
    "nothing to import": (["import"], 2, "say -f FILE"),
    "no OpenSLO in it": (["import", "-f", "AGENT"], 1, "no SLO of openslo/v1"),
}


@pytest.mark.parametrize(("words", "code", "says"), FAULTS.values(), ids=FAULTS)
def test_faults_are_said(agent: str, words: list[str], code: int, says: str):
    """In words, with the exit code of their kind."""
    ended, text = run(*(agent if word == "AGENT" else word for word in words))
    assert (ended, says in " ".join(text.split())) == (code, True), text


def test_an_indicator_may_be_said_for_others_documents(tmp_path: Path):
    """One that an Agent cannot have is refused with its reason."""
    document = {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "shop"},
        "spec": {"timeWindow": [{"duration": "28d", "isRolling": True}], "objectives": [{"target": 0.99}]},
    }
    path = tmp_path / "x.yaml"
    path.write_text(dump.as_yaml(document))
    code, text = run("import", "-f", str(path), "--indicator", "Latency=10s")
    assert (code, yaml.safe_load(text)["slos"][0]["indicator"]) == (0, {"type": "Latency", "threshold": "10s"})
    code, text = run("import", "-f", str(path), "--indicator", "Speed")
    assert (code, "no objective of an Agent" in " ".join(text.split())) == (1, True)
