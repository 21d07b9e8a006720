"""Begins the runs of batches, as many at once as each batch may have, and copies live tasks to a candidate.

A batch belongs to one instance; another takes it over when that one goes. Its runs are tasks like any other, so what
holds for tasks when a pod or a gateway goes away holds for them, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from proctor_gateway.context import Context
from proctor_gateway.driving.runner import Runner
from proctor_gateway.rules.arms import Split, is_mirrored, split_of
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Purpose, Request, Task
from proctor_gateway.store import trials as store
from proctor_gateway.store.acceptance import Acceptance, Accepted, accept
from proctor_gateway.trace import Span

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 0.2
_MOST_COPIES = 50
"""Copies of one agent under way at once: live tasks are not to wait for the writing down of copies."""
_BOUNDLESS = 1 << 40


class Trials:
    """The runs that this instance begins."""

    def __init__(self, context: Context, runner: Runner, instance: str) -> None:
        self._context = context
        self._runner = runner
        self._instance = instance
        self._wanted = asyncio.Event()
        self._copies: set[asyncio.Task[None]] = set()
        self.is_open = True

    def look(self) -> None:
        """A batch may be there that was not before."""
        self._wanted.set()

    async def rounds(self) -> None:
        """Never returns."""
        while True:
            self._wanted.clear()
            busy = False
            try:
                busy = await self.round()
            except StoreAway as exc:
                log.warning("the store is away", cause=str(exc))
            except Exception:
                log.exception("a round of trials failed")
            seconds = _PAUSE_SECONDS if busy else self._context.settings.heartbeat
            try:
                await asyncio.wait_for(self._wanted.wait(), seconds)
            except TimeoutError:
                continue

    async def round(self) -> bool:
        """Begin what is due. Whether anything is left to do."""
        if not self.is_open:
            return False
        silent, now = timedelta(seconds=self._context.settings.takeover), self._context.clock.now()
        # A look first: an instance without trials is not to write once a heartbeat.
        if not await self._context.database.read(store.is_any_open):
            return False
        mine = await self._context.database.write(lambda c: store.adopt(c, self._instance, silent, now))
        for batch in mine:
            for task in await self._context.database.write(lambda c, batch=batch: self._begin(c, batch)):  # type: ignore[misc]
                self._runner.start(task)
        return bool(mine)

    def _begin(self, connection: sa.Connection, batch: Any) -> list[Task]:
        due, is_over = store.due(connection, batch)
        if is_over:
            store.finish(connection, batch)
        served = self._served(batch.namespace, batch.agent)
        begun: list[Task] = []
        for trial in due:
            if trial.revision not in served:
                store.given_up(connection, trial, Reason.REVISION_UNKNOWN)
                continue
            request = self._request(batch, trial)
            found = _accepted(connection, request, trial.revision, self._instance)
            store.begun(connection, trial, request.id)
            begun.append(found)
        return begun

    def _served(self, namespace: str, name: str) -> Collection[str | None]:
        """The revisions that have pods: without any a run would wait in vain."""
        agent = self._context.known.agent(namespace, name)
        if agent is None or agent.is_deleting:
            return ()
        return {agent.status.revision.stable, agent.status.revision.candidate}

    def _request(self, batch: Any, trial: Any) -> Request:
        clock = self._context.clock
        return Request(
            id=clock.task_id(),
            namespace=batch.namespace,
            agent=batch.agent,
            principal=self._context.settings.operator,
            input=trial.input,
            created_at=clock.now(),
            trace_id=clock.trace_id(),
            parent_span=clock.span_id(),
            conversation=trial.conversation,
            purpose=Purpose(batch.purpose),
            pinned=trial.revision,
        )

    def copy(self, task: Task) -> None:
        """Have the candidate do the live task too, if the upgrade says so. The caller does not wait, nor hear of it."""
        request = task.request
        agent = self._context.known.agent(request.namespace, request.agent)
        split = split_of(agent) if agent else None
        if split is None or request.pinned or not is_mirrored(split, request.id) or not self.is_open:
            return
        if len(self._copies) >= _MOST_COPIES:
            self._context.metrics.copies_dropped.labels(request.namespace, request.agent).inc()
            return
        copying = asyncio.create_task(self._copied(task, split))
        self._copies.add(copying)
        copying.add_done_callback(self._copies.discard)

    async def _copied(self, task: Task, split: Split) -> None:
        clock, original = self._context.clock, task.request
        span = Span(original.trace_id, clock.span_id())
        request = Request(
            id=clock.task_id(),
            namespace=original.namespace,
            agent=original.agent,
            principal=original.principal,
            input=original.input,
            created_at=clock.now(),
            trace_id=span.trace_id,
            parent_span=span.span_id,
            conversation=original.conversation,
            purpose=Purpose.MIRROR,
            pinned=split.candidate,
        )
        most = self._context.settings.queue

        def write(connection: sa.Connection) -> Task | None:
            if store.copies_open(connection, original.namespace, original.agent) >= most:
                return None
            store.add_copy(connection, request, split, original.id)
            return _accepted(connection, request, split.candidate, self._instance)

        try:
            found = await self._context.database.write(write)
        except StoreAway as exc:
            log.warning("a live task is not copied", task=original.id, cause=str(exc))
            return
        except Exception:
            log.exception("a live task is not copied", task=original.id)
            return
        if found is None:
            self._context.metrics.copies_dropped.labels(original.namespace, original.agent).inc()
            return
        self._runner.start(found)


def _accepted(connection: sa.Connection, request: Request, revision: str, owner: str) -> Task:
    asked = Acceptance(
        request=request, revision=revision, body_digest="", idempotency_key=None, owner=owner, capacity=_BOUNDLESS
    )
    found = accept(connection, asked)
    if not isinstance(found, Accepted):
        raise LookupError("the task id was taken")  # noqa: TRY004 - no wrong type, another row
    return found.task
