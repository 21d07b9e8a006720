"""Drives one task: finds a pod, begins an attempt, waits for its end, and writes down what follows from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
import structlog

from proctor_gateway.cluster.known import Key
from proctor_gateway.context import Context
from proctor_gateway.driving.draws import Draws
from proctor_gateway.driving.invoke import invoke, judge_answer
from proctor_gateway.driving.legs import legs_of
from proctor_gateway.driving.slots import Asking, Place, Slots
from proctor_gateway.driving.until import unless, until_back, until_gone
from proctor_gateway.rules.arms import Beginning, Draw, Room, Stay, begin, propensity, split_of
from proctor_gateway.rules.dispatch import Pod
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Ended, Fault, Paused, Purpose, Running, Task, Waiting
from proctor_gateway.rules.verdict import Again, AttemptEnd, Broke, Lost, NotTaken, Stopped
from proctor_gateway.store import lifecycle, owners, tasks, trials
from proctor_gateway.store.assignments import Stale
from proctor_gateway.store.calls import list_calls
from proctor_gateway.tokens import Claims

log = structlog.get_logger(__name__)

T = TypeVar("T")

_POLL_SECONDS = 0.1
_REDRAW_SECONDS = 0.02
_TRIAL_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0


@dataclass
class Drive:
    """A task that this process drives. `stop` is set when someone wants it to end."""

    task: Task
    stop: asyncio.Future[Fault]
    pod: Pod | None = None
    pod_gone: asyncio.Event = field(default_factory=asyncio.Event)
    tried: set[str] = field(default_factory=set)
    pauses: int = 0
    stay: Stay | None = None
    """Where the task's conversation began, as far as that differs from what was drawn."""

    @property
    def agent(self) -> Key:
        """Whose task it is."""
        leg = self.task.leg
        return Key(self.task.request.namespace, (leg.agent if leg else None) or self.task.request.agent)

    @property
    def bound(self) -> str | None:
        """The revision that it has to begin or go on with, whatever the agent's status says."""
        if self.task.leg is not None and self.task.leg.revision is not None:
            return self.task.leg.revision
        return self.task.request.pinned if isinstance(self.task.state, Waiting) else self.task.state.revision

    @property
    def attempts(self) -> int:
        """How often it was dispatched."""
        return self.task.state.attempts if isinstance(self.task.state, Running) else 0


