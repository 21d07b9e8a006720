"""A whole simulated cluster with operators in it, and what people do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import structlog

from proctor.plan.world import Platform
from tests.sim.cluster.api import Answer, ApiServer, Request, merge_patch
from tests.sim.cluster.controllers import Controllers
from tests.sim.cluster.kinds import Body, Ref
from tests.sim.cluster.kubelet import Fate, Kubelet, Nature
from tests.sim.cluster.store import Change, Contents, Store
from tests.sim.gateway import SimulatedGateway, System
from tests.sim.operators import IMAGE, Between, Process, Surroundings
from tests.sim.timeline import Timeline

RESTART_SECONDS = 1.0
PERSON = "kubectl"


class Calm:
    """Nothing goes wrong."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def carry(self, request: Request, process: Process) -> Answer:
        """Carries the request out."""
        return self.world.api.handle(request)

    def deliveries(self, change: Change, process: Process) -> tuple[float, ...]:
        """Tells at once."""
        return (0.0,)

    def listed(self, process: Process, kind: str, selector: str | None) -> list[Body]:
        """Lists what is."""
        return self.world.store.all(kind, selector)


@dataclass(frozen=True)
class Write:
    """A write of an operator that the API server carried out or refused."""

    at: float
    by: str
    method: str
    ref: Ref
    subresource: str
    status: int
    request: Request
    is_heard: bool = True
    """Whether the operator got the answer."""
    renews: bool = False
    """Whether it only says that a measurement was made again, and showed the same."""

    def __str__(self) -> str:
        verb = {"PATCH": "apply"}.get(self.method, self.method.lower())
        what = f"{self.ref}.{self.subresource}" if self.subresource else str(self.ref)
        return f"{self.at:8.3f} {self.by} {verb} {what} -> {self.status}"


@dataclass
class Story:
    """What happened: for invariants to judge, and for a person to read."""

    writes: list[Write] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    endings: list[tuple[float, str, int | None]] = field(default_factory=list)

    @property
    def last_write(self) -> float:
        """When an operator last wrote something new."""
        return next((write.at for write in reversed(self.writes) if not write.renews), 0.0)


@dataclass(frozen=True)
class Moment:
    """A world at rest: what a simulation can begin with."""

    elapsed: float
    contents: Contents
    systems: dict[str, System]
    images: dict[str, Fate]


class World:
    """A cluster. Use it as a context: at its end all that still runs is ended."""

    def __init__(
        self, *, elects: bool = False, platform: Platform | None = None, between: Callable[[World], Between] = Calm
    ) -> None:
        self.timeline = Timeline()
        self.store = Store(self.timeline.now)
        self.api = Recording(self)
        self.nature = Nature()
        self.controllers = Controllers(self.timeline, self.api)
        self.kubelet = Kubelet(self.timeline, self.store, self.timeline.now, self.nature)
        self.gateway = SimulatedGateway(self.timeline, self.store)
        self.story = Story()
        self.processes: list[Process] = []
        self.is_restarting = True
        self._around = Surroundings(
            timeline=self.timeline,
            api=self.api,
            gateway=self.gateway,
            between=between(self),
            platform=platform or Platform(agent_image=IMAGE),
            elects=elects,
        )

    def __enter__(self) -> Self:
        self._logging = structlog.get_config()
        structlog.configure(processors=[self._log], cache_logger_on_first_use=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_restarting = False
        self.timeline.end()
        structlog.configure(**self._logging)

    def start_operator(self) -> Process:
        """A new process of the operator; when it ends, another one is started a moment later."""
        process = Process(f"operator-{len(self.processes) + 1}", self._around, self._ended)
        self.processes.append(process)
        process.start()
        return process

    @property
    def operator(self) -> Process:
        """The process that was started last."""
        return self.processes[-1]

    def upgrade(self, platform: Platform) -> None:
        """Another version of the operator takes over: all processes are told to stop, and the next ones are new."""
        self._around = replace(self._around, platform=platform)
        for process in self.processes:
            if not process.is_dead:
                process.sigterm()

    def run_for(self, seconds: float) -> None:
        """Lets that much time pass."""
        self.timeline.run_for(seconds)

    def moment(self) -> Moment:
        """How things are now. Call it when nothing is under way: what is under way is not part of it."""
        return Moment(self.timeline.time(), self.store.contents(), dict(self.gateway.systems), dict(self.nature.images))

    def load(self, moment: Moment) -> None:
        """Begins as it was at that moment."""
        self.timeline.elapsed = moment.elapsed
        self.store.load(moment.contents)
        self.gateway.systems = {url: replace(system) for url, system in moment.systems.items()}
        self.nature.images = dict(moment.images)

    def create(self, *bodies: Body) -> None:
        """Somebody creates objects."""
        for body in bodies:
            self.store.create(body, PERSON)

    def edit(self, ref: Ref, patch: Body) -> None:
        """Somebody merges something into an object, if it is there."""
        body = self.store.get(ref)
        if body is not None:
            self.store.update(merge_patch(body, patch), PERSON)

    def edit_status(self, ref: Ref, status: Body) -> None:
        """Somebody replaces an object's status."""
        body = self.store.get(ref)
        if body is not None:
            self.store.update({**body, "status": status}, PERSON, status=True)

    def delete(self, ref: Ref) -> None:
        """Somebody deletes an object, if it is there."""
        if self.store.get(ref) is not None:
            self.api.delete(ref, PERSON)

    def _ended(self, process: Process) -> None:
        self.story.endings.append((self.timeline.time(), process.name, process.exit_code))
        if self.is_restarting:
            self.timeline.call_later(RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if self.is_restarting:
            self.start_operator()

    def _log(self, _: Any, level: str, entry: structlog.typing.EventDict) -> str:
        self.story.logs.append({"level": level, **entry})
        raise structlog.DropEvent


class Recording(ApiServer):
    """An API server that tells the world's story of the operators' writes."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store)
        self._world = world

    def handle(self, request: Request) -> Answer:
        """The answer, after the request was carried out."""
        if not is_counted(request):
            return super().handle(request)
        target = request.target
        before = self.store.get(target.ref)
        answer = super().handle(request)
        self._world.story.writes.append(
            Write(
                self._world.timeline.time(),
                request.by,
                request.method,
                target.ref,
                target.subresource,
                answer.status,
                request,
                renews=_renews(before, self.store.get(target.ref)),
            )
        )
        return answer


def _renews(before: Body | None, after: Body | None) -> bool:
    if before is None or after is None or before is after or "lastProbe" not in after.get("status", {}):
        return False
    was, is_now = ({**body["status"], "lastProbe": None} if "status" in body else {} for body in (before, after))
    return was == is_now


def is_counted(request: Request) -> bool:
    """Whether it is a write of consequence: not a lease's renewal."""
    return request.is_write and request.target.kind.name != "Lease"
