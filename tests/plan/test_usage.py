"""What an Agent's status says of its spending."""

from __future__ import annotations

from datetime import timedelta

import pytest

from proctor.api.usage import UsageStatus
from proctor.plan.spending import AgentUse, BudgetUse, Spending
from proctor.plan.usage import report, turns
from tests.plan.examples import T0

RESET = T0 + timedelta(hours=9)


def use(cost="1.5", remaining="0.61", *, exhausted=False, over=False, action="Deny", tasks=4) -> AgentUse:
    """What the gateway counted, with one budget."""
    daily = BudgetUse(
        name="Policy/s/spending budgets/daily",
        action=action,
        remaining=remaining,
        exhausted=exhausted,
        over=over,
        resets_at=RESET,
    )
    return AgentUse(
        tasks_today=tasks,
        cost_today=cost,
        tokens_today=900,
        reserved_today="0.1",
        budget_remaining=remaining,
        resets_at=RESET,
        budgets=(daily,),
    )


FREE = AgentUse(tasks_today=0, cost_today="0", tokens_today=0, reserved_today="0")

CONDITIONS = {
    "a budget has something left": (use(), "True", "WithinBudget"),
    "a budget refuses": (use(exhausted=True), "False", "BudgetExhausted"),
    "a budget that only warns is exceeded": (use(over=True, action="Warn"), "True", "OverBudget"),
    "no budget": (FREE.model_copy(update={"tasks_today": 1}), "True", "NoBudget"),
}


@pytest.mark.parametrize(("counted", "status", "reason"), CONDITIONS.values(), ids=CONDITIONS)
def test_the_condition_says_whether_budgets_refuse(counted, status, reason):
    """Not whether money is low: whether calls are refused, by which budget, and until when."""
    said = report(None, Spending(counted, T0), T0)
    (finding,) = said.findings
    assert (finding.type, finding.status, finding.reason) == ("BudgetAvailable", status, reason)
    if status == "False":
        assert "Policy/s/spending budgets/daily refuses; full again at" in finding.message


def test_an_agent_that_has_used_nothing_has_no_usage():
    """Ten thousand agents at rest are not written to."""
    assert report(None, Spending(FREE, T0), T0).usage is None
    assert report(None, Spending(), T0).usage is None


NEWS = {
    "a few more tasks": (use(tasks=9), 15, False),
    "a few more tasks, five minutes later": (use(tasks=9), 300, True),
    "the budget refuses": (use(exhausted=True), 15, True),
    "a tenth less is left": (use(remaining="0.5"), 15, True),
    "a thousandth less is left": (use(remaining="0.609"), 15, False),
    "nothing has changed": (use(), 3000, False),
}


@pytest.mark.parametrize(("counted", "seconds", "is_news"), NEWS.values(), ids=NEWS)
def test_only_news_is_written(counted, seconds, is_news):
    """What somebody would act on at once, counts every five minutes, and what did not change never."""
    before = report(None, Spending(use(), T0), T0).usage
    later = T0 + timedelta(seconds=seconds)
    after = report(before, Spending(counted, later), later).usage
    assert (after != before) == is_news


def test_a_gateway_that_is_away_makes_the_condition_unknown():
    """The last counts stay, with their time: nobody can say whether budgets refuse."""
    before = report(None, Spending(use(), T0), T0).usage
    later = T0 + timedelta(minutes=5)
    said = report(before, Spending(use(tasks=9), later, T0), later)
    assert said.usage == before
    assert (said.findings[0].status, said.findings[0].reason) == ("Unknown", "Stale")


def test_a_restarted_operator_repeats_what_the_status_says():
    """Until the gateway has answered."""
    before = report(None, Spending(use(exhausted=True), T0), T0).usage
    said = report(before, Spending(), T0)
    assert said.usage == before
    assert said.findings[0].reason == "BudgetExhausted"


TURNS = {
    "it begins to refuse": (use(), use(exhausted=True), ["BudgetExhausted"]),
    "it still refuses": (use(exhausted=True), use(exhausted=True), []),
    "it is full again": (use(exhausted=True), use(), ["BudgetAvailable"]),
    "it is exceeded and warns": (use(), use(over=True, action="Warn"), ["BudgetExceeded"]),
    "nothing": (use(), use(), []),
}


@pytest.mark.parametrize(("before", "after", "reasons"), TURNS.values(), ids=TURNS)
def test_turns_are_told(before, after, reasons):
    """Each once, when it happens."""
    then, now = (report(None, Spending(each, T0), T0).usage for each in (before, after))
    assert now is not None
    assert [each.reason for each in turns(then, now.model_dump(mode="json", by_alias=True))] == reasons


def test_nothing_used_and_nothing_said_is_no_turn():
    """An Agent without usage has no Events of it."""
    assert list(turns(None, None)) == []
    assert list(turns(UsageStatus(), {})) == []
