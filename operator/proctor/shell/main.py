"""The operator's process: cache, watches, lease, queue; the first of them that ends, ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import kopf
import structlog

from proctor.shell import logs
from proctor.shell.accountant import Accountant
from proctor.shell.admission import Admission
from proctor.shell.anchoring import Anchorer
from proctor.shell.cache import Cache
from proctor.shell.certificates import Certificates
from proctor.shell.client import Client
from proctor.shell.clock import SystemClock
from proctor.shell.collector import Collector
from proctor.shell.errors import ProctorError
from proctor.shell.gateway import GatewayClient
from proctor.shell.health import Health
from proctor.shell.intake import Intake
from proctor.shell.kube import RealKube
from proctor.shell.lease import Elector, Leadership
from proctor.shell.notifier import Notifier
from proctor.shell.outbox import Outbox
from proctor.shell.ports import Ports
from proctor.shell.prober import GatewayProber
from proctor.shell.queue import Queue
from proctor.shell.record import RecordClient
from proctor.shell.reporter import Reporter
from proctor.shell.runner import Runner
from proctor.shell.settings import Settings
from proctor.shell.stateless import NoMemories
from proctor.shell.watches import Watches
from proctor.shell.webhook import Webhook

_FINISH_SECONDS = 5.0

log = structlog.get_logger()


def main(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Runs the operator. Exit code 0 after SIGTERM, 1 when a restart is the cure."""
    settings = Settings()
    logs.configure(settings.log_level)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        sys.exit(runner.run(_run(settings)))


