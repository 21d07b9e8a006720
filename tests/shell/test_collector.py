"""The look at all objectives: one request for all, and nobody is woken for nothing."""

from __future__ import annotations

from typing import Any

from proctor.plan.indications import AgentTallies, IndicatorsAnswer, Subject, Tally
from proctor.plan.objectives import report
from proctor.plan.said import NoAnswer
from proctor.plan.world import Manifest
from proctor.shell.cache import Cache, Key
from proctor.shell.collector import Collector
from proctor.shell.indicators import Indicators
from proctor.shell.queue import Queue
from tests.plan import examples

SLOS = [{"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "99"}]


class Gateway:
    """Counts as told, for every agent alike."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.tally: Tally | None = Tally(good=100, total=100)
        self.knows_not = ""

    async def indicators(self, body: dict[str, Any]) -> IndicatorsAnswer | NoAnswer:
        """The same counts for each window of each objective."""
        self.asked.append(body)
        if self.tally is None:
            return NoAnswer("away")
        known = (each for each in body["agents"] if each["name"] != self.knows_not)
        return IndicatorsAnswer(as_of=examples.T0, agents=tuple(self._of(each) for each in known))

    def _of(self, asked: dict[str, Any]) -> AgentTallies:
        counts = {each["name"]: dict.fromkeys(asked["windows"], self.tally) for each in asked["indicators"]}
        return AgentTallies(namespace=asked["namespace"], name=asked["name"], counts=counts, stable=counts)


class Still:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.time = examples.T0

    def now(self):
        """The time that was set."""
        return self.time


class House:
    """A collector and what is around it."""

    def __init__(self) -> None:
        self.cache, self.queue, self.clock = Cache(), Queue(), Still()
        self.gateway, self.indicators = Gateway(), Indicators()
        self.has_rules = False
        self.collector = Collector(self.cache, self.queue, self.gateway, self.indicators, self.clock, self._has_rules)
        self.version = 0

    async def _has_rules(self) -> bool:
        return self.has_rules

    def put(self, name: str, status: dict[str, Any] | None = None, **spec: Any) -> None:
        """An Agent as the watch tells of it."""
        self.version += 1
        body: Manifest = examples.agent_body(name, status, **spec)
        body["metadata"]["resourceVersion"] = str(self.version)
        self.cache.put(body)

    def reconcile(self, name: str, **spec: Any) -> None:
        """Its status as a reconcile would write it."""
        agent = examples.agent(name, **spec)
        said = report(Subject.of(agent), self.indicators.of("support", name), self.clock.now())
        slos = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in said.slos]
        gate = {"releaseGate": said.gate.model_dump(mode="json", exclude_none=True)} if said.gate else {}
        self.put(name, {"slos": slos, **gate}, **spec)

    def woken(self) -> list[str]:
        """The agents that are to be looked at now."""
        names = []
        while key := self.queue.take(self.clock.now()):
            names.append(key.name if key.kind == "Agent" else f"{key.kind}/{key.name}")
            self.queue.done(key, None)
        return names


async def test_all_are_asked_for_in_one_request():
    """Those with objectives; an agent without is no part of it."""
    house = House()
    for name in ("b", "a"):
        house.put(name, slos=SLOS)
    house.put("plain")
    await house.collector.round()
    (body,) = house.gateway.asked
    assert [each["name"] for each in body["agents"]] == ["a", "b"]
    assert body["agents"][0]["indicators"] == [{"name": "answered", "type": "TaskSuccess"}]
    assert body["agents"][0]["windows"] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "28d"]
    assert house.woken() == ["a", "b"]


async def test_a_large_fleet_is_asked_for_in_parts():
    """No request and no answer grows without bound."""
    house = House()
    for number in range(501):
        house.put(f"agent-{number}", slos=SLOS)
    await house.collector.round()
    assert [len(body["agents"]) for body in house.gateway.asked] == [500, 1]


async def test_nobody_is_woken_for_nothing():
    """The same counts, or a task more: the status would not change."""
    house = House()
    house.put("a", slos=SLOS)
    await house.collector.round()
    assert house.woken() == ["a"]
    house.reconcile("a", slos=SLOS)
    house.gateway.tally = Tally(good=101, total=101)
    await house.collector.round()
    assert house.woken() == []


async def test_a_turn_wakes_its_agent():
    """And no other."""
    house = House()
    for name in ("a", "b"):
        house.put(name, slos=SLOS)
    await house.collector.round()
    house.woken()
    for name in ("a", "b"):
        house.reconcile(name, slos=SLOS)
    house.gateway.tally = Tally(good=40, total=100)
    await house.collector.round()
    assert house.woken() == ["a", "b"]
    house.reconcile("a", slos=SLOS)
    await house.collector.round()
    assert house.woken() == ["b"]


async def test_a_silent_gateway_wakes_after_a_minute():
    """Once: stale is stale. When it answers again, they are woken again."""
    house = House()
    house.put("a", slos=SLOS)
    await house.collector.round()
    house.woken()
    house.reconcile("a", slos=SLOS)
    house.gateway.tally = None
    woken = []
    for second in range(0, 180, 15):
        house.clock.time = examples.after(seconds=second)
        await house.collector.round()
        if house.woken():
            woken.append(second)
            house.reconcile("a", slos=SLOS)
    assert woken == [60]
    house.gateway.tally = Tally(good=100, total=100)
    await house.collector.round()
    assert house.woken() == ["a"]


async def test_who_is_gone_is_forgotten():
    """What was measured of an agent says nothing about another of its name."""
    house = House()
    house.put("a", slos=SLOS)
    await house.collector.round()
    assert house.indicators.of("support", "a").measured is not None
    house.cache.drop(Key("Agent", "support", "a"), "uid-of-a")
    await house.collector.round()
    assert house.indicators.of("support", "a").measured is None


async def test_objectives_that_were_taken_back_wake_their_agent():
    """Otherwise its status would tell of them for ever."""
    house = House()
    house.put("a", slos=SLOS)
    await house.collector.round()
    house.woken()
    said = {"name": "answered", "state": "Met", "target": "0.99", "window": "28d"}
    house.put("a", {"slos": [said]})
    await house.collector.round()
    assert house.woken() == ["a"]
    assert len(house.gateway.asked) == 1


async def test_an_agent_that_cannot_be_read_hides_no_other():
    """A spec of another version is not ours to measure."""
    house = House()
    house.put("a", slos=[{"name": "odd"}])
    house.put("b", slos=SLOS)
    await house.collector.round()
    assert house.woken() == ["b"]


async def test_rules_follow_the_objectives_where_there_are_rules():
    """Once for each change, also when the last is taken back; never in a cluster without PrometheusRules."""
    house = House()
    house.put("a", slos=SLOS)
    await house.collector.round()
    assert house.woken() == ["a"]

    house.has_rules = True
    for _ in range(20):
        house.reconcile("a", slos=SLOS)
        await house.collector.round()
    assert house.woken() == ["PrometheusRule/a"]
    house.put("a")
    await house.collector.round()
    assert house.woken() == ["PrometheusRule/a"]
    await house.collector.round()
    assert house.woken() == []


async def test_an_agent_of_whom_nothing_is_said_becomes_stale():
    """Alone: the others were measured."""
    house = House()
    for name in ("a", "b"):
        house.put(name, slos=SLOS)
    await house.collector.round()
    house.woken()
    for name in ("a", "b"):
        house.reconcile(name, slos=SLOS)
    house.gateway.knows_not = "b"
    woken = []
    for second in range(0, 90, 15):
        house.clock.time = examples.after(seconds=second)
        await house.collector.round()
        woken += house.woken()
    assert set(woken) == {"b"}
    house.gateway.knows_not = ""
    house.reconcile("b", slos=SLOS)
    await house.collector.round()
    assert house.woken() == ["b"]
