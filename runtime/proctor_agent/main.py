"""The program of an agent pod."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from proctor_agent import logs
from proctor_agent.config import AgentConfig, InvalidConfig, gateway_url, load, model_url
from proctor_agent.service import Service

DRAIN_SECONDS = 1.0
"""So long a stopping agent still answers, with 503: the time in which callers learn of it."""
KEEP_ALIVE_SECONDS = 75
"""An idle connection is closed by the caller, not here: a task sent at the moment of closing would be lost."""


def main() -> int:
    """Serve the declared agent until SIGTERM; 2 when what was declared cannot be run."""
    try:
        config, urls = load(), (gateway_url(), model_url())
    except InvalidConfig as exc:
        logs.configure().error("the agent cannot be run", detail=str(exc))
        return 2
    return asyncio.run(_serve(config, *urls))


async def _serve(config: AgentConfig, gateway: str, model: str) -> int:
    log = logs.configure(agent=config.name, namespace=config.namespace, revision=config.revision)
    service = Service(config, gateway, model, log)
    server = _Server(
        uvicorn.Config(
            service,
            host=os.environ.get("PROCTOR_AGENT_HOST", "0.0.0.0"),  # noqa: S104 - a pod's server
            port=int(os.environ.get("PROCTOR_AGENT_PORT", "8080")),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ),
        service,
        log,
    )
    starting = asyncio.create_task(_start(service, server, log))
    await server.serve()
    log.info("stopped")
    return 0 if await starting else 2


async def _start(service: Service, server: uvicorn.Server, log: Any) -> bool:
    """Whether tasks are taken now; else the server is told to stop, so that the pod shows why it cannot run."""
    try:
        await service.ready()
    except Exception as exc:  # noqa: BLE001 - whatever it is, the process must end by it and say so
        detail = str(exc) if isinstance(exc, InvalidConfig) else repr(exc)
        log.error("the agent cannot be run", detail=detail)  # noqa: TRY400 - one line; the detail says it all
        server.should_exit = True
        return False
    log.info("ready")
    return True


class _Server(uvicorn.Server):
    """A server that on SIGTERM goes on answering until the tasks in flight have ended.

    uvicorn would close its socket first: a caller that does not know yet would get a refused connection instead
    of an answer that says where it stands.
    """

    def __init__(self, config: uvicorn.Config, service: Service, log: Any) -> None:
        super().__init__(config)
        self._service = service
        self._log = log
        self._stopping: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on the first SIGTERM or SIGINT, give up the tasks in flight on the second."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if self._stopping is not None:
            self.force_exit = self.should_exit = True
            return
        self._log.info("stopping", in_flight=self._service.in_flight)
        self._stopping = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        await asyncio.gather(self._service.drain(), asyncio.sleep(DRAIN_SECONDS))
        self.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
