"""Upgrades at the terminal: what is told, with which exit code, and how a verdict is reckoned."""

from __future__ import annotations

import io
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from proctor.api.agent import Agent
from proctor.cli.draw import rollout as draw
from proctor.cli.errors import Code
from proctor.cli.facts import Listing
from proctor.cli.main import app
from proctor.cli.terminal import Terminal
from proctor.cli.verbs.rollout import VERBS
from proctor.cli.views import answers, arithmetic, why
from proctor.cli.views.agent import revisions
from proctor.cli.views.rollout import RolloutView, change, numbered, view
from proctor.delivery.evidence import Capital
from proctor.delivery.evidence.record import dump
from tests.cli.objects import T0, a_condition, an_agent, facts, with_status
from tests.delivery.worlds import World, after_all, dice

STEPS = {
    "steps": [{"evals": {}}, {"weight": 10, "until": {"minTasks": 20}}, {"weight": 50, "approval": {"groups": ["sre"]}}]
}
VERDICT = {
    "state": "Undecided",
    "text": "Collecting 34/60",
    "tasks": 210,
    "harm": {"e": "1.8", "threshold": "20"},
    "nonInferior": {"e": "0.6", "threshold": "10", "etaTasks": 120},
    "metrics": [
        {
            "name": "answered",
            "candidate": {"bad": "3", "tasks": 34},
            "stable": {"bad": "9", "tasks": 176},
            "e": "1.8",
            "promotion": "0.6",
            "margin": "0.1",
        }
    ],
}
EVIL = "\x1b[2Jowned\u202e"


def an_upgrade(phase: str, *, generation: int = 1, **rollout: Any) -> Agent:
    """An Agent whose upgrade is in this phase."""
    revision: dict[str, Any] = {"stable": "a" * 10, **rollout.pop("revision", {})}
    body = with_status(
        an_agent(rollout=STEPS),
        a_condition("Ready", "True", "Serving"),
        revision=revision,
        rollout={"phase": phase, **rollout},
    )
    body["metadata"]["generation"] = generation
    return Agent.parse(body)


TRIED = {"candidate": "b" * 10}
COLLECTING = an_upgrade(
    "Collecting", revision=TRIED, step=1, weight=10, exposed=34, startedAt="2026-11-22T11:00:00Z", verdict=VERDICT
)


@pytest.mark.parametrize(
    ("agent", "code", "has_ended"),
    [
        (an_upgrade("Settled"), Code.OK, True),
        (an_upgrade("Settled", generation=2), Code.UNDER_WAY, False),
        (an_upgrade("Settled", revision={"undoneTo": "c" * 10}), Code.NOT_SO, True),
        (an_upgrade("Watching", revision={"previous": "c" * 10}), Code.OK, True),
        (an_upgrade("Progressing", revision=TRIED), Code.UNDER_WAY, False),
        (an_upgrade("Examining", revision=TRIED, step=0), Code.UNDER_WAY, False),
        (COLLECTING, Code.UNDER_WAY, False),
        (an_upgrade("Paused", revision=TRIED, step=1, until="2026-11-22T13:00:00Z"), Code.UNDER_WAY, False),
        (an_upgrade("Paused", revision=TRIED, step=1), Code.WAITS, False),
        (an_upgrade("Held", revision=TRIED, step=1, reason="Inconclusive"), Code.WAITS, False),
        (an_upgrade("AwaitingApproval", revision=TRIED, step=2), Code.WAITS, False),
        (an_upgrade("Aborting", revision=TRIED), Code.NOT_SO, False),
        (an_upgrade("Reverting", revision=TRIED), Code.NOT_SO, False),
        (an_upgrade("Failed", revision={"blocked": ["b" * 10]}), Code.NOT_SO, True),
        (Agent.parse(an_agent()), Code.UNDER_WAY, False),
    ],
)
def test_a_pipeline_learns_by_the_exit_code(agent: Agent, code: Code, has_ended: bool) -> None:
    """Promoted, refused, under way or waiting for a person: each phase has its code, and only two kinds have ended."""
    seen = view(agent)
    assert (seen.code, seen.has_ended) == (code, has_ended)


def drawn(seen: RolloutView, width: int = 140) -> str:
    """The picture as text."""
    terminal = Terminal.on(io.StringIO(), io.StringIO(), width=width)
    terminal.say(draw.rollout(seen, T0, width))
    file: Any = terminal.out.file
    return str(file.getvalue())


def test_the_picture_tells_steps_traffic_and_evidence() -> None:
    """Where it is, what comes next, who gets the tasks, what the figures are and what they take."""
    picture = drawn(view(COLLECTING))
    for words in (
        "Collecting 34/60",
        "10 % of new tasks, 34 tasks so far",
        "● exam",
        "◐ 10 % of the tasks until 20 tasks, 10m",
        "· 50 % of the tasks, after sre approved",
        "worse than stable?  1.8 of 20",
        "shown no worse?     0.6 of 10",
        "about 120 tasks more",
        "3 of 34",
        "9 of 176",
    ):
        assert words in picture, picture


