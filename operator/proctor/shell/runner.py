"""Works the queue: waits for what is due, reconciles it, and turns each outcome into a time to look again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime, timedelta

import structlog

from proctor.shell import metrics
from proctor.shell.cache import Key
from proctor.shell.errors import Blocked, Lost, Retry
from proctor.shell.ports import Ports
from proctor.shell.queue import Queue
from proctor.shell.reconcile import reconcile

log = structlog.get_logger()


class Runner:
    """`workers` reconciles at the same time, never two of one key. Sleeps when nothing is due."""

    def __init__(self, queue: Queue, ports: Ports, workers: int) -> None:
        self._queue = queue
        self._ports = ports
        self._workers = workers
        self._slots = asyncio.Semaphore(workers)
        self._news = asyncio.Event()
        self._stopping = False
        queue.on_add = self._news.set

    async def run(self) -> None:
        """Works until `stop`, then finishes what was begun. Raises Lost when the lease is."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                await self._slots.acquire()
                key = await self._next()
                if key is None:
                    self._slots.release()
                else:
                    group.create_task(self._work(key))

    async def stop(self) -> None:
        """Begins nothing new, and returns when what was being worked on is finished."""
        self._stopping = True
        self._news.set()
        for _ in range(self._workers):
            await self._slots.acquire()

    async def _next(self) -> Key | None:
        """The next key that is due, as soon as one is; None when told to stop."""
        while not self._stopping:
            self._news.clear()
            key = self._queue.take(self._ports.clock.now())
            if key is not None:
                return key
            metrics.QUEUE.set(len(self._queue))
            await self._sleep_until(self._queue.next_due())
        return None

    async def _sleep_until(self, due: datetime | None) -> None:
        wait = None if due is None else max(0.0, (due - self._ports.clock.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._news.wait()

    async def _work(self, key: Key) -> None:
        try:
            await self.once(key)
        finally:
            self._slots.release()

    async def once(self, key: Key) -> None:
        """One reconcile, and what its outcome means for the queue."""
        started = time.monotonic()
        try:
            wake_at = await reconcile(key, self._ports)
        except Lost:
            self._queue.failed(key, self._ports.clock.now())
            raise
        except Retry as exc:
            self._again(key, exc, timedelta(seconds=exc.after_seconds), "retry")
        except Blocked as exc:
            # Often it is let pass a moment later: a quota, an admission webhook that restarts. Deadlines run meanwhile.
            self._again(key, exc, timedelta(), "blocked")
        except Exception as exc:
            # One bug must not stop all other keys.
            log.exception("bug", **_bound(key))
            self._again(key, exc, timedelta(), "bug")
        else:
            self._queue.done(key, wake_at)
            metrics.RECONCILES.labels(key.kind, "ok").inc()
        metrics.DURATION.labels(key.kind).observe(time.monotonic() - started)

    def _again(self, key: Key, exc: Exception, after: timedelta, result: str) -> None:
        delay = self._queue.failed(key, self._ports.clock.now(), after)
        metrics.RECONCILES.labels(key.kind, result).inc()
        log.info("again", result=result, error=str(exc), seconds=delay.total_seconds(), **_bound(key))


def _bound(key: Key) -> dict[str, str]:
    return {"kind": key.kind, "namespace": key.namespace, "name": key.name}
