"""Restarts: the leader is told to go, another takes over, and nothing in the cluster changes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.bench.fleet.errors import RunError
from tests.bench.fleet.phases import Bench, Figures
from tests.bench.fleet.subject import Operator

Start = Callable[[str], Awaitable[Operator]]


@dataclass(frozen=True)
class Takeover:
    """One change of leaders. Times in seconds after SIGTERM."""

    leading: float
    reconciled: float
    """When every Agent had been looked at."""
    started: float | None
    """When the successor was started; None if it stood by."""
    figures: Figures


async def to_standby(bench: Bench, start: Start, count: int) -> Takeover:
    """A second replica has been watching all along."""
    successor = await start("operator-standby")
    await successor.until_ready()
    old = _leave(bench)

    async def next_one() -> Operator:
        old.process.terminate()
        return successor

    taken = await _take_over(bench, "hand over to a standby", count, next_one)
    await old.process.stop()
    return taken


async def to_new(bench: Bench, start: Start, count: int) -> Takeover:
    """The next replica starts when the last has ended."""
    old = _leave(bench)

    async def next_one() -> Operator:
        code = await old.process.stop()
        if code != 0:
            raise RunError(f"the operator ended with code {code} after SIGTERM:\n{old.process.last_lines()}")
        return await start("operator-restarted")

    return await _take_over(bench, "restart", count, next_one)


def _leave(bench: Bench) -> Operator:
    # The counts that follow are to be the successor's alone.
    old, bench.operator = bench.operator, None
    if old is None:
        raise RunError("there is no operator to take over from")
    return old


async def _take_over(bench: Bench, name: str, count: int, next_one: Callable[[], Awaitable[Operator]]) -> Takeover:
    times: dict[str, float] = {}

    async def act() -> float:
        began = time.monotonic()
        bench.operator = await next_one()
        times["started"] = time.monotonic() - began
        await bench.operator.until_leading()
        times["leading"] = time.monotonic() - began
        await bench.operator.until_reconciled("Agent", count)
        return time.monotonic() - began

    figures = await bench.measure(name, count, act)
    is_new = figures.name == "restart"
    return Takeover(times["leading"], figures.seconds, times["started"] if is_new else None, figures)
