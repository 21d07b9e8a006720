"""Time that passes only when nothing can happen before it does: an event loop that jumps to its next timer."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
"""When every simulation begins."""


class Deadlock(Exception):  # noqa: N818 - names the state
    """Nothing will ever happen again, but something is waited for."""


class _Selector:
    """Stands where the loop waits for sockets: there are none, so waiting is only the passing of time."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("no timer and nothing ready")
        self._timeline.elapsed += timeout
        return []


class Timeline(asyncio.BaseEventLoop):
    """An event loop without sockets, signals or threads. The same program runs the same way each time."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        """Seconds since the simulation began."""
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self.faults: list[dict[str, Any]] = []
        """What went wrong in callbacks that nobody waits for."""
        self.set_exception_handler(lambda _, context: self.faults.append(context))
        self._families: weakref.WeakKeyDictionary[asyncio.Task[Any], object] = weakref.WeakKeyDictionary()

    def time(self) -> float:
        """The loop's clock, by which timers go."""
        return self.elapsed

    def now(self) -> datetime:
        """The time in UTC: the port `Clock`."""
        return EPOCH + timedelta(seconds=self.elapsed)

    def run_for(self, seconds: float) -> None:
        """Lets that much time pass, and all happen that happens in it."""
        self.run_until_complete(asyncio.sleep(seconds))

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs until the coroutine has ended."""
        return self.run_until_complete(coroutine)

    def found(self, family: object, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task. All tasks that it starts, and they start, are of its family."""
        task = self.create_task(coroutine)
        self._families[task] = family
        return task

    def kill(self, family: object) -> None:
        """Ends all tasks of the family."""
        for task, each in list(self._families.items()):
            if each is family:
                task.cancel()

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As the base class; the task is of the family of the task that starts it."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        parent = asyncio.current_task(self)
        if parent is not None and parent in self._families:
            self._families[task] = self._families[parent]
        return task

    def end(self) -> None:
        """Cancels what still runs, so that nothing of one simulation is left for the next."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.close()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets, so there are no events of them."""

    def _write_to_self(self) -> None:
        """There are no threads to wake up for."""