def test_a_budget_that_holds_an_upgrade_up_is_told() -> None:
    """Why nothing goes on, and because of which objective."""
    body = with_status(
        an_agent(rollout=STEPS),
        a_condition("Ready", "True", "Serving"),
        revision={"stable": "a" * 10, **TRIED},
        rollout={"phase": "Collecting", "step": 1, "weight": 10},
        releaseGate={"state": "Freeze", "objective": "answered", "message": "answered has spent its budget"},
    )
    assert "answered has spent its budget" in drawn(view(Agent.parse(body)))


def test_what_others_wrote_cannot_command_the_terminal() -> None:
    """Messages of exams and outcomes are shown without escapes."""
    exams = [{"name": "golden", "state": "Failed", "passed": 1, "cases": 2, "message": EVIL}]
    last = {
        "type": "Failed",
        "revision": "b" * 10,
        "reason": "ExamFailed",
        "message": EVIL,
        "at": "2026-11-22T11:00:00Z",
    }
    seen = view(an_upgrade("Failed", revision={"blocked": ["b" * 10]}, message=EVIL, exams=exams, lastOutcome=last))
    picture = drawn(seen)
    assert "\x1b" not in picture
    assert "\u202e" not in picture
    assert "1 of 2 cases" in picture
    assert "rollout retry refunds -n support" in picture


def test_cases_that_are_lost_are_named() -> None:
    """What stable passes and the candidate does not, and how likely that is by chance."""
    lost = {"baseline": "1", "regressed": ["too-old", "too-dear"], "chance": "0.03"}
    exams = [{"name": "golden", "state": "Failed", "passed": 8, "cases": 10, **lost}]
    seen = view(an_upgrade("Failed", revision={"blocked": ["b" * 10]}, exams=exams))
    assert "8 of 10 cases (stable 1, lost: too-old, too-dear, by chance 0.03)" in drawn(seen)


def test_a_line_is_told_when_something_happens_not_when_a_figure_moves() -> None:
    """The same phase, step, weight and text are one line, whatever the evidence comes to."""
    moved = {**VERDICT, "text": "Collecting 35/60", "harm": {"e": "2.4", "threshold": "20"}}
    again = an_upgrade("Collecting", revision=TRIED, step=1, weight=10, exposed=35, verdict=moved)
    assert change(view(COLLECTING)) == change(view(again))
    further = an_upgrade("Collecting", revision=TRIED, step=2, weight=50, verdict=VERDICT)
    assert change(view(COLLECTING)) != change(view(further))


def an_event(reason: str, message: str, seconds: int, name: str = "refunds") -> dict[str, Any]:
    """An Event about an Agent."""
    at = (T0 + timedelta(seconds=seconds)).isoformat()
    return {
        "metadata": {},
        "involvedObject": {"kind": "Agent", "name": name},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], None),
        ([an_event("CommandDone", "old", -60)], None),
        ([an_event("CommandDone", "of another", 1, name="other")], None),
        ([an_event("Promoted", "no answer", 1)], None),
        ([an_event("CommandDone", "done", 1), an_event("CommandDone", "old", -60)], (False, "done")),
        ([an_event("CommandDone", "first", 1), an_event("CommandRefused", "no", 2)], (True, "no")),
        ([an_event("Undone", "back", 0)], (False, "back")),
    ],
)
def test_the_operator_s_answer_is_found_among_the_events(
    events: list[dict[str, Any]], told: tuple[bool, str] | None
) -> None:
    """The newest answer about this agent that is not older than the command."""
    found = answers.to_command(events, "refunds", T0)
    assert (None if found is None else (found.is_refusal, found.message)) == told


def a_record(capital: Capital) -> dict[str, Any]:
    """The ConfigMap in which the operator keeps the evidence."""
    return {"metadata": {"name": "refunds-evidence"}, "data": {"capital": dump(capital)}}


def test_the_arithmetic_leads_from_bad_tasks_to_the_verdict() -> None:
    """Counts, both tests, their average and the threshold; the figures are those of the capital itself."""
    capital = after_all(World(0.05, 0.6), dice(1), 120)
    agent = an_upgrade("Collecting", revision=TRIED, step=1, verdict=VERDICT, evidenceRef="refunds-evidence")
    told = arithmetic.of_verdict(agent, Listing((a_record(capital),)))
    assert told is not None
    account = capital.accounts["answered"]
    assert f"candidate {account.candidate.bad:g} bad of {account.candidate.n}" in told
    assert "rolled back from 1/alpha = 20" in told
    assert re.search(r"difference \+\d+\.\d points, about [+-]\d+\.\d to \+\d+\.\d", told)
    assert "of 1/beta = 10" in told
    assert capital.digest in told


@pytest.mark.parametrize(
    "listing", [Listing(), Listing(withheld="you may not"), Listing(({"metadata": {"name": "refunds-evidence"}},))]
)
def test_without_the_evidence_there_is_no_arithmetic(listing: Listing) -> None:
    """Where it may not be seen, or cannot be read, nothing is made up; the verdict's own figures stay."""
    agent = an_upgrade("Collecting", revision=TRIED, step=1, verdict=VERDICT, evidenceRef="refunds-evidence")
    assert arithmetic.of_verdict(agent, listing) is None


