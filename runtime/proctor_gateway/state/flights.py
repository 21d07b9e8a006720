"""The upstream calls that are under way in this process, so that they can be ended before their time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from proctor.api.connector import Effect
from proctor_gateway.calling import Caller
from proctor_gateway.cluster.known import Key
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Flight:
    """One call on its way."""

    task: str
    attempt: int
    agent: Key
    effect: Effect
    work: asyncio.Task[Any]


class Flights:
    """All calls on their way."""

    def __init__(self) -> None:
        self._flights: set[Flight] = set()

    async def run(self, caller: Caller, effect: Effect, work: Coroutine[Any, Any, T]) -> T:
        """Do the work. It goes on when the one who waits for it goes away: an effect's outcome must be learnt.

        Raises Problem when the work is broken off from elsewhere.
        """
        running = self.start(caller, effect, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if waiting is not None and not waiting.cancelling():
                said = "the call was broken off: its attempt is over"
                raise Problem(503, Reason.INTERRUPTED, said) from None
            raise

    def start(self, caller: Caller, effect: Effect, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin the work, and let it be found until it ends."""
        running = asyncio.create_task(work)
        flight = Flight(caller.claims.task, caller.claims.attempt, caller.agent, effect, running)
        self._flights.add(flight)
        running.add_done_callback(lambda _: self._flights.discard(flight))
        return running

    def abandon(self, task: str, attempt: int) -> None:
        """The task's attempt is over: nobody needs its answers any more. Effects go on until their outcome is known.

        The next attempt may be another gateway's already, with calls that come by here: those go on.
        """
        for flight in self._flights.copy():
            if flight.task == task and flight.attempt <= attempt and flight.effect is Effect.READ:
                flight.work.cancel()

    def halt(self, agent: Key) -> None:
        """The agent is to stop: no call of its goes on."""
        for flight in self._flights.copy():
            if flight.agent == agent:
                flight.work.cancel()

    async def drained(self) -> None:
        """Wait until no call is under way."""
        while self._flights:
            await asyncio.wait([flight.work for flight in self._flights])

    def __len__(self) -> int:
        return len(self._flights)
