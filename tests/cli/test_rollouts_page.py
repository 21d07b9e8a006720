"""docs/rollouts.md says what is so: its specs and suites are valid, and its command does what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from proctor.api.agent import Eval
from proctor.api.rollout import Rollout
from proctor.cli.main import app
from proctor.cli.verbs.rollout import VERBS
from proctor.delivery.exam import SuiteError, parse
from proctor.delivery.exam.checks import KINDS

_PAGE = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text()
_YAML = re.findall(r"^```yaml\n(.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE)


def blocks(first: str) -> list[str]:
    """The YAML blocks that begin with this word."""
    found = [each for each in _YAML if each.startswith(first)]
    assert found
    return found


def test_the_spec_is_valid() -> None:
    """What the page declares is a rollout, and an exam, of an Agent."""
    found = [Rollout.model_validate(yaml.safe_load(each)["rollout"]) for each in blocks("rollout:")]
    assert any(each.steps for each in found)
    for each in blocks("evals:"):
        assert [Eval.model_validate(one) for one in yaml.safe_load(each)["evals"]]


def test_the_suite_is_valid() -> None:
    """It is read without a fault; with a word misspelt it is not."""
    for each in blocks("name:"):
        assert parse(each).cases
        with pytest.raises(SuiteError, match="MustCal"):
            parse(each.replace("MustCall", "MustCal"))


def test_every_evaluator_and_every_verb_is_told_of() -> None:
    """None has to be found in the code."""
    assert [kind for kind in KINDS if f"`{kind}" not in _PAGE] == []
    assert [verb for verb in VERBS if not re.search(rf"rollout {verb}\b", _PAGE)] == []


def test_the_simulation_shows_what_the_page_shows() -> None:
    """Every line of it, with `…` for a part that is not shown."""
    ((command, shown),) = re.findall(r"^\$ kubectl proctor (.*)\n((?:.*\n)*?)^```$", _PAGE, re.MULTILINE)
    result: Any = CliRunner().invoke(app, command.split(), env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0
    lines = iter(" ".join(line.split()) for line in result.output.splitlines())
    for each in shown.splitlines():
        pattern = ".*".join(re.escape(part) for part in " ".join(each.split()).split("…"))
        assert any(re.fullmatch(pattern, line) for line in lines), each
