"""The program: `proctor-gateway`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

import structlog
import uvloop
from pydantic import ValidationError

from proctor_gateway.clock import SystemClock, instance_name
from proctor_gateway.cluster import access
from proctor_gateway.cluster.kubernetes import Kubernetes
from proctor_gateway.logs import configure
from proctor_gateway.serve import World, serve
from proctor_gateway.settings import Settings

log = structlog.get_logger(__name__)


_SWITCH_SECONDS = 0.0005
"""How long one thread may keep the others waiting: with Python's 5 ms every answer of the store waits for the loop."""

_YOUNG_OBJECTS = 20_000
"""Between two looks for garbage: with Python's 700 each few calls are held up by one."""


def tune() -> None:
    """Set the interpreter for many short calls and a few threads: once, before anything is served."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    # What was imported stays: it need not be looked through for garbage again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exits with 2 if the settings are wrong or there is no cluster to talk to."""
    tune()
    try:
        settings = Settings()
        configure(settings.log_level)
    except (ValidationError, ValueError) as exc:
        sys.exit(_complaint(exc))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings))
    except access.NoCluster as exc:
        log.error("there is no cluster to talk to", cause=str(exc))  # noqa: TRY400 - no bug, no traceback
        sys.exit(2)


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Kubernetes.connected(access.found(os.environ)) as cluster:
        await serve(World(settings, cluster, SystemClock(), instance_name()), stop)


def _complaint(exc: ValidationError | ValueError) -> str:
    if not isinstance(exc, ValidationError):
        return str(exc)
    faults = (
        f"PROCTOR_GATEWAY_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}"
        for each in exc.errors(include_input=False)
    )
    return "; ".join(faults)


if __name__ == "__main__":
    main()
