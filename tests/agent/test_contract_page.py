"""docs/agent-contract.md says what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from proctor_agent.config import AgentConfig
from proctor_agent.failures import STATUSES
from proctor_agent.tasks import parse
from tests.conformance.agent_process import CONFIG

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agent-contract.md").read_text(encoding="utf-8")


def test_the_declared_agent_on_the_page_is_one() -> None:
    """The example of an agent's file is read, and shows every field."""
    example = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])
    config = AgentConfig.model_validate(example)
    assert set(example) == {field.alias for field in AgentConfig.model_fields.values()}
    assert config.model_fields_set == set(AgentConfig.model_fields)


def test_the_request_on_the_page_is_one() -> None:
    """The example of a request is a task."""
    head, _, body = PAGE.partition("POST /invoke HTTP/1.1\n")[2].partition("```")[0].partition("\n\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines())}
    assignment = parse(headers, body.encode())
    assert assignment.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert assignment.task.id == "t-01j9"


def test_reasons_and_statuses_are_those_of_the_agent() -> None:
    """The table of reasons is the table of the default agent."""
    listed = {
        reason: int(status) for reason, status in re.findall(r"^\| `(\w+)` \|.*\| (\d{3}) \|$", PAGE, re.MULTILINE)
    }
    own = {name: status for name, status in STATUSES.items() if name not in GIVEN_BY_THE_GATEWAY}
    assert listed == own


GIVEN_BY_THE_GATEWAY = ("PolicyDenied", "BudgetExhausted", "Suspended")


def test_the_suites_own_agent_can_be_had() -> None:
    """The command that prints the suite's declared agent prints it."""
    command = [sys.executable, "-m", "tests.conformance.agent_process"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert json.loads(printed) == CONFIG
