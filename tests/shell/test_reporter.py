"""Which reports are looked at again."""

from __future__ import annotations

from typing import Any

from proctor.plan.reports import FindingsAnswer, ReportKind
from proctor.plan.said import NoAnswer
from proctor.shell.cache import Cache, Key
from proctor.shell.clock import SystemClock
from proctor.shell.queue import Queue
from proctor.shell.reporter import Reporter
from proctor.shell.reports import Reports
from tests.plan import examples
from tests.plan.test_reports import called

OF = ReportKind("openreports.io/v1alpha1", "Report")


class Gateway:
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.says: Any = FindingsAnswer(as_of=examples.T0, items=())

    async def findings(self) -> FindingsAnswer | NoAnswer:
        """What policies found."""
        return self.says


def reporter(kind: ReportKind | None = OF) -> tuple[Reporter, Queue, Gateway, Reports]:
    """A reporter in a cluster with one agent."""
    cache, queue, gateway, reports = Cache(), Queue(), Gateway(), Reports()
    cache.put(examples.agent_body())

    async def has() -> ReportKind | None:
        return kind

    return Reporter(cache, queue, gateway, reports, SystemClock(), has), queue, gateway, reports


async def looked_at(one: Reporter, queue: Queue) -> list[Key]:
    """The keys that a round puts on the queue."""
    await one.round()
    found = []
    while (key := queue.take(SystemClock().now())) is not None:
        found.append(key)
        queue.done(key, None)
    return found


async def test_only_what_is_new_is_looked_at():
    """A report is looked at when its agent's calls were stopped anew, and once more when that is over."""
    one, queue, gateway, reports = reporter()
    key = Key("Report", "support", "refunds")
    assert await looked_at(one, queue) == []
    gateway.says = FindingsAnswer(as_of=examples.T0, items=(called(),))
    assert await looked_at(one, queue) == [key]
    assert reports.of("support", "refunds")[0].count == 3
    assert await looked_at(one, queue) == []
    gateway.says = NoAnswer("away")
    assert await looked_at(one, queue) == []
    gateway.says = FindingsAnswer(as_of=examples.T0, items=())
    assert await looked_at(one, queue) == [key]


async def test_without_the_kind_nothing_is_asked():
    """Most clusters have no kind of report: there the gateway is left alone."""
    one, queue, gateway, _ = reporter(None)
    gateway.says = FindingsAnswer(as_of=examples.T0, items=(called(),))
    assert await looked_at(one, queue) == []