class Driver:
    """Drives tasks to their ends."""

    def __init__(self, context: Context, slots: Slots, draws: Draws, instance: str) -> None:
        self._context = context
        self._slots = slots
        self._draws = draws
        self._instance = instance

    async def drive(self, drive: Drive, *, lost: bool) -> None:
        """Until the task has ended or is someone else's. `lost`: an attempt was under way which nobody follows."""
        request = drive.task.request
        end: AttemptEnd | None = None
        if lost and drive.attempts:
            end = Lost(Fault(Reason.INTERRUPTED, "the gateway that drove the task went away"))
        with structlog.contextvars.bound_contextvars(task=request.id, trace_id=request.trace_id):
            while True:
                end = end or await self._attempt(drive)
                if end is None or await self._closed(drive, end):
                    return
                await self._pause(drive, end)
                if drive.stop.done() and drive.stop.result().reason is Reason.INPUT_REQUIRED:
                    # People have decided while the attempt came to its end.
                    drive.stop = asyncio.get_running_loop().create_future()
                end = None

    async def _attempt(self, drive: Drive) -> AttemptEnd | None:
        """How the next attempt ended; None if the task is not ours any more."""
        while True:
            end = await self._tried(drive)
            if not isinstance(end, Stale):
                return end
            # The upgrade went on between the draw and the commit, or the conversation is at home elsewhere.
            await asyncio.sleep(_REDRAW_SECONDS)

    async def _tried(self, drive: Drive) -> AttemptEnd | Stale | None:
        patience = max((self._until(drive) - self._context.clock.now()).total_seconds(), 0.0)
        try:
            async with asyncio.timeout(patience), contextlib.AsyncExitStack() as stack:
                slot = self._slots.taken(self._asking(drive))
                place = await unless(drive.stop, stack.enter_async_context(slot))
                if isinstance(place, Fault):
                    return Stopped(place)
                keep = stack.pop_all()
        except TimeoutError:
            return self._no_pod(drive) if self._is_in_vain(drive) else Stale()
        async with keep:
            return await self._on_pod(drive, *place)

    def _asking(self, drive: Drive) -> Asking:
        # A task that is bound to a revision must not stand in the way of those that may go to another.
        bound = drive.bound
        lane = f"revision {bound}" if bound else f"stays on {drive.stay.arm}" if drive.stay else ""
        is_live = drive.task.request.purpose is Purpose.LIVE
        return Asking(drive.agent, lane, is_live, lambda room: self._wanted(drive, room), frozenset(drive.tried))

    def _wanted(self, drive: Drive, room: Room) -> Place | None:
        """Where the task begins or goes on, with the room that there is now."""
        agent = self._context.known.agent(drive.agent.namespace, drive.agent.name)
        if agent is None:
            return None
        split, request = split_of(agent), drive.task.request
        if drive.bound is None and split is not None:
            return begin(split, request.conversation or request.id, drive.stay, room, request.entry)
        revision = drive.bound or agent.status.revision.stable
        pod = room.pod(revision) if revision else None
        if pod is None or revision is None:
            return None
        # What was asked for by name was not drawn: it is counted with the upgrade, but is no evidence.
        is_new = split is not None and isinstance(drive.task.state, Waiting) and request.purpose is Purpose.LIVE
        draw = Draw(split, None, propensity(split.weight)) if split is not None and is_new else None
        return pod, Beginning(revision, draw)

    def _until(self, drive: Drive) -> datetime:
        """How long to wait for a pod: a task that has begun has its deadline, another its place in the queue."""
        if isinstance(drive.task.state, Running):
            return drive.task.state.deadline
        place = drive.task.request.created_at + timedelta(seconds=self._context.settings.queue_timeout)
        if self._is_in_vain(drive):
            return place
        return max(place, self._context.clock.now() + timedelta(seconds=_TRIAL_PATIENCE_SECONDS))

    async def _pause(self, drive: Drive, end: AttemptEnd) -> None:
        """A pod that takes nothing now may soon, or the next look at the cluster shows another."""
        if isinstance(end, NotTaken):
            seconds = min(_FIRST_PAUSE_SECONDS * 2**drive.pauses, _LONGEST_PAUSE_SECONDS)
            drive.pauses += 1
            await unless(drive.stop, asyncio.sleep(seconds))

    async def _on_pod(self, drive: Drive, pod: Pod, beginning: Beginning) -> AttemptEnd | Stale | None:
        context, request = self._context, drive.task.request
        try:
            bundle = await until_back(
                lambda: context.bundles.get(request.namespace, drive.agent.name, beginning.revision)
            )
        except Problem as exc:
            return NotTaken(Fault(exc.reason, exc.detail))
        begun = await self._begun(drive, beginning, await self._limit(drive, bundle.behaviour.limits.timeout))
        if begun is None:
            return await self._refused(drive)
        if isinstance(begun, Stale):
            return begun
        drive.task, drive.pod = begun, pod
        drive.tried.add(pod.uid)
        drive.pod_gone.clear()
        try:
            answer = await self._invoked(drive, pod)
        finally:
            drive.pod = None
            context.flights.abandon(request.id, drive.attempts)
        if not isinstance(answer, tuple):
            return answer
        attempt = drive.attempts
        runs, made = await self._read(lambda c: (tasks.runs(c, request.id, attempt), list_calls(c, request.id)))
        if not runs:
            # This gateway was silent for so long that another took the task, and gave it back since: what the agent
            # says is what it makes of a token that opened nothing any more.
            return Lost(Fault(Reason.INTERRUPTED, "the attempt was taken for lost while it was under way"))
        return judge_answer(*answer, bundle.behaviour.output, made)

    async def _limit(self, drive: Drive, limit: timedelta) -> timedelta:
        """How long the task may take: what the revision allows, and not longer than a trial was given."""
        request = drive.task.request
        if request.purpose is Purpose.LIVE:
            return limit
        seconds = await self._read(lambda c: trials.timeout_of(c, request.id))
        return limit if seconds is None else min(limit, timedelta(seconds=seconds))

    async def _begun(self, drive: Drive, beginning: Beginning, limit: timedelta) -> Task | Stale | None:
        """The task in its next attempt. Stale: where it is to begin has to be found out once more."""
        context, draw = self._context, beginning.draw
        if draw is None:
            now, revision = context.clock.now(), beginning.revision
            begun = await self._write(lambda c: lifecycle.dispatch(c, drive.task, self._instance, revision, limit, now))
        else:
            bound = await until_back(lambda: self._draws.bind(drive.task, beginning, draw, limit))
            if isinstance(bound, Stay):
                drive.stay = bound
            if isinstance(bound, Stay | Stale):
                return Stale()
            begun = bound
        if begun is not None and drive.bound is None:
            context.metrics.begun(begun)
        return begun

    async def _invoked(self, drive: Drive, pod: Pod) -> tuple[int, bytes] | AttemptEnd:
        context, running = self._context, drive.task.state
        if not isinstance(running, Running):
            raise TypeError("a task that was dispatched is running")
        request = drive.task.request
        claims = Claims(
            request.id,
            running.attempts,
            request.namespace,
            drive.agent.name,
            drive.bound or running.revision,
            running.deadline,
            request.purpose,
            drive.task.leg.number if drive.task.leg else 0,
        )
        token = context.keyring.mint(claims)
        log.info("attempt begins", attempt=running.attempts, revision=running.revision, pod=pod.name)
        with context.metrics.attempts_running.track_inprogress():
            answer = await unless(
                drive.stop, until_gone(drive.pod_gone, pod, invoke(context, drive.task, running, pod, token))
            )
        return Stopped(answer) if isinstance(answer, Fault) else answer

    def _is_in_vain(self, drive: Drive) -> bool:
        """Whether to wait longer would help nobody. Trials wait behind live tasks for as long as that takes."""
        request, bound = drive.task.request, drive.bound
        if request.purpose is Purpose.LIVE or not isinstance(drive.task.state, Waiting) or bound is None:
            return True
        return not any(pod.ready for pod in self._context.known.pods(request.namespace, request.agent, bound))

    def _no_pod(self, drive: Drive) -> AttemptEnd:
        agent = self._context.known.agent(drive.agent.namespace, drive.agent.name)
        revision = drive.bound or (agent.status.revision.stable if agent else None)
        what = f"revision {revision}" if revision else "the agent"
        return Broke(Fault(Reason.AGENT_UNAVAILABLE, f"no pod of {what} was ready in time"))

    async def _refused(self, drive: Drive) -> AttemptEnd | None:
        """The dispatch changed nothing: the task is to be stopped, has ended, or is someone else's."""
        request = drive.task.request
        found = await self._read(lambda c: tasks.get(c, request.id))
        if found is None or isinstance(found.state, Ended):
            return None
        if drive.stop.done():
            return Stopped(drive.stop.result())
        # A task that another gateway has taken over looks the same as before, and is not to be stopped.
        asked = await self._read(lambda c: owners.stops(c, self._instance))
        reason = next((each.reason for each in asked if each.task == request.id), None)
        return Stopped(Fault(reason, "the task was to be stopped")) if reason is not None else None

    async def _closed(self, drive: Drive, end: AttemptEnd) -> bool:
        """Whether the task is over for this process; if not, it may be attempted again."""
        context, request = self._context, drive.task.request
        context.metrics.attempts.labels(request.namespace, request.agent, type(end).__name__).inc()
        # The stop button waits for nothing. Everything else waits for the truth about effects that are under way.
        halted = isinstance(end, Stopped) and end.fault.reason is Reason.SUSPENDED
        until = context.clock.now() + timedelta(seconds=0 if halted else context.settings.settle_timeout)
        while True:
            closing = lifecycle.Closing(
                task=request.id,
                owner=self._instance,
                attempts=drive.attempts,
                end=end,
                max_losses=context.settings.max_losses,
                until=self._until(drive),
                now=context.clock.now(),
                patience=context.clock.now() < until,
                silent_for=timedelta(seconds=context.settings.takeover),
                legs=await legs_of(context, drive.task),
            )
            try:
                result = await self._write(lambda c, closing=closing: lifecycle.close(c, closing))  # type: ignore[misc]
            except lifecycle.NotOwner:
                return True
            if not isinstance(result, lifecycle.Unsettled):
                break
            await asyncio.sleep(_POLL_SECONDS)
        if isinstance(result, lifecycle.Hopped):
            self._hopped(drive, result)
            if result.goes_on:
                return False
            result = result.task
        if isinstance(result, Again):
            cause = end.fault.message if isinstance(end, Lost | NotTaken) else ""
            log.info("the task is dispatched again", attempts=drive.attempts, cause=cause)
            return False
        self._ended(result)
        return True

    def _hopped(self, drive: Drive, hopped: lifecycle.Hopped) -> None:
        drive.task = hopped.task
        drive.tried.clear()
        request, leg = hopped.task.request, hopped.task.leg
        self._context.metrics.hopped(hopped.task, hopped.cause)
        log.info("a fallback serves", agent=request.agent, leg=leg.name if leg else "", cause=hopped.cause)

    def _ended(self, task: Task) -> None:
        state = task.state
        if isinstance(state, Paused):
            log.info("the task waits for people", attempts=state.attempts)
            self._context.questions.set()
        if isinstance(state, Ended):
            self._context.metrics.ended(task, state)
            reason = state.fault.reason if state.fault else None
            log.info("task ended", phase=state.phase, reason=reason, attempts=state.attempts)

    async def _read(self, operation: Callable[[sa.Connection], T]) -> T:
        return await until_back(lambda: self._context.database.read(operation))

    async def _write(self, operation: Callable[[sa.Connection], T]) -> T:
        return await until_back(lambda: self._context.database.write(operation))
