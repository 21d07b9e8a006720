"""Waits for work, until something else happens: a stop, a pod that is gone, a store that is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from proctor_gateway.rules.dispatch import Pod
from proctor_gateway.rules.errors import StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.rules.verdict import Lost

log = structlog.get_logger(__name__)

T = TypeVar("T")

_STORE_PAUSE_SECONDS = 1.0
_GONE_GRACE_SECONDS = 1.0


async def until_back(work: Callable[[], Awaitable[T]]) -> T:
    """Ask until the store answers: what happened to a task is not given up because the store is away."""
    while True:
        try:
            return await work()
        except StoreAway as exc:
            log.warning("the store is away", cause=str(exc))
            await asyncio.sleep(_STORE_PAUSE_SECONDS)


async def unless(stop: asyncio.Future[Fault], work: Coroutine[Any, Any, T]) -> T | Fault:
    """The work's result, or why it was stopped before it had one. The work has ended when this returns."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return stop.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def until_gone(pod_gone: asyncio.Event, pod: Pod, work: Coroutine[Any, Any, T]) -> T | Lost:
    """The work's result, or Lost when the pod is not there any more: a dead node closes no connection."""
    gone: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()

    async def watch() -> None:
        await pod_gone.wait()
        await asyncio.sleep(_GONE_GRACE_SECONDS)
        gone.set_result(Fault(Reason.INTERRUPTED, f"pod {pod.name} is not there any more"))

    watching = asyncio.create_task(watch())
    try:
        found = await unless(gone, work)
        return Lost(found) if isinstance(found, Fault) else found
    finally:
        watching.cancel()
