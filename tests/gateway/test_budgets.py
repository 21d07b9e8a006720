"""Budgets in the store, on both engines: exact however many ask at once, whatever dies, whatever the clock does."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from proctor.api.bounds import BudgetScope, Overrun, Period
from proctor_gateway.rules.spending import Allowance
from proctor_gateway.rules.worst_case import NOTHING, Ask
from proctor_gateway.store import accounts, start, tasks
from proctor_gateway.store.accounts import Owner
from proctor_gateway.store.database import Database
from proctor_gateway.store.migrate import migrate
from tests.gateway import postgres as postgresql
from tests.gateway.purse import CUT_OFF, NOT_SENT, PRICE, T0, Payer, Spent, budget, used

CALL = Ask(100, 10, None, price=PRICE)
"""It reads at most 100 tokens and writes at most 10: at most 0.2."""

WORST = Decimal("0.2")


async def test_the_worst_case_is_held_and_what_was_taken_is_spent(database: Database):
    """While the call is under way its worst case is held; then only what it took is spent."""
    day = budget(cost="1")
    payer = Payer(database, [day])
    task = await payer.task()
    begun = await payer.begin(task, CALL)
    assert isinstance(begun, start.Begun)
    held = await payer.balance(day)
    assert (held.spent_cost, held.held_cost, held.held_tokens, held.tasks) == (0, WORST, 110, 1)
    await payer.settle(task.request.id, begun, used(50, 3))
    after = await payer.balance(day)
    assert (after.spent_cost, after.held_cost, after.spent_tokens, after.held_tokens) == (Decimal("0.08"), 0, 53, 0)


OUTCOMES = {
    "taken": (used(100, 10), WORST, 0),
    "less": (used(1, 1), Decimal("0.011"), 0),
    "not sent": (NOT_SENT, 0, 0),
    "cut off: nobody knows": (CUT_OFF, 0, WORST),
}


@pytest.mark.parametrize(("outcome", "spent", "held"), OUTCOMES.values(), ids=OUTCOMES)
async def test_what_becomes_of_a_reserve(database: Database, outcome, spent, held):
    """Settled by what is known, let go if nothing was sent, kept if nobody can say; for the task as for the agent."""
    day, task_limit = budget(cost="1"), budget(Period.TASK, cost="1")
    payer = Payer(database, [day, task_limit])
    task = await payer.task()
    begun = await payer.begin(task, CALL)
    assert isinstance(begun, start.Begun)
    await payer.settle(task.request.id, begun, outcome)
    balance = await payer.balance(day)
    assert (balance.spent_cost, balance.held_cost) == (spent, held)
    row = await database.read(lambda c: c.execute(tasks.tasks.select()).one())
    assert row.counted_cost == spent + held


async def test_an_outcome_that_nobody_knows_does_not_stop_the_task(database: Database):
    """Its reserve counts instead, so the limit can still be kept: calls go on until it is reached."""
    limit = budget(Period.TASK, cost="0.5")
    payer = Payer(database, [limit])
    task = await payer.task()
    first = await payer.begin(task, CALL)
    assert isinstance(first, start.Begun)
    await payer.settle(task.request.id, first, CUT_OFF)
    assert isinstance(await payer.begin(task, CALL), start.Begun)
    third = await payer.begin(task, CALL)
    assert isinstance(third, start.Barred)
    assert third.fault.reason == "BudgetExhausted"
    assert "0.4 reserved, 0.2 needed of 0.5" in third.fault.message


async def test_a_late_answer_settles_what_was_kept(database: Database):
    """Who went away and comes back with the truth replaces the reserve by it."""
    day = budget(cost="1")
    payer = Payer(database, [day])
    task = await payer.task()
    begun = await payer.begin(task, CALL)
    assert isinstance(begun, start.Begun)
    restarted = await payer.balance(day)
    assert restarted.held_cost == WORST
    payer.now = T0 + timedelta(days=3)
    await payer.settle(task.request.id, begun, used(10, 1))
    payer.now = T0
    assert (await payer.balance(day)).cost == Decimal("0.02")


SCOPES = {
    "the agent": (BudgetScope.AGENT, "support", "refunds", [True, False, False, False]),
    "its namespace": (BudgetScope.NAMESPACE, "support", "", [True, True, False, False]),
    "its team in its namespace": (BudgetScope.TEAM, "support", "platform", [True, True, False, False]),
    "its team everywhere": (BudgetScope.TEAM, "", "platform", [True, True, True, False]),
}
OWNERS = [
    Owner("support", "refunds", "platform"),
    Owner("support", "orders", "platform"),
    Owner("shop", "refunds", "platform"),
    Owner("shop", "search", "other"),
]


@pytest.mark.parametrize(("scope", "namespace", "subject", "shares"), SCOPES.values(), ids=SCOPES)
async def test_who_shares_a_budget(database: Database, scope, namespace, subject, shares):
    """What one of them spends is gone for all who share it, and for nobody else."""
    shared = budget(cost="10", scope=scope, namespace=namespace, subject=subject)
    for owner, is_shared in zip(OWNERS, shares, strict=True):
        payer = Payer(database, [shared] if is_shared else [], owner)
        task = await payer.task()
        begun = await payer.begin(task, CALL)
        assert isinstance(begun, start.Begun)
        await payer.settle(task.request.id, begun, used(100, 10))
    assert (await Payer(database).balance(shared)).spent_cost == WORST * sum(shares)


async def test_a_period_is_over_when_the_calendar_says_so(database: Database):
    """After midnight the day's budget is full again, and the month's is not; back before midnight nothing is gained."""
    day, month = budget(cost="0.3"), budget(Period.MONTH, cost="10")
    payer = Payer(database, [day, month], now=T0 + timedelta(hours=11, minutes=59))
    task = await payer.task()
    assert isinstance(await payer.begin(task, CALL), start.Begun)
    assert isinstance(await payer.begin(task, CALL), start.Barred)
    before, payer.now = payer.now, T0 + timedelta(hours=12)
    assert isinstance(await payer.begin(task, CALL), start.Begun)
    assert (await payer.balance(month)).held_cost == 2 * WORST
    payer.now = before
    assert isinstance(await payer.begin(task, CALL), start.Barred)


async def test_a_new_budget_knows_what_the_days_before_have_spent(database: Database):
    """A budget of the month that is set in its middle counts what was spent in it, but not in the month before."""
    for days in (-30, -3, 0):
        payer = Payer(database, now=T0 + timedelta(days=days))
        task = await payer.task()
        begun = await payer.begin(task, CALL)
        assert isinstance(begun, start.Begun)
        await payer.settle(task.request.id, begun, used(100, 10))
    month = budget(Period.MONTH, cost="0.59", scope=BudgetScope.NAMESPACE, subject="")
    payer = Payer(database, [month])
    task = await payer.task()
    barred = await payer.begin(task, CALL)
    assert isinstance(barred, start.Barred)
    assert "0.4 spent" in barred.fault.message


async def test_tasks_are_bounded(database: Database):
    """No more of them begin in a period than the budget says, and one that is refused is not there."""
    payer = Payer(database, [budget(tasks=2)])
    await payer.task()
    await payer.task()
    with pytest.raises(Spent):
        await payer.task()
    assert await database.read(lambda c: tasks.open_tasks(c, "support", "refunds")) == 2


async def test_what_costs_nothing_is_never_in_the_way(database: Database):
    """A tool without a price is called though the money is gone."""
    payer = Payer(database, [budget(cost="0")])
    task = await payer.task()
    assert isinstance(await payer.begin(task, NOTHING), start.Begun)
    assert isinstance(await payer.begin(task, CALL), start.Barred)


async def test_a_refusal_is_remembered_with_what_it_needed(database: Database):
    """So that status can say whether the same call would be refused now."""
    day = budget(cost="0.1")
    payer = Payer(database, [day])
    await payer.begin(await payer.task(), CALL)
    key = day.account(T0).key
    _, refusal = (await database.read(lambda c: accounts.standings(c, [key])))[key]
    assert refusal == accounts.Refusal(T0, WORST, 110)


async def _spend(payer: Payer, chance: random.Random, calls: int) -> None:
    """Begin and settle calls of a task in any order, some never."""
    task = await payer.task()
    for _ in range(calls):
        ask = Ask(chance.randint(0, 200), chance.randint(1, 20), chance.choice([None, 1]), price=PRICE)
        begun = await payer.begin(task, ask)
        if isinstance(begun, start.Barred):
            continue
        fate = chance.random()
        written = chance.randint(0, begun.reserved.output_tokens)
        outcome = used(ask.input_tokens, written) if fate < 0.7 else NOT_SENT if fate < 0.8 else CUT_OFF
        if fate < 0.95:
            await payer.settle(task.request.id, begun, outcome)


async def _watch(database: Database, limits: list[Allowance], done: asyncio.Event) -> int:
    """Look at the accounts until all is done; how often that was."""
    looks = 0
    keys = {each.account(T0).key: each for each in limits}
    while not done.is_set():
        found = await database.read(lambda c: accounts.balances(c, keys))
        for key, balance in found.items():
            limit = keys[key]
            assert limit.cost is None or balance.cost <= limit.cost, (key, balance)
            assert limit.tokens is None or balance.tokens <= limit.tokens, (key, balance)
            assert min(balance.spent_cost, balance.held_cost, balance.spent_tokens, balance.held_tokens) >= 0
        looks += 1
        await asyncio.sleep(0.002)
    return looks


async def _stressed(gateways: list[Database], seed: int, tasks_each: int = 12, calls: int = 12) -> None:
    """Many tasks of four agents at every gateway at once, all from the same budgets: I17."""
    chance = random.Random(seed)  # noqa: S311 - a test's
    own = [budget(cost="4", tokens=1500, namespace=each.namespace, subject=each.agent) for each in OWNERS]
    team = budget(Period.HOUR, cost="9", scope=BudgetScope.TEAM, namespace="", subject="platform")
    support = budget(Period.MONTH, tokens=2500, scope=BudgetScope.NAMESPACE, namespace="support", subject="")
    limits = [*own, team, support]
    payers = []
    for database in gateways:
        for _ in range(tasks_each):
            place = chance.randrange(len(OWNERS))
            owner = OWNERS[place]
            mine = [own[place]]
            mine += [team] if owner.team == "platform" else []
            mine += [support] if owner.namespace == "support" else []
            payers.append(Payer(database, mine, owner))
    done = asyncio.Event()
    watching = asyncio.create_task(_watch(gateways[0], limits, done))
    await asyncio.gather(*(_spend(each, random.Random(chance.random()), calls) for each in payers))  # noqa: S311
    done.set()
    assert await watching > 3
    await _adds_up(gateways[0], own)


async def _adds_up(database: Database, own: list[Allowance]) -> None:
    """What the agents' accounts say is what their tasks say, to the last digit."""
    rows = await database.read(lambda c: c.execute(tasks.tasks.select()).all())
    for limit in own:
        balance = await Payer(database).balance(limit)
        mine = [row for row in rows if (row.namespace, row.agent) == (limit.namespace, limit.subject)]
        assert balance.cost == sum((row.counted_cost for row in mine), Decimal(0))
        assert balance.tokens == sum(row.counted_tokens for row in mine)
        assert balance.spent_tokens == sum(row.input_tokens + row.output_tokens for row in mine)
        assert balance.tasks == len(mine)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_spent_and_reserved_never_exceed_a_limit(database: Database, seed):
    """I17: at no moment, while many tasks reserve and settle at once; and every account adds up."""
    await _stressed([database], seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_two_gateways_share_one_budget_exactly(postgres: postgresql.Server, seed):
    """I17 with several gateways on one PostgreSQL: neither oversteps, neither waits for the other in a ring."""
    url = postgres.database()
    first, second, third = Database(url), Database(url), Database(url)
    async with first.running(), second.running(), third.running():
        await migrate(first)
        await _stressed([first, second, third], seed, tasks_each=6, calls=8)


async def test_a_limit_of_a_task_holds_for_calls_at_once(database: Database):
    """Twenty calls of one task at the same time: as many begin as the limit pays."""
    payer = Payer(database, [budget(Period.TASK, cost="1.1")])
    task = await payer.task()
    found = await asyncio.gather(*(payer.begin(task, CALL) for _ in range(20)))
    assert [type(each) for each in found].count(start.Begun) == 5


async def test_a_gateway_that_dies_leaves_its_reserves(store: str):
    """A new one finds them held: what may have been paid for is not given away."""
    day = budget(cost="0.5")
    first = Database(store)
    async with first.running():
        await migrate(first)
        payer = Payer(first, [day])
        task = await payer.task()
        await payer.begin(task, CALL)
        await payer.begin(task, CALL)
    second = Database(store)
    async with second.running():
        payer = Payer(second, [day])
        assert isinstance(await payer.begin(await payer.task(), CALL), start.Barred)
        assert (await payer.balance(day)).held_cost == 2 * WORST


async def test_a_limit_that_warns_lets_calls_through_and_says_so(database: Database):
    """What is not enforced stops nothing."""
    mild = budget(cost="0.1", action=Overrun.WARN)
    payer = Payer(database, [mild])
    begun = await payer.begin(await payer.task(), CALL)
    assert isinstance(begun, start.Begun)
    assert [each.allowance for each in begun.reserved.over] == [mild]
    assert not begun.reserved.is_bound


async def test_a_smaller_limit_is_the_one_that_holds(database: Database):
    """Several policies' budgets of one period and scope share an account; the smallest refuses."""
    large, small = budget(cost="9"), replace(budget(cost="0.3"), name="the small one")
    payer = Payer(database, [large, small])
    task = await payer.task()
    await payer.begin(task, CALL)
    barred = await payer.begin(task, CALL)
    assert isinstance(barred, start.Barred)
    assert barred.fault.message.startswith("the small one")
