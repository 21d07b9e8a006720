"""How an objective stands, and what that means for upgrades."""

from __future__ import annotations

from datetime import timedelta

import pytest

from proctor.api.objectives import ObjectiveState, ReleaseState
from proctor.slo.counts import Counts
from proctor.slo.gate import gate
from proctor.slo.standing import judge, windows_of
from tests.slo.objectives import counted, objective

DAY = timedelta(days=1)
LONG_AGO = 10 * DAY

STATES = {
    "nothing ever happened": (0, 0, None, ObjectiveState.INSUFFICIENT_DATA, "judged from 20 events on"),
    "too few events": (19, 19, None, ObjectiveState.INSUFFICIENT_DATA, "19 bad of 19"),
    "all is well": (0, 20, None, ObjectiveState.MET, "0 bad of 20 in 28d"),
    "well within the budget": (5, 1000, LONG_AGO, ObjectiveState.MET, "99 % are to be good"),
    "little is left of the budget": (8, 1000, LONG_AGO, ObjectiveState.AT_RISK, "20 % of the budget is left"),
    "it is being spent too fast": (40, 4010, timedelta(hours=6), ObjectiveState.AT_RISK, "0 % of the budget is left"),
    "spent, but it may be chance": (3, 200, LONG_AGO, ObjectiveState.AT_RISK, "it may be chance"),
    "spent, and not by chance": (12, 200, LONG_AGO, ObjectiveState.BREACHED, "12 bad of 200"),
    "all of it is bad": (500, 500, None, ObjectiveState.BREACHED, "500 bad of 500"),
}


@pytest.mark.parametrize(("bad", "total", "within", "state", "message"), STATES.values(), ids=STATES)
def test_the_states(bad, total, within, state, message):
    """No data is neither met nor breached; what may be chance is no breach."""
    wanted = objective(target="99")
    found = judge(wanted, counted(wanted, bad, total, within=within))
    assert (found.state, message in found.message) == (state, True), found.message


def test_fast_spending_is_a_risk_while_budget_is_left():
    """The alarm comes before the damage is done."""
    wanted = objective(target="99")
    recent = counted(wanted, 30, 60)
    found = judge(wanted, {**recent, wanted.window: Counts(9970, 10_000)})
    assert (found.state, found.budget.remaining) == (ObjectiveState.AT_RISK, pytest.approx(0.7))
    assert "page-quick" in found.message


def test_a_source_that_dried_up_is_stale():
    """Events that stopped coming are not the same as none having come yet."""
    wanted = objective()
    assert judge(wanted, {}, has_stopped=True).state is ObjectiveState.STALE
    assert judge(wanted, {}, has_stopped=False).state is ObjectiveState.INSUFFICIENT_DATA


def test_everything_that_is_looked_at_is_asked_for():
    """What `judge` would take for zero because nobody counted it."""
    wanted = [objective(window="28d"), objective("weekly", window="7d")]

    class Strict(dict[timedelta, Counts]):
        def get(self, key, default=None):
            return self[key]

    counts = Strict({each: Counts(30, 60) for each in windows_of(wanted)})
    for each in wanted:
        judge(each, counts)


def test_burn_rates_are_told_where_there_were_events():
    """By window; none without events, none longer than the objective's own window."""
    wanted = objective(window="1d", target="90")
    found = judge(wanted, {timedelta(hours=6): Counts(80, 100), DAY: Counts(180, 200)})
    assert found.burn_rates == {timedelta(hours=6): pytest.approx(2)}


_LETS_PASS = {"gate": {"rollout": False}}
_STRICT = {"gate": {"freezeBelow": "0.7", "slowBelow": "0.9"}}
GATES = {
    "all is well": ([("99", 0, 1000, {})], ReleaseState.NORMAL, None),
    "less than a quarter is left": ([("99", 8, 1000, {})], ReleaseState.SLOW, "slo-0"),
    "overspent": ([("99", 11, 1000, {})], ReleaseState.FREEZE, "slo-0"),
    "the strictest counts": ([("99", 8, 1000, {}), ("90", 300, 1000, {})], ReleaseState.FREEZE, "slo-1"),
    "of equals the first is named": ([("99", 8, 1000, {}), ("99", 9, 1000, {})], ReleaseState.SLOW, "slo-0"),
    "too little is known": ([("99", 10, 10, {})], ReleaseState.NORMAL, None),
    "an objective that holds up nothing": ([("99", 500, 1000, _LETS_PASS)], ReleaseState.NORMAL, None),
    "other thresholds": ([("99", 4, 1000, _STRICT)], ReleaseState.FREEZE, "slo-0"),
    "no objectives": ([], ReleaseState.NORMAL, None),
}


@pytest.mark.parametrize(("objectives", "state", "name"), GATES.values(), ids=GATES)
def test_what_the_budget_means_for_upgrades(objectives, state, name):
    """Slow when little is left, frozen when it is overspent; what is not known holds up nothing."""
    counts = [
        (objective(f"slo-{index}", target, **more), Counts(total - bad, total))
        for index, (target, bad, total, more) in enumerate(objectives)
    ]
    found = gate(counts)
    assert (found.state, found.objective) == (state, name)
    assert bool(found.message) == (state is not ReleaseState.NORMAL)
