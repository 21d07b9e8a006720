"""Calls that are under way: what ends them, and what does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from proctor.api.connector import Effect
from proctor_gateway.calling import Caller
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.state.flights import Flights
from proctor_gateway.tokens import Claims
from proctor_gateway.trace import Span


def attempt(number: int) -> Caller:
    """An attempt of the one task."""
    claims = Claims("t", number, "support", "refunds", "r1", datetime(2026, 11, 23, tzinfo=UTC))
    return Caller(claims, Span("0" * 32, "0" * 16))


async def test_the_end_of_an_attempt_ends_its_reads_alone():
    """Not its effects, whose outcome must be learnt; and not the next attempt's, which another gateway may drive."""
    flights, going = Flights(), asyncio.Event()

    async def work() -> str:
        await going.wait()
        return "done"

    calls = {
        name: asyncio.create_task(flights.run(attempt(number), effect, work()))
        for name, number, effect in (("old", 1, Effect.READ), ("effect", 1, Effect.ONCE), ("new", 2, Effect.READ))
    }
    await asyncio.sleep(0)
    flights.abandon("t", 1)
    await asyncio.sleep(0)
    going.set()
    with pytest.raises(Problem) as told:
        await calls["old"]
    assert (told.value.status, told.value.reason) == (503, Reason.INTERRUPTED)
    assert [await calls["effect"], await calls["new"]] == ["done", "done"]


async def test_who_stops_waiting_stops_nothing():
    """The work goes on to its end, and whoever waited is cancelled as he wished."""
    flights, ended = Flights(), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.02)
        ended.set()

    waiting = asyncio.create_task(flights.run(attempt(1), Effect.ONCE, work()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(ended.wait(), 5)
