"""The HTTP side of the contract: `/healthz` and `/invoke` as one ASGI application."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from structlog.typing import FilteringBoundLogger

from proctor_agent.config import AgentConfig, InvalidConfig
from proctor_agent.failures import TaskFailure
from proctor_agent.tasks import Assignment, parse, response_body

if TYPE_CHECKING:
    from proctor_agent.loop import Loop, Result

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_BODY_LIMIT = 8 * 1024 * 1024


class Service:
    """Takes tasks while it is neither starting nor draining."""

    def __init__(self, config: AgentConfig, gateway_url: str, model_url: str, log: FilteringBoundLogger) -> None:
        self._config = config
        self._urls = gateway_url, model_url
        self._log = log
        self._loop: asyncio.Task[Loop] | None = None
        self._draining = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def warm_up(self) -> None:
        """Begin to import the loop, beside the serving: it takes about a second, and /healthz must answer."""
        if self._loop is None:
            self._loop = asyncio.create_task(asyncio.to_thread(self._make_loop))

    async def ready(self) -> None:
        """Return when tasks are taken.

        Raises:
            InvalidConfig: the declared agent cannot be run.
        """
        self.warm_up()
        assert self._loop is not None  # noqa: S101 - set by warm_up
        await asyncio.shield(self._loop)

    async def drain(self) -> None:
        """Take no more tasks, and return when those in flight have ended."""
        self._draining = True
        await self._idle.wait()

    @property
    def in_flight(self) -> int:
        """The number of tasks being carried out."""
        return self._running

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        match scope["method"], scope["path"]:
            case "GET" | "HEAD", "/healthz":
                await self._healthz(send)
            case "POST", "/invoke":
                await self._invoke(scope, receive, send)
            case _:
                await _respond(send, 404, {"detail": "there are GET /healthz and POST /invoke"}, problem=True)

    async def _healthz(self, send: Send) -> None:
        if self._draining:
            await _respond(send, 503, {"status": "draining"})
        elif self._loop is None or not self._loop.done():
            await _respond(send, 503, {"status": "starting"})
        else:
            await _respond(send, 200, {"status": "ok"})

    async def _invoke(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if self._draining:
            await _refuse(send, TaskFailure("AgentUnavailable", "the agent is stopping"))
            return
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            assignment = parse(headers, await _body(receive))
        except TaskFailure as failure:
            await _refuse(send, failure)
            return
        self._running += 1
        self._idle.clear()
        try:
            await self._carry_out(assignment, receive, send)
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    async def _carry_out(self, assignment: Assignment, receive: Receive, send: Send) -> None:
        log = self._log.bind(task=assignment.task.id, attempt=assignment.task.attempt, trace_id=assignment.trace_id)
        started = time.monotonic()
        log.info("task started")
        try:
            result = await _unless_gone(self._run(assignment), receive)
        except TaskFailure as failure:
            log.warning("task failed", reason=failure.reason, seconds=_since(started))
            await _refuse(send, failure)
        else:
            if result is None:
                log.info("task cancelled by the caller", seconds=_since(started))
                return
            log.info("task answered", steps=result.steps, tool_calls=result.tool_calls, seconds=_since(started))
            await _respond(send, 200, response_body(result.output))

    async def _run(self, assignment: Assignment) -> Result:
        self.warm_up()
        assert self._loop is not None  # noqa: S101 - set by warm_up
        try:
            loop = await asyncio.shield(self._loop)
        except InvalidConfig as exc:
            raise TaskFailure("AgentError", str(exc)) from exc
        return await loop.run(assignment)

    def _make_loop(self) -> Loop:
        module = importlib.import_module("proctor_agent.loop")
        loop: Loop = module.Loop(self._config, *self._urls)
        _ = loop.form, loop.trust
        return loop


async def _unless_gone(work: Awaitable[Result], receive: Receive) -> Result | None:
    """The result of `work`, or None when the caller closed the connection first; the work is ended then."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, gone):
            task.cancel()
        # Until the work has really ended its connections are open, and the gateway would count its calls.
        await asyncio.gather(working, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise TaskFailure("InvalidRequest", "the request ended before its body did")
        parts += message.get("body", b"")
        if len(parts) > _BODY_LIMIT:
            raise TaskFailure("InvalidRequest", f"the body is larger than {_BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return bytes(parts)


async def _refuse(send: Send, failure: TaskFailure) -> None:
    await _respond(send, failure.status, failure.problem(), problem=True)


async def _respond(send: Send, status: int, body: Mapping[str, Any], *, problem: bool = False) -> None:
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/problem+json" if problem else b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
