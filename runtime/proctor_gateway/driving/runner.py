"""The tasks that this process drives: begun, found, stopped and let go of."""

from __future__ import annotations

import asyncio

import structlog

from proctor_gateway.cluster.known import Key
from proctor_gateway.cluster.port import Kind
from proctor_gateway.context import Context
from proctor_gateway.driving.draws import Draws
from proctor_gateway.driving.drive import Drive, Driver
from proctor_gateway.driving.slots import Slots
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Task

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1
_SUSPENDED = Fault(Reason.SUSPENDED, "the agent is suspended")


class Runner:
    """All tasks that this process drives."""

    def __init__(self, context: Context, draws: Draws, instance: str) -> None:
        self._context = context
        self._slots = Slots(context.known, context.settings.trial_share)
        self._driver = Driver(context, self._slots, draws, instance)
        self._drives: dict[str, Drive] = {}
        self._work: dict[str, asyncio.Task[None]] = {}
        context.known.listen(self._on_change)

    def start(self, task: Task, *, lost: bool = False) -> None:
        """Drive the task from where it stands. `lost` says that an attempt was under way which nobody follows."""
        if task.request.id in self._drives:
            return
        drive = Drive(task, asyncio.get_running_loop().create_future())
        agent = self._context.known.agent(task.request.namespace, task.request.agent)
        if agent is not None and agent.spec.suspend:
            drive.stop.set_result(_SUSPENDED)
        self._drives[task.request.id] = drive
        work = asyncio.create_task(self._driver.drive(drive, lost=lost), name=f"task-{task.request.id}")
        self._work[task.request.id] = work
        work.add_done_callback(lambda done: self._on_done(task.request.id, done))

    def stop(self, task: str, fault: Fault) -> None:
        """End the task, if it is driven here."""
        drive = self._drives.get(task)
        if drive is not None and not drive.stop.done():
            drive.stop.set_result(fault)

    def __contains__(self, task: str) -> bool:
        return task in self._drives

    def __len__(self) -> int:
        return len(self._drives)

    @property
    def running(self) -> int:
        """How many tasks are on a pod."""
        return self._slots.in_flight

    async def drain(self, seconds: float) -> None:
        """Let what runs on pods finish within the time; then let go of everything, for others to take over."""
        until = asyncio.get_running_loop().time() + seconds
        while self.running and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(_POLL_SECONDS)
        for work in list(self._work.values()):
            work.cancel()
        await asyncio.gather(*self._work.values(), return_exceptions=True)

    def _on_done(self, task: str, work: asyncio.Task[None]) -> None:
        self._drives.pop(task, None)
        self._work.pop(task, None)
        # However it came: whoever waits for the task looks again, and from now on at the store if another drives it.
        self._context.endings.ended(task)
        if not work.cancelled() and (error := work.exception()) is not None:
            # The task stays open and ours in the store; the round of orphans takes it up again.
            log.error("driving a task failed", task=task, exc_info=error)

    def _on_change(self, kind: Kind, key: Key, _body: object) -> None:
        known = self._context.known
        if kind is Kind.AGENT:
            agent = known.agent(key.namespace, key.name)
            if agent is not None and agent.spec.suspend:
                self._suspend(key)
        if kind is Kind.POD:
            pod = known.pod(key.namespace, key.name)
            for drive in self._drives.values():
                mine = drive.pod is not None and Key(drive.pod.namespace, drive.pod.name) == key
                if mine and drive.pod and (pod is None or pod.gone or pod.uid != drive.pod.uid):
                    drive.pod_gone.set()

    def _suspend(self, agent: Key) -> None:
        self._context.flights.halt(agent)
        for drive in self._drives.values():
            if drive.agent == agent and not drive.stop.done():
                drive.stop.set_result(_SUSPENDED)
