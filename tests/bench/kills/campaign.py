"""A campaign of kills: tasks of every class of effect arrive while processes die, and at the end all is counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.kills.report import Kills, Report
from tests.bench.kills.town import Gateway, Town, town
from tests.gateway.postgres import Server
from tests.gateway.program import POINTS
from tests.gateway.serving import eventually
from tests.gateway.sink import EFFECTS

_TOGETHER: Final = 6
"""Tasks that are open at the same time in one town."""
_STAGES: Final = {"received": "sent, the system has received it", "applied": "sent, the system has done it"}
_PASSING: Final = 6
"""So many effects at most pass a point before a gateway that is to die there does."""
_END_SECONDS: Final = 600
_PATIENCE_SECONDS: Final = 30
_READY_SECONDS: Final = 300


@dataclass
class Campaign:
    """Kills in one town, by chance from a seed."""

    town: Town
    kills: int
    chance: random.Random
    done: int = 0
    ended: int = 0
    over: bool = False

    async def run(self) -> None:
        """Kill, while tasks run; then let everything come to its end."""
        dooms: dict[str, tuple[str, int]] = {}
        self.town.sink.seen = lambda stage, _, path: self._at_the_sink(dooms, stage, path)
        for pod in self.town.pods:
            self.town.start_pod(pod)
        keeping = [asyncio.create_task(self._keep(each, dooms)) for each in self.town.gateways]
        await eventually(lambda: all(each.is_up for each in self.town.gateways), _READY_SECONDS)
        callers = [asyncio.create_task(self._tasks()) for _ in range(_TOGETHER)]
        while self.done < self.kills:
            # Something is to have been done between two kills; but not always, so that recoveries are killed, too.
            ended = self.ended
            await asyncio.sleep(self.chance.uniform(0.3, 2))
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: self.ended > ended, self.chance.uniform(2, _PATIENCE_SECONDS))  # noqa: B023
            if self.done < self.kills:
                await self._kill()
        self.over = True
        await asyncio.gather(*callers)
        for keeper in keeping:
            keeper.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)

    async def _tasks(self) -> None:
        while not self.over:
            self.town.begun += 1
            tool, name = self.chance.choice(sorted(EFFECTS)), f"task-{self.town.begun}"
            look, effect = ({"must_call": ["sink", verb, {"id": name}]} for verb in ("look", tool))
            steps = [look, {"sleep": self.chance.uniform(0, 2)}, effect, {"sleep": 0.2}, look, {"answer": name}]
            began = time.monotonic()
            try:
                async with asyncio.timeout(_END_SECONDS):
                    accepted = await self.town.asked(
                        "POST", "/tasks", json={"input": steps}, headers={"idempotency-key": name}
                    )
                    ended = await self.town.ended(accepted.json()["id"])
            except TimeoutError:
                self.town.report.not_ended += 1
                continue
            self.ended += 1
            await asyncio.sleep(1)  # what is under way at the sink is done all the same
            done = self.town.sink.done[name]
            self.town.report.lasted.append(time.monotonic() - began)
            self.town.report.tallies[tool].add(done, ended)
            if ended["phase"] != "Succeeded" and (tool != "send" or ended["phase"] != "Indeterminate"):
                self.town.report.odd.append(f"{tool} {ended['phase']}: {ended['error']['message'][:300]}")
            self.town.report.untold += ended["phase"] == "Succeeded" and done != 1

    async def _keep(self, gateway: Gateway, dooms: dict[str, tuple[str, int]]) -> None:
        """Never returns: begins the gateway, and begins it again whenever it died."""
        town = self.town
        while True:
            where, fate = self._fate(), None
            passing = self.chance.randrange(_PASSING)
            dooms.pop(f"/{gateway.number}", None)
            if where in POINTS:
                fate = (where, passing)
            elif where in _STAGES:
                dooms[f"/{gateway.number}"] = (where, passing)
            town.start_gateway(gateway, fate)
            await town.ready(gateway)
            while gateway.process.is_alive():  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.02)
            at, gateway.is_up = time.monotonic(), False
            self.done += 1
            # A point is named only if the process died of it: one that was killed before has died at random.
            kind = "a random moment" if gateway.killed_by_chance else _STAGES.get(where, where)
            gateway.killed_by_chance = False
            await town.hit(f"gateway, {kind}", await town.driven_by(gateway.instance), at)

    def _fate(self) -> str:
        return "" if self.chance.random() < 0.2 else self.chance.choice([*POINTS, *_STAGES])

    def _at_the_sink(self, dooms: dict[str, tuple[str, int]], stage: str, path: str) -> None:
        number = path[-2:]
        where, passing = dooms.get(number, ("", 0))
        if where != stage:
            return
        if passing:
            dooms[number] = (where, passing - 1)
            return
        del dooms[number]
        self.town.gateways[int(number[1:])].process.kill()

    async def _kill(self) -> None:
        living = [each for each in self.town.gateways if each.is_up]
        drawn = self.chance.random()
        if drawn < 0.4 or not living:
            await self._kill_pod(self.chance.choice(sorted(self.town.pods)))
        elif drawn < 0.85 and living[0].proxy is not None:
            await self._cut(self.chance.choice(living))
        else:
            gateway = self.chance.choice(living)
            gateway.killed_by_chance = True
            gateway.process.kill()

    async def _kill_pod(self, pod: str) -> None:
        process = self.town.pods[pod]
        process.kill()
        self.done += 1
        await self.town.hit("agent, a random moment", self.town.working_on(pod), time.monotonic())
        process.join()
        self.town.start_pod(pod)

    async def _cut(self, gateway: Gateway) -> None:
        """Cut the gateway's connections to the store: where they are, or as a commit is answered."""
        proxy = gateway.proxy
        assert proxy is not None
        kind = "any moment"
        if self.chance.random() < 0.5:
            kind, lost = "a commit's answer lost", asyncio.Event()
            proxy.lost = lost.set
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), 5)
            if not lost.is_set():
                proxy.lost = None
                return
        else:
            proxy.cut()
        at = time.monotonic()
        self.done += 1
        running = await self.town.driven_by(gateway.instance)
        kills = self.town.report.kills.setdefault(f"store connection, {kind}", Kills())
        kills.count += 1
        kills.hit += len(running)
        while proxy.committed_at < at and gateway.process.is_alive():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        if proxy.committed_at >= at:
            kills.seconds.append(proxy.committed_at - at)


