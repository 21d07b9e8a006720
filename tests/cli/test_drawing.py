"""What reaches the terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from proctor.cli.draw import agent as draw_agent
from proctor.cli.draw import fleet as draw_fleet
from proctor.cli.draw import log as draw_log
from proctor.cli.draw import plan as draw_plan
from proctor.cli.draw import task as draw_task
from proctor.cli.draw import why as draw_why
from proctor.cli.facts import Listing
from proctor.cli.manifests import Fault
from proctor.cli.terminal import Terminal
from proctor.cli.views import agent as agents
from proctor.cli.views import changeset, fleet, log, why
from proctor.cli.views.changeset import Knowledge, Target
from tests.cli.objects import (
    T0,
    a_condition,
    a_connector,
    a_pod,
    a_ready,
    a_realm,
    a_settled_realm,
    an_agent,
    facts,
    with_status,
)
from tests.cli.test_tasks_and_logs import a_call, a_task

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e[bold red]markup[/]"


def _drawn(what: Any, width: int = 120) -> str:
    terminal = Terminal.on(io.StringIO(), io.StringIO(), width=width)
    terminal.say(what)
    file: Any = terminal.out.file
    return str(file.getvalue())


def _evil_agent() -> dict[str, Any]:
    body = with_status(
        an_agent(purpose=EVIL, owner={"team": EVIL, "contact": EVIL}),
        a_condition("Ready", "False", "Evil", EVIL),
        sandbox={"profile": "Standard", "networkIsolation": "NotEnforced", "message": EVIL},
    )
    waiting: dict[str, Any] = {"state": {"waiting": {"reason": "Bad", "message": EVIL}}}
    body["_pod"] = a_pod(is_ready=False, **waiting)
    return body


def _pictures() -> dict[str, Any]:
    body = _evil_agent()
    seen = facts(
        body, pods=(body["_pod"],), connectors=(with_status(a_connector(), a_condition("Ready", "False", "E", EVIL)),)
    )
    task = a_task(phase="Failed", input=EVIL, output={"a": EVIL}, error={"reason": "Evil", "message": EVIL})
    call = a_call(kind="Tool", state="Failed", arguments={"a": EVIL}, error={"reason": "E", "message": EVIL})
    realm = a_realm(a_connector())
    changed = an_agent(
        instructions=f"{EVIL}\n{EVIL}", model={"connector": "llm", "name": "m", "parameters": {"stop": EVIL}}
    )
    change = changeset.make(
        Knowledge((Target(EVIL, "support", an_agent(), changed),), {"support": realm},
                  {"support": realm.with_objects([changed])}, {}, (EVIL,)), T0,
    )  # fmt: skip
    return {
        "fleet": draw_fleet.fleet(fleet.rows([body]), T0, 120),
        "change": draw_fleet.change(fleet.rows([body])[0], T0),
        "agent": draw_agent.agent(agents.view(seen), T0, 120),
        "why": draw_why.story(why.story(seen, Listing(), T0), T0, 120),
        "task": draw_task.task(task, [call], T0, 120),
        "ending": draw_task.ending(task, T0),
        "answer": draw_task.answer(EVIL),
        "log": draw_log.line(
            log.parse(EVIL, json.dumps({"level": EVIL, "message": EVIL, EVIL: EVIL, "a": {EVIL: f"{EVIL}\n"}})),
            "refunds",
        ),
        "log line": draw_log.line(log.parse("refunds-1", EVIL), "refunds"),
        "plan": draw_plan.plan(change),
        "faults": draw_plan.faults([Fault(EVIL, EVIL, EVIL, EVIL)]),
    }


@pytest.mark.parametrize("name", _pictures())
def test_no_picture_lets_anybody_command_the_terminal(name: str) -> None:
    """Whatever a spec, a status, a pod, a tool or an agent says: no escape reaches the screen, no markup is obeyed."""
    shown = _drawn(_pictures()[name])
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "markup" not in shown or "[bold red]markup[/]" in shown


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's terminal gets colours, NO_COLOR takes them away, a pipe never gets any."""
    picture = draw_fleet.summary(fleet.rows([an_agent()]))
    coloured = Terminal.on(io.StringIO(), io.StringIO(), width=80, is_terminal=True)
    coloured.say(picture)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal.on(io.StringIO(), io.StringIO(), width=80, is_terminal=True)
    plain.say(picture)
    shown: list[Any] = [coloured.out.file, plain.out.file]
    assert "\x1b[31m" in shown[0].getvalue()
    assert "\x1b[31m" not in shown[1].getvalue()
    assert "\x1b" not in _drawn(picture)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_the_fleet_fits_the_terminal(width: int) -> None:
    """What is less important is left out; the name and whether it is ready never are, and nothing is cut."""
    rows = fleet.rows([a_ready(an_agent("a-name-of-average-length")), an_agent("another")])
    lines = _drawn(draw_fleet.fleet(rows, T0, width), width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert "a-name-of-average-length" in lines[1]
    assert "True" in lines[1]
    assert "…" not in "".join(lines)


def test_a_pipe_gets_whole_lines() -> None:
    """No line is broken or filled up with blanks, however long a message is."""
    message = "a word " * 100
    body = with_status(an_agent(), a_condition("Ready", "False", "Because", message.strip()))
    drawn = _drawn(draw_agent.agent(agents.view(facts(body)), T0, 100_000), 100_000)
    assert message.strip() in drawn
    assert not any(line.endswith(" ") for line in drawn.splitlines())


def test_a_column_that_says_nothing_is_left_out() -> None:
    """No candidate anywhere: no column for it."""
    drawn = _drawn(draw_fleet.fleet(fleet.rows([a_ready(an_agent())]), T0, 200), 200)
    assert "CANDIDATE" not in drawn


def test_a_plan_reads_from_top_to_bottom() -> None:
    """State, revision with its reasons, what is made now and what goes later, and the sum."""
    before = a_settled_realm(an_agent(instructions="One.\nTwo.\n"), a_connector())
    live = before.agents["refunds"]
    after = {**an_agent(instructions="One.\nThree.\n"), "status": live["status"]}
    known = Knowledge(
        (Target("a.yaml:1", "support", live, after),),
        {"support": before},
        {"support": before.with_objects([after])},
        {},
    )
    drawn = _drawn(draw_plan.plan(changeset.make(known, T0)))
    expected = [
        "~ Agent support/refunds  changed  a.yaml:1", "→", "(number 2), new", "~ instructions", "-Two.", "+Three.",
        "now", "+ Deployment", "once its pods are ready", "- Deployment", "plan: 1 changed · 1 new revision",
    ]  # fmt: skip
    place = -1
    for words in expected:
        place = drawn.index(words, place + 1)
