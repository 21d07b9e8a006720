"""Objectives at the terminal."""

from __future__ import annotations

import io
from typing import Any

from proctor.cli.draw import agent as draw_agent
from proctor.cli.facts import Listing
from proctor.cli.terminal import Terminal
from proctor.cli.views import agent as agents
from proctor.cli.views import why
from tests.cli.objects import T0, a_ready, an_agent, facts

SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]
BREACHED = {
    "name": "answered",
    "state": "Breached",
    "message": "12 bad of 200 in 28d; 99 % are to be good",
    "target": "0.99",
    "window": "28d",
    "sli": "0.94",
    "good": 188,
    "total": 200,
    "budgetRemaining": "-5",
    "eventsLeft": -10,
    "asOf": "2026-11-22T11:58:00Z",
}


def drawn(*slos: dict[str, Any], width: int = 160, **status: Any) -> str:
    """The agent's page."""
    body = a_ready(an_agent(slos=SLOS))
    body["status"] |= {"slos": list(slos), **status}
    terminal = Terminal.on(io.StringIO(), io.StringIO(), width=width)
    terminal.say(draw_agent.agent(agents.view(facts(body)), T0, width))
    file: Any = terminal.out.file
    return " ".join(str(file.getvalue()).split())


def test_an_objective_is_a_line():
    """State, share, target, what is left, how old that is, and why."""
    found = drawn(BREACHED)
    assert "OBJECTIVES" in found
    assert "answered ✗ Breached 94% 99% -500% -10 28d 2m 12 bad of 200 in 28d" in found


def test_what_was_not_measured_is_no_number():
    """Not zero, and not a hundred percent."""
    unknown = {"name": "answered", "state": "InsufficientData", "message": "not measured yet", "target": "0.99"}
    assert "answered ? InsufficientData - 99% - 28d not measured yet" in drawn({**unknown, "window": "28d"})


def test_a_frozen_upgrade_says_so():
    """And because of which objective."""
    gate = {"state": "Freeze", "objective": "answered", "message": "answered has -500 % of its error budget left"}
    assert "upgrades: Freeze; answered has -500 %" in drawn(BREACHED, releaseGate=gate)


def test_an_override_is_named_with_its_end():
    """Who looks at a frozen agent that is upgraded has to know why."""
    gate = {"state": "Freeze", "message": "spent", "override": "refunds-b-budget-0"}
    told = drawn(BREACHED, releaseGate={**gate, "overrideUntil": "2026-11-23T11:00:00Z"})
    assert "upgrades: Freeze; spent; overridden by Approval refunds-b-budget-0 until 2026-11-23 11:00 UTC" in told


def test_without_objectives_there_is_no_section():
    """Nothing to say is not said."""
    assert "OBJECTIVES" not in drawn()


def test_explain_names_what_is_missed_and_what_that_holds_up():
    """With the next step; an objective that is met is no cause of anything."""
    body = a_ready(an_agent(slos=SLOS))
    gate = {"state": "Freeze", "objective": "answered", "message": "answered has -500 % of its error budget left"}
    body["status"] |= {"slos": [BREACHED, {**BREACHED, "name": "fast", "state": "Met"}], "releaseGate": gate}
    causes = {each.title: each for each in why.story(facts(body), Listing(), T0).causes}
    assert "12 bad of 200" in causes["objective answered: Breached"].text
    assert "gate.rollout: false" in causes["error budgets hold up upgrades"].steps[0]
    assert "objective fast: Met" not in causes
