"""A person's word in an upgrade: what is written, what is waited for, and what it ends with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proctor.api import names
from proctor.cli.errors import Code
from proctor.cli.main import app
from tests.cli.api_server import kubeconfig
from tests.cli.objects import a_condition, an_agent, with_status
from tests.cli.rollout_server import State, running
from tests.cli.test_rollout import STEPS, VERDICT, a_revision

A, B, C = "a" * 10, "b" * 10, "c" * 10
UNDER_WAY: dict[str, Any] = {
    "revision": {"stable": A, "candidate": B},
    "rollout": {"phase": "Collecting", "step": 1, "weight": 10},
}
BLOCKED = {
    "revision": {"stable": A, "blocked": [B]},
    "rollout": {"phase": "Failed", "startedAt": "2026-11-22T11:00:00Z"},
}
SETTLED = {"revision": {"stable": A, "served": [A, C]}, "rollout": {"phase": "Settled"}}
Run = Callable[..., Any]


def a_state(status: dict[str, Any], **more: Any) -> State:
    """An Agent with this status and three revisions."""
    body = with_status(an_agent(rollout=STEPS), a_condition("Ready", "True", "Serving"), **status)
    return State(body, [a_revision(1, C), a_revision(2, A), a_revision(3, B)], **more)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `rollout` with these words against a state."""

    def start(state: State, *words: str) -> Any:
        with running(state) as url:
            config = str(kubeconfig(tmp_path / "kubeconfig", url))
            arguments = ("rollout", *words, "--kubeconfig", config)
            result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160", "NO_COLOR": "1"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return start


@pytest.mark.parametrize(
    ("words", "status", "command"),
    [
        (["promote", "refunds"], UNDER_WAY, f"promote@{B}"),
        (["promote", "refunds", "--full"], UNDER_WAY, f"promote-full@{B}"),
        (["abort", "refunds"], UNDER_WAY, f"abort@{B}"),
        (["pause", "refunds"], UNDER_WAY, f"pause@{B}"),
        (["resume", "refunds"], UNDER_WAY, f"resume@{B}"),
        (["retry", "refunds"], BLOCKED, f"retry@{B}"),
        (["undo", "refunds"], SETTLED, f"undo@{C}"),
        (["undo", "refunds", "--to-revision", "3"], SETTLED, f"undo@{B}"),
        (["undo", "refunds", "--to-revision", B], SETTLED, f"undo@{B}"),
    ],
)
def test_a_command_is_an_annotation_and_nothing_else(
    run: Run, words: list[str], status: dict[str, Any], command: str
) -> None:
    """One merge patch, of one annotation, which names the revision and has a nonce; the spec is never in it."""
    state = a_state(status)
    result = run(state, *words)
    assert result.exit_code == Code.OK, result.output
    assert "● done" in result.output
    ((content_type, body),) = state.patches
    assert content_type == "application/merge-patch+json"
    assert set(body) == {"metadata"}
    assert set(body["metadata"]) == {"annotations"}
    assert set(body["metadata"]["annotations"]) == {names.COMMAND}
    assert re.fullmatch(rf"{command}/[0-9a-f]{{8}}", body["metadata"]["annotations"][names.COMMAND])


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["promote", "refunds"], SETTLED, "there is no upgrade under way"),
        (["abort", "refunds"], BLOCKED, "there is no upgrade under way"),
        (["retry", "refunds"], UNDER_WAY, "no revision is blocked"),
    ],
)
def test_where_there_is_nothing_to_decide_nothing_is_written(
    run: Run, words: list[str], status: dict[str, Any], says: str
) -> None:
    """With exit code 3: no error, but no."""
    state = a_state(status)
    result = run(state, *words)
    assert (result.exit_code, state.patches) == (Code.NOT_SO, [])
    assert says in result.output


def test_a_refusal_is_told(run: Run) -> None:
    """What the operator says against it is shown, with exit code 3."""
    result = run(a_state(UNDER_WAY, answer=("CommandRefused", "the step needs an Approval")), "promote", "refunds")
    assert result.exit_code == Code.NOT_SO
    assert "✗ the step needs an Approval" in result.output