async def campaign(directory: Path, server: Server | None, kills: int, seed: int, towns: int = 1) -> Report:
    """So many kills, shared by towns that stand beside each other: on PostgreSQL if there is a server, or on SQLite."""
    form = "SQLite, one gateway" if server is None else "PostgreSQL, two gateways"
    report, began = Report(form, seed), time.monotonic()
    progress = asyncio.create_task(_progress(report, kills, began))
    async with asyncio.TaskGroup() as group:
        for number in range(towns):
            share = kills // towns + (number < kills % towns)
            group.create_task(_one(number, report, directory / str(number), server, share, seed))
    progress.cancel()
    report.seconds, report.load = time.monotonic() - began, os.getloadavg()[0]
    return report


async def _one(number: int, report: Report, directory: Path, server: Server | None, kills: int, seed: int) -> None:
    store = f"sqlite:///{directory}/store.db" if server is None else await asyncio.to_thread(server.database)
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - a seed, to be repeated
    async with town(number, report, directory, store, server.directory if server else None) as built:
        await Campaign(built, kills, chance).run()


async def _progress(report: Report, kills: int, began: float) -> None:
    while True:
        await asyncio.sleep(20)
        tasks = sum(each.effects.total() for each in report.tallies.values())
        said = f"{time.monotonic() - began:4.0f} s: {report.number} of {kills} kills, {tasks} tasks ended"
        sys.stderr.write(said + "\n")
