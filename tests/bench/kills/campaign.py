"""A campaign of kills: tasks of every class of effect arrive while processes die, and at the end all is counted."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway.killing import Ground, ground
from tests.gateway.sink import EFFECTS

_TOGETHER = 12
"""Tasks that are open at the same time."""


@dataclass
class Tally:
    """What became of the tasks of one class: how often each effect was done, and how the tasks ended."""

    effects: list[int] = field(default_factory=list)
    phases: dict[str, int] = field(default_factory=dict)
    replayed: int = 0

    def add(self, done: int, ended: dict[str, Any]) -> None:
        """One task."""
        self.effects.append(done)
        self.phases[ended["phase"]] = self.phases.get(ended["phase"], 0) + 1
        self.replayed += ended["attempts"] > 1


@dataclass
class Report:
    """What a campaign has shown."""

    kills: dict[str, int]
    tallies: dict[str, Tally]
    recoveries: list[float]
    seconds: float
    untold: int
    """Effects of class Once that were not done, or of which nobody knew, in tasks that claim to have succeeded."""


@dataclass
class Campaign:
    """Random kills from a seed."""

    town: Ground
    kills: int
    chance: random.Random
    tallies: dict[str, Tally] = field(default_factory=lambda: {tool: Tally() for tool in EFFECTS})
    counts: dict[str, int] = field(default_factory=lambda: {"gateway": 0, "agent": 0})
    recoveries: list[float] = field(default_factory=list)
    untold: int = 0
    over: bool = False
    number: int = 0

    async def run(self) -> Report:
        """Kill, while tasks run; then let everything come to its end."""
        began = time.monotonic()
        await self.town.start_agent()
        for number in range(len(self.town.gateways)):
            await self.town.start_gateway(number)
        callers = [asyncio.create_task(self._tasks()) for _ in range(_TOGETHER)]
        for _ in range(self.kills):
            await asyncio.sleep(self.chance.uniform(0.2, 1.5))
            await self._kill()
        self.over = True
        await asyncio.gather(*callers)
        return Report(self.counts, self.tallies, self.recoveries, time.monotonic() - began, self.untold)

    async def _tasks(self) -> None:
        while not self.over:
            self.number += 1
            tool, name = self.chance.choice(sorted(EFFECTS)), f"task-{self.number}"
            look = {"call": ["sink", "look", {"id": "nothing"}]}
            task = await self.town.begin(name, look, {"call": ["sink", tool, {"id": name}]}, look, {"answer": name})
            ended = await self.town.ended(task, 240)
            done = self.town.sink.done[name]
            self.tallies[tool].add(done, ended)
            self.untold += ended["phase"] == "Succeeded" and done != 1

    async def _kill(self) -> None:
        living = [number for number, each in enumerate(self.town.gateways) if each is not None]
        if self.chance.random() < 0.3:
            self.counts["agent"] += 1
            self.town.kill_agent()
            killed = time.monotonic()
            await self.town.start_agent()
        else:
            number = self.chance.choice(living)
            self.counts["gateway"] += 1
            self.town.kill_gateway(number)
            killed = time.monotonic()
            await self.town.start_gateway(number)
        self.recoveries.append(await self._recovered(killed))

    async def _recovered(self, killed: float) -> float:
        """Seconds from the kill until the sink is called again."""
        before = len(self.town.sink.calls)
        async with asyncio.timeout(60):
            while len(self.town.sink.calls) == before:  # noqa: ASYNC110 - the sink is a stranger
                await asyncio.sleep(0.02)
        return time.monotonic() - killed


async def campaign(directory: Path, store: str, kills: int, seed: int, gateways: int = 1) -> Report:
    """A campaign on that store."""
    async with ground(directory, store, gateways, drain=1) as town:
        return await Campaign(town, kills, random.Random(seed)).run()  # noqa: S311 - a seed, to be repeated


def table(report: Report) -> str:
    """The report for people."""
    lines = [f"kills: {report.kills['gateway']} of gateways, {report.kills['agent']} of agents; {report.seconds:.0f} s"]
    lines.append(f"{'effect':<12}{'tasks':>7}{'resumed':>9}{'done 0x':>9}{'1x':>7}{'>1x':>6}  phases")
    for tool, tally in report.tallies.items():
        counts = [tally.effects.count(0), tally.effects.count(1), sum(each > 1 for each in tally.effects)]
        phases = ", ".join(f"{phase} {count}" for phase, count in sorted(tally.phases.items()))
        row = f"{EFFECTS[tool]:<12}{len(tally.effects):>7}{tally.replayed:>9}{counts[0]:>9}{counts[1]:>7}{counts[2]:>6}"
        lines.append(f"{row}  {phases}")
    times = sorted(report.recoveries)
    if times:
        lines.append(
            f"at work again, the new process started: median {times[len(times) // 2]:.1f} s, longest {times[-1]:.1f} s"
        )
    lines.append(f"tasks that claim success although the effect was not done once: {report.untold}")
    return "\n".join(lines)
