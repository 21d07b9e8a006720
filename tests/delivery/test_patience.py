"""With little error budget left, upgrades take longer at every weight."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from proctor.delivery import machine
from proctor.delivery.evidence import Capital
from proctor.delivery.machine import decide
from proctor.delivery.phases import Collecting
from tests.delivery.test_steps import EXAM, FIRST, LAST, PAUSE, SECOND, T0, at, capital, seen, wanted

MINUTES = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("patience", "tasks", "minutes", "goes_on"),
    [(1, 30, 12, True), (2, 30, 12, False), (2, 30, 30, False), (2, 45, 12, False), (2, 45, 30, True)],
    ids=["as declared", "slow: neither", "slow: too few tasks", "slow: too short a time", "slow: twice of both"],
)
def test_a_weight_takes_as_long_as_it_must(patience: int, tasks: int, minutes: int, goes_on: bool):
    """20 tasks and 10 minutes are declared; with twice the patience it is 40 tasks and 20 minutes."""
    asked = replace(wanted(), patience=patience)
    known: Capital = capital(tasks=tasks)
    decision = decide(asked, Collecting(at(FIRST)), seen(capital=known), T0 + minutes * MINUTES)
    assert isinstance(decision.rollout, Collecting) is not goes_on


@pytest.mark.parametrize(
    ("patience", "expected"),
    [(1, [0, 10, 10, 50, 50]), (2, [0, 5, 5, 25, 25])],
    ids=["as declared", "slow: half"],
)
def test_a_weight_is_no_larger_than_it_must(patience: int, expected: list[int]):
    """10 and 50 are declared; a step without a weight has that of the one before, if there is one."""
    asked = replace(wanted(), patience=patience)
    assert [machine.weight(Collecting(at(step)), asked) for step in (EXAM, FIRST, PAUSE, SECOND, LAST)] == expected


def test_half_of_a_little_is_not_nothing():
    """A weight of 1 stays: a step in which the candidate had no task would never end."""
    asked = replace(wanted(steps=[{"weight": 1}]), patience=2)
    assert machine.weight(Collecting(at(0)), asked) == 1
