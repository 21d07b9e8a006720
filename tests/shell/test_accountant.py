"""The look at all budgets: one request for all, and nobody is woken for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proctor.plan.said import NoAnswer
from proctor.plan.spending import AgentUsage, AgentUse, UsageAnswer
from proctor.plan.usage import report
from proctor.shell.accountant import Accountant
from proctor.shell.cache import Cache, Key
from proctor.shell.queue import Queue
from proctor.shell.usages import Usages
from tests.plan import examples
from tests.shell.test_collector import Still


class Gateway:
    """Counts as told, for every agent alike."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Key]] = []
        self.tasks: int | None = 0

    async def usage(self, agents: Sequence[Key]) -> UsageAnswer | NoAnswer:
        """The same for each."""
        self.asked.append(agents)
        if self.tasks is None:
            return NoAnswer("away")
        use = AgentUse(tasks_today=self.tasks, cost_today="0", tokens_today=0, reserved_today="0")
        found = tuple(AgentUsage(namespace=each.namespace, name=each.name, usage=use) for each in agents)
        return UsageAnswer(as_of=examples.T0, agents=found)


class House:
    """An accountant and what is around it."""

    def __init__(self, *names: str) -> None:
        self.cache, self.queue, self.clock = Cache(), Queue(), Still()
        self.gateway, self.usages = Gateway(), Usages()
        self.accountant = Accountant(self.cache, self.queue, self.gateway, self.usages, self.clock)
        for name in names:
            self.put(name)

    def put(self, name: str, status: dict[str, Any] | None = None) -> None:
        """An Agent as the watch tells of it."""
        self.cache.put(examples.agent_body(name, status))


async def test_one_request_asks_for_all():
    """However many agents there are."""
    house = House("a", "b", "c")
    await house.accountant.round()
    ((*asked,),) = house.gateway.asked
    assert sorted(each.name for each in asked) == ["a", "b", "c"]


async def test_agents_at_rest_are_not_woken():
    """Who has used nothing has nothing to say."""
    house = House("a")
    await house.accountant.round()
    assert len(house.queue) == 0


async def test_who_has_news_is_woken_until_it_is_written():
    """And not again once the status says it."""
    house = House("a")
    house.gateway.tasks = 3
    await house.accountant.round()
    assert len(house.queue) == 1
    place = next(iter(house.usages.used))
    said = report(None, house.usages.of(*place), house.clock.now())
    assert said.usage is not None
    other = House()
    other.gateway.tasks = 3
    dumped = said.usage.model_dump(mode="json", by_alias=True, exclude_none=True)
    condition = {"type": "BudgetAvailable", "status": "True", "reason": "NoBudget", "message": ""}
    other.put("a", {"usage": dumped, "conditions": [condition]})
    await other.accountant.round()
    assert len(other.queue) == 0


async def test_a_gateway_that_is_away_is_told_once():
    """Since when it is silent is kept until it answers."""
    house = House("a")
    house.gateway.tasks = None
    await house.accountant.round()
    since = house.usages.silent_since
    await house.accountant.round()
    assert house.usages.silent_since == since is not None
    house.gateway.tasks = 0
    await house.accountant.round()
    assert house.usages.silent_since is None


async def test_agents_that_are_gone_are_forgotten():
    """What was counted of them does not stay in memory."""
    house = House("a")
    await house.accountant.round()
    house.cache.drop(house.cache.keys("Agent")[0], house.cache.uid(house.cache.keys("Agent")[0]))
    await house.accountant.round()
    assert house.usages.used == {}
