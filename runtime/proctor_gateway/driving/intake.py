"""Takes tasks in, waits for them, and asks for their end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from proctor.api import digest
from proctor.api.agent import Agent
from proctor_gateway.callpath import billing
from proctor_gateway.context import Context
from proctor_gateway.driving.runner import Runner
from proctor_gateway.driving.trials import Trials
from proctor_gateway.rules.access import Identity, is_tester
from proctor_gateway.rules.arms import Entry
from proctor_gateway.rules.dispatch import capacity, chosen_revision, stable_revision
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.spending import Exceeded
from proctor_gateway.rules.tasks import Ended, Fault, Request, Task
from proctor_gateway.store import lifecycle, tasks
from proctor_gateway.store.acceptance import Acceptance, Accepted, Conflict, Full, Known, accept, same_key
from proctor_gateway.trace import Span

log = structlog.get_logger(__name__)

_FIELDS: Final = {"input", "conversation", "metadata"}
_LONGEST_KEY: Final = 255
_LONGEST_TEXT: Final = 1024
_MOST_METADATA: Final = 32
_LOOK_SECONDS: Final = 1.0
"""How often the store is asked for the end of a task that another gateway drives…"""
_OWN_LOOK_SECONDS: Final = 5.0
"""…and of one that this process drives, which says so itself: only in case that it was not heard."""
"""How often the store is looked into for a task that another replica drives."""


@dataclass(frozen=True)
class Order:
    """What a caller sends."""

    identity: Identity
    agent: Agent
    body: Mapping[str, Any]
    idempotency_key: str | None
    span: Span | None
    revision: str | None = None
    """The revision that a tester chooses."""
    entry: Entry | None = None
    """What an HTTPRoute drew for it."""


class Intake:
    """The way in."""

    def __init__(self, context: Context, runner: Runner, trials: Trials, instance: str) -> None:
        self._context = context
        self._runner = runner
        self._trials = trials
        self._instance = instance
        self.is_open = True

    async def accept(self, order: Order) -> tuple[Task, bool]:
        """The task, and whether it is new. Raises Problem for whatever does not become a task."""
        agent = order.agent
        namespace, name = agent.metadata.namespace, agent.metadata.name
        try:
            return await self._accept(order)
        except Problem as exc:
            self._context.metrics.tasks_refused.labels(namespace, name, exc.reason).inc()
            raise

    async def _accept(self, order: Order) -> tuple[Task, bool]:
        check_body(order.body)
        check_key(order.idempotency_key)
        try:
            asked = self._asked(order)
        except Problem:
            # A repeated request is answered also by an agent that takes no new ones.
            before = await self._before(order)
            if before is None:
                raise
            return self._told(order, before)
        return self._told(order, await self._context.database.write(lambda c: accept(c, asked), asked.locks))

    async def _before(self, order: Order) -> Known | Conflict | None:
        asker = _Asker(order.agent.metadata.namespace, order.agent.metadata.name, order.identity.username)
        read = self._context.database.read
        return await read(lambda c: same_key(c, asker, order.idempotency_key, _digest(order)))

    def _told(self, order: Order, result: Accepted | Known | Conflict | Full | Exceeded) -> tuple[Task, bool]:
        match result:
            case Accepted(task=task):
                self._context.metrics.tasks_accepted.labels(task.request.namespace, task.request.agent).inc()
                log.info("task accepted", task=task.request.id, agent=task.request.agent, caller=task.request.principal)
                self._runner.start(task)
                self._trials.copy(task)
                return task, True
            case Known(task=task):
                return task, False
            case Conflict(task=task):
                raise Problem(
                    422,
                    Reason.IDEMPOTENCY_CONFLICT,
                    "the Idempotency-Key was used for another request",
                    extra={"task": task.request.id},
                )
            case Full(open=count):
                raise self._full(order, count)
            case Exceeded():
                self._context.metrics.exceeded(order.agent.metadata.namespace, order.agent.metadata.name, result)
                raise self._spent(result)

    def _spent(self, exceeded: Exceeded) -> Problem:
        purse, now = exceeded.purse, self._context.clock.now()
        wait = exceeded.retry_after or (purse.resets_at or now) - now
        return Problem(
            429, exceeded.fault.reason, exceeded.fault.message, retry_after=max(1, math.ceil(wait.total_seconds()))
        )

    def _asked(self, order: Order) -> Acceptance:
        if not self.is_open:
            raise Problem(503, Reason.SHUTTING_DOWN, "this gateway is shutting down", retry_after=1)
        agent, clock = order.agent, self._context.clock
        pinned = None if order.revision is None else _chosen(order, order.revision)
        revision = pinned or stable_revision(agent)
        span = order.span or Span(clock.trace_id(), clock.span_id())
        request = Request(
            id=clock.task_id(),
            namespace=agent.metadata.namespace,
            agent=agent.metadata.name,
            principal=order.identity.username,
            input=order.body["input"],
            created_at=clock.now(),
            trace_id=span.trace_id,
            parent_span=span.span_id,
            conversation=order.body.get("conversation"),
            metadata=order.body.get("metadata") or {},
            pinned=pinned,
            entry=order.entry,
        )
        return Acceptance(
            request=request,
            revision=revision,
            body_digest=_digest(order),
            idempotency_key=order.idempotency_key,
            owner=self._instance,
            capacity=self._capacity(agent, revision),
            bill=billing.of_task(self._context, agent),
        )

    def _capacity(self, agent: Agent, revision: str) -> int:
        pods = self._context.known.pods(agent.metadata.namespace, agent.metadata.name, revision)
        return capacity(pods, agent.spec.runtime.concurrency, self._context.settings.queue)

    def _full(self, order: Order, count: int) -> Problem:
        agent = order.agent
        revision = stable_revision(agent) if order.revision is None else _chosen(order, order.revision)
        if self._capacity(agent, revision) == 0:
            what = "the stable revision" if order.revision is None else "revision"
            return Problem(503, Reason.AGENT_UNAVAILABLE, f"no pod of {what} {revision} is ready", retry_after=2)
        return Problem(
            429, Reason.TOO_MANY_TASKS, f"the agent has {count} open tasks, as many as it may have", retry_after=1
        )

    async def waited(self, task: str, seconds: float) -> Task:
        """The task when it has ended, or as it is after so long."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            left = until - asyncio.get_running_loop().time()
            # Looked at after the wait is set up, so that an end in between is not missed.
            waiting = asyncio.create_task(self._context.endings.wait(task, min(max(left, 0), self._interval(task))))
            await asyncio.sleep(0)
            try:
                found = await self._context.database.read(lambda c: tasks.must_get(c, task))
                if isinstance(found.state, Ended) or left <= 0:
                    return found
                await waiting
            finally:
                waiting.cancel()

    def _interval(self, task: str) -> float:
        return _OWN_LOOK_SECONDS if task in self._runner else _LOOK_SECONDS

    async def cancel(self, task: Task) -> Task:
        """The task after its end was asked for: one that runs ends soon, as its own deeds allow."""
        fault = Fault(Reason.CANCELLED, "the caller cancelled the task")
        now = self._context.clock.now()
        found = await self._context.database.write(lambda c: lifecycle.stop(c, task.request.id, fault, now))
        self._runner.stop(task.request.id, fault)
        # People who were asked for it are asked no more.
        self._context.questions.set()
        return found or task


