"""The gateway as a process of its own, in a cluster in memory that a file describes: so that it can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx2

from proctor.api import names
from proctor.api.connector import Effect
from proctor_gateway.clock import SystemClock, instance_name
from proctor_gateway.cluster.port import Kind
from proctor_gateway.ledger import Ledger
from proctor_gateway.logs import configure
from proctor_gateway.rules.access import Identity
from proctor_gateway.serve import World, serve
from proctor_gateway.settings import Settings
from tests.gateway import objects
from tests.gateway.memory import MemoryCluster


def describe(file: Path, revision: Mapping[str, Any], kinds: Mapping[Kind, list[Mapping[str, Any]]]) -> None:
    """Write down the cluster that the process shall see."""
    file.write_text(json.dumps({"revision": revision, "objects": {str(kind): kinds[kind] for kind in kinds}}))


def _cluster(file: Path) -> MemoryCluster:
    cluster = MemoryCluster()
    described = json.loads(file.read_text())
    revision = described["revision"]
    cluster.revisions[objects.NAMESPACE, revision["metadata"]["name"]] = revision
    cluster.tokens[objects.CALLER_TOKEN] = (Identity(objects.CALLER), names.AUDIENCE)
    for kind, bodies in described["objects"].items():
        for body in bodies:
            cluster.apply(Kind(kind), body)
            if kind == Kind.CONNECTOR:
                cluster.secrets[objects.NAMESPACE, body["metadata"]["name"]] = {"token": objects.KEY}
    return cluster


CRASH = "CRASH_AT"
"""`<point>:<calls>:<file>`: kill this process when so many calls have come to the point, once, marked by the file."""


class _Crash:
    """Holds calls at a point of their way, and kills the process when all have come."""

    def __init__(self, point: str, calls: int, mark: Path) -> None:
        self._point = point
        self._calls = calls
        self._mark = mark
        self._held = 0

    async def at(self, point: str, effect: Effect) -> None:
        """A call with an effect comes by."""
        if point != self._point or effect is Effect.READ or self._mark.exists():
            return
        self._held += 1
        if self._held == self._calls:
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(60)


POINTS = ("before the intent", "after the intent", "before it is settled", "after it is settled")
"""Where a call can be met on its way through the gateway."""


def meet_calls(at: Callable[[str, Effect], Awaitable[None]]) -> None:
    """From now on every call of this process is met at each of the points."""
    begin, settle = Ledger.begin, Ledger.settle

    async def begun(self: Ledger, claims: Any, intent: Any, *rest: Any) -> Any:
        await at("before the intent", intent.effect)
        found = await begin(self, claims, intent, *rest)
        await at("after the intent", intent.effect)
        return found

    async def settled(self: Ledger, entry: Any, *rest: Any) -> None:
        await at("before it is settled", entry.intent.effect)
        await settle(self, entry, *rest)
        await at("after it is settled", entry.intent.effect)

    Ledger.begin, Ledger.settle = begun, settled  # type: ignore[method-assign]


async def run(file: Path, instance: str) -> None:
    """Serve in the cluster that the file describes."""
    if CRASH in os.environ:
        point, calls, mark = os.environ[CRASH].split(":")
        meet_calls(_Crash(point, int(calls), Path(mark)).at)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(World(Settings(), _cluster(file), SystemClock(), instance), stop)


@dataclass
class Gateway:
    """A process that serves."""

    process: subprocess.Popen[bytes]
    settings: Settings

    @property
    def url(self) -> str:
        """Where callers go."""
        return f"http://127.0.0.1:{self.settings.caller_port}"

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, and how the process ended."""
        self.process.terminate()
        return self.process.wait(30)


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as a process gets them."""
    values = settings.model_dump(mode="json") | {"store": settings.store.get_secret_value()}
    return {
        f"PROCTOR_GATEWAY_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }


def start(file: Path, settings: Settings, log: IO[bytes] | None = None, **extra: str) -> Gateway:
    """Start the process, and wait until it is ready. What it says goes into `log`."""
    command = [sys.executable, "-m", "tests.gateway.program", str(file)]
    environment = {**os.environ, **environment_of(settings), **extra}
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _await_ready(process, settings.internal_port)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Gateway(process, settings)


def _await_ready(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 150
    while True:
        assert process.poll() is None, "the gateway ended at its start"
        assert time.monotonic() < until, "the gateway did not become ready"
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)


if __name__ == "__main__":
    configure(os.environ.get("LOG_LEVEL", "info"))
    asyncio.run(run(Path(sys.argv[1]), instance_name()))