def test_explain_tells_of_the_upgrade_and_its_evidence() -> None:
    """The chain of causes has where the upgrade is, what the evidence says and how that was reckoned."""
    body = with_status(
        an_agent(rollout=STEPS),
        a_condition("Ready", "True", "Serving"),
        revision={"stable": "a" * 10, **TRIED},
        rollout={"phase": "Collecting", "step": 1, "weight": 10, "verdict": VERDICT, "evidenceRef": "refunds-evidence"},
    )
    record = a_record(after_all(World(0.05, 0.1), dice(1), 60))
    told = why.story(facts(body, evidence=(record,)), Listing(), T0)
    texts = {cause.title: cause.text for cause in told.causes}
    assert (
        "10 % of the new tasks go to"
        in texts["an upgrade is Collecting at step 2, 10 % of the tasks until 20 tasks, 10m"]
    )
    assert "worse?" in texts["evidence: Undecided"]


def a_revision(number: int, revision: str) -> dict[str, Any]:
    """A ControllerRevision."""
    return {
        "revision": number,
        "metadata": {"labels": {"proctor.dev/revision": revision}, "creationTimestamp": "2026-11-22T11:00:00Z"},
        "data": {"spec": {"model": {"name": "m"}, "runtime": {"image": "i"}}},
    }


def test_revisions_have_numbers() -> None:
    """By which `undo` and `diff` name them, the newest first."""
    items = (a_revision(1, "a" * 10), a_revision(2, "b" * 10))
    assert numbered(items) == {1: "a" * 10, 2: "b" * 10}
    assert [each.role for each in revisions(COLLECTING, items)] == ["candidate", "stable"]


def run(*words: str) -> Any:
    """The program with these words."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_word_teaches_by_examples(verb: str) -> None:
    """Every verb of `rollout` shows how it is used, and its exit codes."""
    result = run("rollout", verb, "--help")
    assert result.exit_code == 0
    assert f"kubectl proctor rollout {verb}" in result.output
    assert "Exit codes" in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["status", "a", "--timeout", "1m"], "--timeout needs --watch"),
        (["simulate", "--weights", "ten"], "numbers with commas between them"),
        (["simulate", "--weights", "100"], "weights between 0 and 100 percent"),
        (["simulate", "--base-rate", "7"], "7.0 is no share"),
        (["begin"], "No such command 'begin'"),
    ],
)
def test_a_mistake_is_told_in_words(words: list[str], says: str) -> None:
    """With exit code 2, and without a traceback."""
    result = run("rollout", *words)
    assert result.exit_code == Code.USAGE
    assert says in " ".join(result.output.split())


def test_a_simulation_tells_what_an_upgrade_takes() -> None:
    """The same question has the same answer; a bad candidate is caught, an equal one promoted."""
    words = (
        "rollout",
        "simulate",
        "--weights",
        "50",
        "--margin",
        "0.2",
        "--worse",
        "0.6",
        "--runs",
        "12",
        "-o",
        "json",
    )
    first, second = run(*words), run(*words)
    assert first.exit_code == 0
    assert first.output == second.output
    alike, worse, bad = json.loads(first.output)["forecasts"]
    assert alike["promoted"] >= 0.8
    assert bad["rolledBack"] == 1
    assert bad["exposed"] < worse["exposed"] * 2
    assert bad["extraBad"] > 0


SUITE = "name: s\ncases: [{name: one, inputs: 1, repeats: 2, evaluators: [{Contains: a}]}]\n"
WRONG = "name: s\ncases: [{name: one, evaluators: [Nope]}]\n"


def a_map(suite: str) -> str:
    """A manifest of the suite's ConfigMap."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "evals"}, "data": {"suite.yaml": suite}}
    return yaml.safe_dump(body)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (SUITE, Code.OK, "s: 1 case, 2 trials"),
        (a_map(SUITE), Code.OK, "Contains"),
        (WRONG, Code.ERROR, "case one: inputs: Field required"),
        (a_map(WRONG), Code.ERROR, "evals: case one"),
        (a_map(SUITE) + "---\n" + a_map("x"), Code.ERROR, "a suite is an object"),
        ("[", Code.ERROR, "no YAML"),
        (yaml.safe_dump({"kind": "ConfigMap", "metadata": {"name": "evals"}}), Code.ERROR, "has 0 keys"),
    ],
)
def test_a_suite_is_read_before_anybody_is_examined(tmp_path: Path, content: str, code: Code, says: str) -> None:
    """By itself or in its ConfigMap; what is wrong is named, with exit code 1."""
    file = tmp_path / "suite.yaml"
    file.write_text(content)
    result = run("rollout", "exam", str(file))
    assert result.exit_code == code
    assert says in " ".join(result.output.split())


def test_the_sample_s_exam_can_be_used() -> None:
    """As the page says."""
    assert run("rollout", "exam", "manifests/samples/refunds-upgrade/evals.yaml").exit_code == Code.OK
    assert run("rollout", "exam", "absent.yaml").exit_code == Code.USAGE
