"""Gateways and agents as processes that cost little to start: forked from one that has imported everything.

Each is a process of its own, with its own memory, sockets and connections to the store, and can be killed with -9.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from proctor.api.connector import Effect
from proctor_gateway.logs import configure
from tests.gateway import program
from tests.gateway.small_agent import SmallAgent

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
_PR_SET_PDEATHSIG: Final = 1


def gateway(file: Path, environment: Mapping[str, str], instance: str, fate: tuple[str, int] | None) -> Any:
    """A gateway's process, started. It kills itself when so many calls with an effect have passed its fate's point."""
    return _started(_gateway, (str(file), dict(environment), instance, fate))


def agent(address: str, port: int, gateways: str, notes: Path) -> Any:
    """An agent's process, started. It notes each attempt that reaches it, one JSON object a line."""
    return _started(_agent, (address, port, gateways, str(notes)))


def _started(work: Any, arguments: tuple[Any, ...]) -> ForkServerProcess:
    process: ForkServerProcess = _CONTEXT.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def _gateway(file: str, environment: Mapping[str, str], instance: str, fate: tuple[str, int] | None) -> None:
    _die_with_the_bench()
    os.environ.update(environment)
    _write_to(Path(file).with_suffix(".log"))
    configure("warning")
    if fate is not None:
        program.meet_calls(_Doom(*fate).at)
    asyncio.run(program.run(Path(file), instance))


class _Doom:
    """Kills the process at a point, after so many calls with an effect have passed it."""

    def __init__(self, point: str, passing: int) -> None:
        self._point = point
        self._passing = passing

    async def at(self, point: str, effect: Effect) -> None:
        if point != self._point or effect is Effect.READ:
            return
        if self._passing == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passing -= 1


class _Noting(SmallAgent):
    def __init__(self, gateways: str, pod: str, notes: int) -> None:
        super().__init__(gateways)
        self._pod = pod
        self._notes = notes

    async def invoke(self, request: Request) -> Response:
        task = (await request.json())["task"]
        note = {"task": task["id"], "attempt": task["attempt"], "pod": self._pod, "at": time.monotonic()}
        os.write(self._notes, json.dumps(note).encode() + b"\n")
        return await super().invoke(request)


def _agent(address: str, port: int, gateways: str, notes: str) -> None:
    _die_with_the_bench()
    _write_to(Path(notes).with_suffix(".log"))
    opened = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    uvicorn.run(_Noting(gateways, address, opened).application(), host=address, port=port, log_level="error")


def _die_with_the_bench() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _write_to(file: Path) -> None:
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
