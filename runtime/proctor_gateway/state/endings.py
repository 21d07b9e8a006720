"""Wakes those who wait for a task's end, when this process drives it no more."""

from __future__ import annotations

import asyncio


class Endings:
    """One event for each task that somebody waits for."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, int] = {}

    def ended(self, task: str) -> None:
        """Wake all who wait for the task, so that they look."""
        event = self._events.get(task)
        if event is not None:
            event.set()

    async def wait(self, task: str, seconds: float) -> None:
        """Return when the task may have ended or the time is over, whichever is first."""
        event = self._events.setdefault(task, asyncio.Event())
        self._waiting[task] = self._waiting.get(task, 0) + 1
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task], self._events[task]
