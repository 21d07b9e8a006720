"""Waits for the end of a task, and shows meanwhile how it goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.status import Status
from rich.text import Text

from proctor.cli.draw import task as draw
from proctor.cli.errors import Away, TimedOut
from proctor.cli.gateway import Busy, Gateway, Interrupted, Order
from proctor.cli.tasks import Task
from proctor.cli.terminal import Terminal
from proctor.cli.wording import printable, span

_PATIENCE_SECONDS = 15.0


@dataclass
class Wait:
    """One wait, with a limit. Progress goes to standard error: a spinner for a person, lines for a log."""

    gateway: Gateway
    terminal: Terminal
    limit: timedelta
    pause: float = 2.0
    """Seconds between two looks, and after a fault."""

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.limit.total_seconds()

    def submit(self, order: Order) -> Task:
        """Send the task; if the gateway asks for patience, have some. The order's key makes that harmless."""
        patience = time.monotonic() + _PATIENCE_SECONDS
        with self._spinner("reaching the gateway"):
            while True:
                try:
                    return self.gateway.submit(order)
                except (Busy, Interrupted) as fault:
                    pause = fault.retry_after if isinstance(fault, Busy) else self.pause
                    if time.monotonic() + pause > min(patience, self._deadline):
                        raise
                    self.terminal.note(Text(f"{printable(fault.message)}; again in {pause:g} s", "quiet"))
                    time.sleep(pause)

    def for_end(self, task: Task) -> Task:
        """The task when it has ended. Raises TimedOut; the task itself goes on."""
        with self._spinner() as spinner:
            while not task.has_ended:
                self._tell(task, spinner)
                rest = self._deadline - time.monotonic()
                if rest <= 0:
                    raise self._late(task)
                task = self._look(task, min(self.pause, rest))
        return task

    def _look(self, task: Task, wait: float) -> Task:
        try:
            seen = self.gateway.task(task.id, wait)
        except (Away, Busy) as fault:
            # The gateway may be restarting; the task is kept, and so is our patience until the deadline.
            self.terminal.note(Text(f"{printable(fault.message)}; again in {self.pause:g} s", "quiet"))
            time.sleep(self.pause)
            return task
        if seen.phase != task.phase and not self.terminal.err.is_terminal:
            self.terminal.note(draw.change(seen, datetime.now(UTC)))
        return seen

    @contextmanager
    def _spinner(self, words: str = "") -> Iterator[Status | None]:
        if not self.terminal.err.is_terminal:
            yield None
            return
        with Status(words, console=self.terminal.err, spinner="dots") as spinner:
            yield spinner

    def _tell(self, task: Task, spinner: Status | None) -> None:
        if spinner:
            spinner.update(draw.progress(task, datetime.now(UTC)))

    def _late(self, task: Task) -> TimedOut:
        return TimedOut(
            f"task {task.id} is {task.phase} after {span(self.limit)}; it goes on",
            *whereabouts(task),
        )


def whereabouts(task: Task) -> tuple[str, ...]:
    """How to find the task again."""
    place = f"{task.agent.name} {task.id} -n {task.agent.namespace}"
    return (f"kubectl proctor tasks {place} --watch", f"kubectl proctor tasks {place} --cancel")