@dataclass(frozen=True)
class _Asker:
    namespace: str
    agent: str
    principal: str


def _digest(order: Order) -> str:
    chosen = {} if order.revision is None else {"revision": order.revision}
    return digest.sha256({**{key: order.body.get(key) for key in _FIELDS}, **chosen})


def _chosen(order: Order, wanted: str) -> str:
    if not is_tester(order.identity, order.agent.spec.access):
        raise Problem(
            403, Reason.FORBIDDEN, f"{order.identity.username} is not one of spec.access.testers, who choose revisions"
        )
    return chosen_revision(order.agent, wanted)


def check_body(body: Mapping[str, Any]) -> None:
    """Raises Problem 400 unless the body is a task."""
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        raise Problem(400, Reason.INVALID_REQUEST, f"unknown fields: {', '.join(unknown)[:200]}")
    if "input" not in body:
        raise Problem(400, Reason.INVALID_REQUEST, "input is missing")
    conversation, metadata = body.get("conversation"), body.get("metadata")
    if conversation is not None and not _is_text(conversation):
        raise Problem(400, Reason.INVALID_REQUEST, f"conversation must be text of 1 to {_LONGEST_TEXT} characters")
    if metadata is not None and not _is_metadata(metadata):
        raise Problem(
            400, Reason.INVALID_REQUEST, f"metadata must be at most {_MOST_METADATA} texts of 1 to {_LONGEST_TEXT} each"
        )


def check_key(key: str | None) -> None:
    """Raises Problem 400 unless the Idempotency-Key can be kept."""
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise Problem(
            400, Reason.INVALID_REQUEST, f"Idempotency-Key must have 1 to {_LONGEST_KEY} printable characters"
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and "\x00" not in value


def _is_metadata(value: object) -> bool:
    if not isinstance(value, dict) or len(value) > _MOST_METADATA:
        return False
    return all(_is_text(key) and _is_text(each) for key, each in value.items())
