"""When spending is an alarm."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from proctor.api.objectives import Severity
from proctor.slo.counts import Counts
from proctor.slo.paging import LeftOut, Row, firing, rows
from tests.slo.objectives import counted, objective

HOUR = timedelta(hours=1)

RATES = {
    "30d": {"page-quick": 14.4, "page-slow": 6, "ticket-quick": 3, "ticket-slow": 1},
    "28d": {"page-quick": 13.44, "page-slow": 5.6, "ticket-quick": 2.8, "ticket-slow": 0.9333},
    "60d": {"page-quick": 28.8, "page-slow": 12, "ticket-quick": 6, "ticket-slow": 2},
    "7d": {"page-quick": 13.44, "page-slow": 5.6, "ticket-quick": 2.8, "ticket-slow": 0.9333},
}


@pytest.mark.parametrize("window", RATES)
def test_the_usual_rows_are_the_workbooks(window: str):
    """14.4, 6 and 1 at thirty days, and the same share of the budget at any other window."""
    found = {
        each.id: float(each.rate) for each in rows(objective(target="99.9", window=window)) if isinstance(each, Row)
    }
    assert found == pytest.approx(RATES[window], rel=1e-3)


def test_the_rows_shrink_with_a_short_window():
    """An objective of a week is at risk within a quarter of an hour, one of four weeks and more within an hour."""
    quick = {window: rows(objective(target="99.9", window=window))[0] for window in ("7d", "28d", "90d")}
    assert [each.long for each in quick.values()] == [HOUR / 4, HOUR, HOUR]
    assert [each.short for each in quick.values()] == [timedelta(seconds=75), HOUR / 12, HOUR / 12]


LEFT_OUT = {
    "a target so low that nothing could burn so fast": ("90", "28d", {"page-quick"}, "more than all events"),
    "a window so short that nobody can look so fast": ("99", "1h", {"page-quick", "page-slow"}, "too short"),
    "none": ("99", "28d", set(), ""),
}


@pytest.mark.parametrize(("target", "window", "ids", "why"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_row_that_cannot_be_true_is_left_out(target, window, ids, why):
    """And says why: an alarm that can never ring must not look like one that does not."""
    found = [each for each in rows(objective(target=target, window=window)) if isinstance(each, LeftOut)]
    assert {each.row.id for each in found} == ids
    assert all(why in each.why for each in found)


def test_rows_of_ones_own():
    """They stand instead of the usual ones; one that looks further back than the objective is left out."""
    own = [
        {"long": "2h", "short": "10m", "rate": "3", "severity": "Ticket"},
        {"long": "2d", "short": "1h", "rate": "2"},
    ]
    first, second = rows(objective(window="1d", alerting={"burnRates": own}))
    assert isinstance(first, Row)
    assert (first.id, first.severity, first.long) == ("ticket-1", Severity.TICKET, 2 * HOUR)
    assert isinstance(second, LeftOut)


FIRES = {
    "one failure in a two-task hour": (1, 2, set()),
    "both of two tasks": (2, 2, set()),
    "thirty failures in sixty tasks": (30, 60, {"page-quick", "page-slow", "ticket-quick", "ticket-slow"}),
    "all is well": (0, 500, set()),
    "as allowed": (5, 500, set()),
    "nothing happens": (0, 0, set()),
}


@pytest.mark.parametrize(("bad", "total", "ids"), FIRES.values(), ids=FIRES)
def test_what_pages(bad: int, total: int, ids: set[str]):
    """Many failures do, one at night does not."""
    wanted = objective(target="99")
    assert {row.id for row in firing(wanted, counted(wanted, bad, total))} == ids


def test_what_is_over_does_not_page():
    """The short window shows that it has ended."""
    wanted = objective(target="99")
    past = {**counted(wanted, 30, 60), timedelta(minutes=5): Counts(20, 20), timedelta(minutes=30): Counts(30, 30)}
    assert {row.id for row in firing(wanted, past)} == {"ticket-quick", "ticket-slow"}


def test_fewer_events_than_the_least_do_not_page():
    """Even if every one is bad."""
    wanted = objective(target="99", minEvents=30)
    assert firing(wanted, counted(wanted, 29, 29)) == ()
    assert firing(wanted, counted(wanted, 30, 30)) != ()


@pytest.mark.parametrize("target", ["90", "95", "99"])
def test_an_agent_that_keeps_to_a_rows_rate_seldom_rings_it(target: str):
    """One look at each of 2000 windows of an agent that fails just as often as the row allows: at most 1 in 20 ring."""
    chance, wanted = random.Random(7), objective(target=target)  # noqa: S311 - a simulation
    for row in (each for each in rows(wanted) if isinstance(each, Row)):
        share = float(row.rate) * (1 - float(target) / 100)
        rang = 0
        for _ in range(2000):
            total = chance.choice((20, 60, 200))
            bad = sum(chance.random() < share for _ in range(total))
            rang += row in firing(wanted, counted(wanted, bad, total))
        assert rang <= 2000 / 20


def test_three_times_the_allowed_rate_rings_soon():
    """The power: an agent that may fail in 5 % of tasks and fails in 30 % rings within 60 tasks, nearly always."""
    chance, wanted = random.Random(7), objective(target="95")  # noqa: S311 - a simulation
    rang = sum(
        bool(firing(wanted, counted(wanted, sum(chance.random() < 0.3 for _ in range(60)), 60))) for _ in range(300)
    )
    assert rang >= 285