@dataclass
class _Process:
    """What the process consists of."""

    settings: Settings
    client: Client
    session: aiohttp.ClientSession
    watches: Watches
    elector: Elector
    runner: Runner
    intake: Intake
    identity: str
    told_to_stop: asyncio.Event
    collector: Collector | None = None
    reporter: Reporter | None = None
    """Looks at the objectives; without it their status stays as it was."""
    anchorer: Anchorer | None = None
    """Remembers the record's checkpoints; without it nobody does."""
    outbox: Outbox | None = None
    notifier: Notifier | None = None
    """Tells people outside of the cluster that they are asked; without it, nobody."""
    record: RecordClient | None = None
    """Where what was decided is told; without it, nowhere."""
    accountant: Accountant | None = None
    """Looks at the budgets; without it their status stays as it was."""
    certificates: Certificates | None = None
    webhook: Webhook | None = None
    """Judges what crosses objects when it is written; without it, that is judged later."""
    is_filled: bool = False

    def listen(self) -> None:
        """SIGTERM and SIGINT are ours from now on."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self.told_to_stop.set)

    async def watch(self) -> None:
        """Feeds the intake with what the API server tells, until kopf ends."""
        tasks = await kopf.spawn_tasks(
            registry=self.watches.registry(),
            memories=NoMemories(),
            standalone=True,
            clusterwide=True,
            # Otherwise kopf asks for the name of the user, and a container's user has none.
            identity=self.identity,  # type: ignore[arg-type] # a NewType of str that kopf keeps to itself
        )
        # kopf took the signals over; but the lease has to be given back after the last write, and by us.
        self.listen()
        # When kopf ends, it cancels every task that it does not know.
        others = asyncio.all_tasks() - set(tasks)
        await kopf.run_tasks(tasks, ignored=others)

    def why_not_ready(self) -> str | None:
        return None if self.is_filled else "the cluster has not been listed yet"


async def _run(settings: Settings) -> int:
    client = await Client.connect(settings.kubeconfig)
    async with aiohttp.ClientSession() as session:
        process = _assemble(settings, client, session)
        health = Health(process.why_not_ready)
        try:
            await health.start(settings.port)
            return await _until_told(process)
        finally:
            await process.elector.release()
            if process.webhook is not None:
                await process.webhook.stop()
            await health.stop()
            await client.close()


def _assemble(settings: Settings, client: Client, session: aiohttp.ClientSession) -> _Process:
    clock, cache, queue = SystemClock(), Cache(), Queue()
    identity = settings.identity or f"{socket.gethostname()}-{os.getpid()}"
    leadership = Leadership(time.monotonic)
    kube = RealKube(client, leadership, identity)
    prober = GatewayProber(session, settings.internal_url(), settings.gateway_token_file)
    gateway = GatewayClient(session, settings.internal_url(), settings.gateway_token_file)
    notifier = Notifier(session, settings.notify_url)
    ports = Ports(
        kube=kube,
        cache=cache,
        prober=prober,
        tasks=gateway,
        clock=clock,
        platform=settings.platform(),
        notifier=notifier,
    )
    intake = Intake(cache, queue, clock)
    elector = Elector(
        client,
        leadership,
        identity=identity,
        namespace=settings.namespace,
        clock=clock,
        monotonic=time.monotonic,
    )
    certificates = _certificates(settings, client, leadership, clock)
    record = RecordClient(session, settings.internal_url(), settings.gateway_token_file)
    return _Process(
        anchorer=Anchorer(kube, record, clock, settings.namespace, settings.record_retention(), settings.anchor_file),
        outbox=ports.outbox,
        notifier=notifier,
        record=record,
        settings=settings,
        client=client,
        session=session,
        watches=Watches(kube, cache, intake, clock),
        elector=elector,
        runner=Runner(queue, ports, settings.workers),
        intake=intake,
        identity=identity,
        told_to_stop=asyncio.Event(),
        certificates=certificates,
        webhook=Webhook(Admission(kube, cache, clock), certificates.context) if certificates else None,
        accountant=Accountant(cache, queue, gateway, ports.usages, clock),
        collector=Collector(cache, queue, gateway, ports.indicators, clock, kube.has_rules),
        reporter=Reporter(cache, queue, gateway, ports.reports, clock, kube.report_kind),
    )


def _certificates(
    settings: Settings, client: Client, leadership: Leadership, clock: SystemClock
) -> Certificates | None:
    if settings.webhook_port is None:
        return None
    poll = settings.certificate_poll_seconds
    return Certificates(client, leadership, clock, settings.namespace, settings.lifetimes(), poll)


async def _until_told(process: _Process) -> int:
    """Runs until SIGTERM (0) or until a part of the process ends by itself (1)."""
    process.listen()
    work = asyncio.create_task(_work(process))
    stop = asyncio.create_task(process.told_to_stop.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        _explain(work)
        await _cancel(stop)
        return 1
    log.info("told to stop")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FINISH_SECONDS):
            await process.runner.stop()
    # Before anything else: the next leader waits for nothing but this.
    await process.elector.release()
    await _cancel(work)
    return 0


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _explain(work: asyncio.Task[None]) -> None:
    fault = work.exception()
    if isinstance(fault, BaseExceptionGroup):
        expected, unexpected = fault.split(ProctorError)
        for each in expected.exceptions if expected else ():
            log.error("ending", error=str(each), type=type(each).__name__)
        if unexpected:
            log.error("ending by a bug", exc_info=unexpected)
    else:
        log.error("ending", error=str(fault) if fault else "a part of the process ended")


async def _work(process: _Process) -> None:
    await process.watches.fill()
    process.is_filled = True
    # A standby watches too: it leads with a warm cache, and judges what is written as the leader does.
    async with asyncio.TaskGroup() as group:
        if process.certificates is not None:
            group.create_task(process.certificates.follow())
        if process.webhook is not None and process.settings.webhook_port is not None:
            await process.webhook.start(process.settings.webhook_port)
        group.create_task(_forever(process.watch(), "the watches ended"))
        group.create_task(process.watches.check(process.settings.relist_seconds))
        group.create_task(_lead(process))


async def _forever(part: Awaitable[None], why: str) -> None:
    await part
    raise ProctorError(why)


async def _lead(process: _Process) -> None:
    await process.elector.acquire()
    process.intake.look_at_everything()
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(process.elector.keep())]
        if process.anchorer is not None:
            beside.append(group.create_task(process.anchorer.run(process.settings.anchor_seconds)))
        if process.outbox is not None and process.record is not None:
            beside.append(group.create_task(process.outbox.run(process.record)))
        if process.notifier is not None:
            beside.append(group.create_task(process.notifier.run()))
        if process.collector is not None:
            beside.append(group.create_task(process.collector.run()))
        if process.reporter is not None:
            beside.append(group.create_task(process.reporter.run(process.settings.report_seconds)))
        if process.accountant is not None:
            beside.append(group.create_task(process.accountant.run()))
        if process.certificates is not None:
            beside.append(group.create_task(process.certificates.renew()))
        await process.runner.run()
        for each in beside:
            each.cancel()
