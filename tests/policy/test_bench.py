"""The declarations of the benchmark of injections, which runs only by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from proctor.api.connector import Connector
from tests.policy import examples

SUITES = yaml.safe_load((Path(__file__).parents[1] / "bench" / "agentdojo" / "suites.yaml").read_text())


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_declared_as_a_platform_team_would(name):
    """Its tools are a Connector's, and its policy is one: no rule of it is unknown to the API."""
    connector = examples.connector("suite", tools=SUITES[name]["tools"])
    assert isinstance(connector, Connector)
    effective = examples.effective(examples.policy(**SUITES[name]["policy"]))
    assert [each.name for each in effective.rules] == ["tools"]
    assert any(not tool.trusted for tool in connector.spec.tools)
