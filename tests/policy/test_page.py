"""What docs/policies.md shows, and the samples that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor.api.agent import Agent
from proctor.api.connector import Connector, Tool
from proctor.api.kinds import named
from proctor.api.policy import ClusterPolicy, Policy
from proctor.plan.policy import PolicyWorld, plan_policy
from proctor.policy import demands
from proctor.policy.check import check
from proctor.policy.effective import merge
from tests.policy.examples import T0, policy

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "manifests" / "samples" / "policies").glob("[!k]*.yaml"))
PAGE = (ROOT / "docs" / "policies.md").read_text()


def loaded(path: Path) -> Any:
    """The one object of a file."""
    body = yaml.safe_load(path.read_text())
    return named(body["kind"]).model.parse(body)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_can_hold(path: Path):
    """Each sample is a policy whose expressions compile and which would be Ready."""
    sample = loaded(path)
    assert isinstance(sample, Policy | ClusterPolicy)
    assert list(demands.faults(sample)) == []
    status = plan_policy(PolicyWorld(sample, ()), T0).status
    assert status is not None
    assert next(each for each in status["conditions"] if each["type"] == "Ready")["status"] == "True"


def test_the_refunds_agent_follows_the_samples():
    """The sample's agent and the policies for it go together, but for what the baseline still only warns of."""
    of_agent = ROOT / "manifests" / "samples" / "refunds"
    agent = Agent.parse(yaml.safe_load((of_agent / "agent.yaml").read_text()))
    bodies = yaml.safe_load_all((of_agent / "connectors.yaml").read_text())
    connectors = {each["metadata"]["name"]: Connector.parse(each) for each in bodies if each["kind"] == "Connector"}
    effective = merge([loaded(path) for path in SAMPLES], agent, T0)
    assert [each.text for each in effective.sources] == ["ClusterPolicy/baseline", "Policy/support/money"]
    assert [each for each in check(agent, connectors, effective, T0) if each.blocks] == []


def test_every_part_is_on_the_page():
    """The page says of every part of a policy where it is held."""
    parts = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    told = {word.partition(".")[0] for cell in parts for word in re.findall(r"`([^`]+)`", cell)}
    fields = {"require", "images", "egress", "models", "tools", "data", "limits", "budgets", "sandbox", "rollout"}
    assert fields | {"expressions"} <= told


def test_the_rules_on_the_page_can_hold():
    """Each block of YAML on it is a part of a policy that would be Ready."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        assert list(demands.faults(policy(**yaml.safe_load(block)))) == []


def test_a_trusted_part_on_the_page_is_one():
    """What the page says of trusted parts can be declared of a tool."""
    conditions = re.findall(r"`(\{field: [^`]+)`", PAGE)
    parts = [{"path": "[].sender"}, *({"path": "[].body", "when": yaml.safe_load(each)} for each in conditions)]
    assert len(parts) == 3
    assert len(Tool.model_validate({"name": "t", "trustedParts": parts}).trusted_parts) == 3


def test_the_files_on_the_page_exist():
    """Whoever follows the page finds what it names."""
    for name in re.findall(r"manifests/[\w/.-]+", PAGE):
        assert (ROOT / name.rstrip(".")).exists(), name
