"""Tasks, calls and log lines in a person's words."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proctor.cli import inputs
from proctor.cli.errors import Misused
from proctor.cli.tasks import Call, Task
from proctor.cli.views import log
from proctor.cli.views import task as views
from proctor.cli.views.tone import Tone
from tests.cli.objects import T0


def a_task(**more: Any) -> Task:
    """A task of the agent refunds, made at T0."""
    body = {
        "id": "t1",
        "agent": {"namespace": "support", "name": "refunds"},
        "phase": "Succeeded",
        "createdAt": T0.isoformat(),
        "finishedAt": (T0 + timedelta(seconds=3.2)).isoformat(),
        "attempts": 1,
        **more,
    }
    return Task.model_validate(body)


def a_call(**more: Any) -> Call:
    """A model call."""
    return Call.model_validate({"id": "c", "sequence": 1, "kind": "Model", "connector": "llm", "name": "m", **more})


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (a_task(), "in 3.2s"),
        (
            a_task(usage={"steps": 3, "toolCalls": 1, "inputTokens": 1200, "outputTokens": 34, "cost": "0.00120"}),
            "in 3.2s · 4 calls · 1,234 tokens · cost 0.0012",
        ),
        (a_task(usage={"steps": 1, "cost": None}, attempts=2), "in 3.2s · 1 call · 2 attempts"),
    ],
)
def test_what_a_task_took_is_one_line(task: Task, words: str) -> None:
    """Time, calls, tokens and cost, each only if there is something to say."""
    assert views.summary(task, T0) == words


def test_a_fault_has_advice_with_the_tasks_names() -> None:
    """What to look at, as a command."""
    task = a_task(phase="Failed", error={"reason": "AgentError", "message": "x"})
    assert views.advice(task) == "the agent's program failed; kubectl proctor logs refunds -n support --task t1"
    assert views.advice(a_task()) == ""


@pytest.mark.parametrize(
    ("line", "message", "tone", "rest"),
    [
        ('{"level": "info", "message": "ready", "agent": "refunds", "task": "t1"}', "ready", Tone.GOOD, {"task": "t1"}),
        ('{"level": "error", "event": "failed", "code": 7}', "failed", Tone.BAD, {"code": 7}),
        ('{"severity": "WARN", "msg": "slow"}', "slow", Tone.WARN, {}),
        ("no json at all", "no json at all", Tone.QUIET, {}),
        ('"a json text"', '"a json text"', Tone.QUIET, {}),
    ],
)
def test_a_log_line_is_read_whoever_wrote_it(line: str, message: str, tone: Tone, rest: dict[str, Any]) -> None:
    """structlog's, the standard library's or anybody's JSON; and text that is none."""
    found = log.parse("p", f"2026-11-22T12:00:00.5Z {line}")
    assert (found.message, found.tone, found.rest, found.raw) == (message, tone, rest, line)
    assert found.at == T0 + timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("line", "is_mine"),
    [
        ('{"task": "t1"}', True),
        ('{"task_id": "t1"}', True),
        ('{"task": "t12"}', False),
        ('{"message": "t1"}', False),
        ("task t1 began", True),
        ("nothing", False),
    ],
)
def test_a_line_belongs_to_the_task_that_it_names(line: str, is_mine: bool) -> None:
    """By its field; a line that is no JSON by its text."""
    assert log.parse("p", line).is_about("t1") is is_mine
    assert log.parse("p", line).is_about(None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Please refund", "Please refund"),
        ('{"order": 1}', {"order": 1}),
        (" [1]", [1]),
        ("42", "42"),
        ("true", "true"),
        ('"quoted"', '"quoted"'),
        ("", ""),
    ],
)
def test_an_input_is_json_only_if_it_looks_like_it(text: str, value: Any) -> None:
    """Objects and lists are JSON, everything else is what the person wrote."""
    assert inputs.parsed(text, "INPUT", as_text=False) == value
    assert inputs.parsed(text, "INPUT", as_text=True) == text


def test_broken_json_is_told_with_the_way_out() -> None:
    """A text that happens to begin with a bracket can be sent as it is."""
    with pytest.raises(Misused) as raised:
        inputs.parsed("[urgent] please", "INPUT", as_text=False)
    assert raised.value.hints == ("--text sends it as a text",)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a.json", '{"a": 1}', {"a": 1}),
        ("a.yaml", "a: 1\n", {"a": 1}),
        ("a.txt", "a: 1\n", "a: 1"),
        ("a.json", json.dumps("text"), "text"),
    ],
)
def test_a_file_is_what_its_ending_says(tmp_path: Path, name: str, text: str, value: Any) -> None:
    """JSON and YAML by name, everything else as text."""
    (tmp_path / name).write_text(text)
    assert inputs.from_file(tmp_path / name, as_text=False) == value