def test_an_operator_that_is_away_is_not_waited_for_for_ever(run: Run) -> None:
    """With exit code 6; the command stands, and is obeyed later."""
    result = run(a_state(UNDER_WAY, answer=None), "promote", "refunds", "--timeout", "1s")
    assert result.exit_code == Code.TIMEOUT
    assert "has not answered" in result.output
    assert run(a_state(UNDER_WAY, answer=None), "promote", "refunds", "--timeout", "0s").exit_code == Code.OK


def test_two_people_do_not_take_each_other_s_answer_for_theirs(run: Run) -> None:
    """Who is overwritten before the operator heard it learns that."""
    result = run(a_state(UNDER_WAY, overwrites=f"abort@{B}/other"), "promote", "refunds")
    assert result.exit_code == Code.ERROR
    assert f"somebody else said abort@{B}/other" in result.output


def test_who_may_not_patch_may_not_command(run: Run) -> None:
    """With exit code 5."""
    result = run(a_state(UNDER_WAY, refuses=403), "abort", "refunds")
    assert result.exit_code == Code.DENIED


def test_a_revision_that_is_not_kept_cannot_be_gone_back_to(run: Run) -> None:
    """The error names those that are."""
    result = run(a_state(SETTLED), "undo", "refunds", "--to-revision", "9")
    assert result.exit_code == Code.NOT_FOUND
    assert f"1 ({C}), 2 ({A}), 3 ({B})" in result.output


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ({"revision": {"stable": B}, "rollout": {"phase": "Watching"}}, Code.OK),
        ({"revision": {"stable": A, "blocked": [B]}, "rollout": {"phase": "Failed", "message": "worse"}}, Code.NOT_SO),
    ],
)
def test_a_pipeline_stays_until_the_upgrade_has_ended(run: Run, last: dict[str, Any], code: Code) -> None:
    """Each phase is a line; the exit code is that of the end."""
    collecting = {**UNDER_WAY, "rollout": {**UNDER_WAY["rollout"], "verdict": VERDICT}}
    state = a_state(UNDER_WAY, phases=[UNDER_WAY, collecting, collecting, last])
    result = run(state, "status", "refunds", "--watch", "--timeout", "20s")
    assert result.exit_code == code
    assert result.stderr.count("◐ Collecting") == 2
    assert last["rollout"]["phase"] in result.output


def test_a_pipeline_does_not_wait_for_ever(run: Run) -> None:
    """With exit code 6, and where it stands."""
    result = run(a_state(UNDER_WAY), "status", "refunds", "--watch", "--timeout", "1s")
    assert result.exit_code == Code.TIMEOUT
    assert "has not ended within 1s: Collecting" in result.output


def test_two_revisions_are_compared(run: Run) -> None:
    """Field by field, with exit code 3 if they differ; by default the stable one and the one that is tried."""
    state = a_state(UNDER_WAY)
    state.revisions[2]["data"]["spec"]["model"]["name"] = "other"
    result = run(state, "diff", "refunds")
    assert result.exit_code == Code.NOT_SO
    assert f"2 ({A}, stable) → 3 ({B}, candidate)" in result.output
    assert "model.name  m → other" in " ".join(result.output.split("\n")).replace("~ ", "")
    assert run(state, "diff", "refunds", "1", "2").exit_code == Code.OK
    assert run(state, "diff", "refunds", "1", "8").exit_code == Code.NOT_FOUND


def test_history_lists_the_newest_first(run: Run) -> None:
    """With numbers, roles and whether they have served."""
    result = run(a_state(SETTLED), "history", "refunds", "-o", "name")
    assert result.output.split() == [B, A, C]
    table = run(a_state(SETTLED), "history", "refunds").output
    assert re.search(rf"2\s+{A}\s+stable\s+yes", table)
    assert re.search(rf"3\s+{B}\s+kept\s+no", table)
