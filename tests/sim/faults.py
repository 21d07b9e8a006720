"""What goes wrong, and when: at the n-th write of the operators, or at the n-th thing that a watch tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from proctor.shell.errors import Retry
from tests.sim.cluster.api import Answer, Request, failure

if TYPE_CHECKING:
    from tests.sim.injector import Injector
    from tests.sim.operators import Process
    from tests.sim.world import World


@dataclass(frozen=True)
class Exchange:
    """A request that a fault strikes."""

    request: Request
    process: Process
    injector: Injector

    @property
    def world(self) -> World:
        """The world it happens in."""
        return self.injector.world

    def commit(self) -> Answer:
        """Carries the request out."""
        return self.world.api.handle(self.request)

    def commit_unheard(self) -> None:
        """Carries the request out, and nobody hears of it."""
        self.commit()
        writes = self.world.story.writes
        writes[-1] = replace(writes[-1], is_heard=False)


class WriteFault(Protocol):
    """Something that happens to one write."""

    @property
    def kind(self) -> str:
        """The class of faults to which it belongs."""

    async def strike(self, exchange: Exchange) -> Answer:
        """What comes of the request."""


@dataclass(frozen=True)
class Crash:
    """The process dies before the request arrives, or before its answer does."""

    after: bool
    kind: str = "crash"

    async def strike(self, exchange: Exchange) -> Answer:
        """There is no answer, and nobody who waits for it."""
        if self.after:
            exchange.commit()
        exchange.process.crash()
        return await _never()


@dataclass(frozen=True)
class Ambiguous:
    """The request is carried out and its answer lost: the connection breaks, or the client's time is up."""

    seconds: float = 0.0
    kind: str = "ambiguous"

    async def strike(self, exchange: Exchange) -> Answer:
        """The client cannot know."""
        exchange.commit_unheard()
        await asyncio.sleep(self.seconds)
        raise Retry(f"{exchange.request.method} {exchange.request.path}: ServerDisconnectedError")


@dataclass(frozen=True)
class Late:
    """The client's time is up, and the request is carried out only after that, when others have acted."""

    seconds: float
    kind: str = "late"

    async def strike(self, exchange: Exchange) -> Answer:
        """The client gives up first."""
        exchange.world.timeline.call_later(self.seconds, exchange.commit_unheard)
        return await _never()


@dataclass(frozen=True)
class Slow:
    """The request takes long, but not too long."""

    seconds: float
    kind: str = "slow"

    async def strike(self, exchange: Exchange) -> Answer:
        """The answer comes late."""
        await asyncio.sleep(self.seconds)
        return exchange.commit()


_REASONS = {
    409: "Conflict",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    403: "Forbidden",
    404: "NotFound",
}


@dataclass(frozen=True)
class Fail:
    """The server refuses this write so many times."""

    status: int
    times: int = 1

    @property
    def kind(self) -> str:
        """Errors are told apart by their status."""
        return f"error {self.status}"

    async def strike(self, exchange: Exchange) -> Answer:
        """The refusal, now and as often as is left."""
        if self.status == 404 and exchange.request.method == "DELETE":
            # It says the truth: somebody else was faster.
            exchange.world.store.remove(exchange.request.target.ref, "somebody")
        if self.times > 1:
            exchange.injector.fail_again(exchange.request, Fail(self.status, self.times - 1))
        if self.status == 503:
            return Answer(503, "upstream connect error or disconnect/reset before headers")
        message = f"injected: {_REASONS[self.status]}"
        return failure(self.status, _REASONS[self.status], message, "1" if self.status == 429 else None)


@dataclass(frozen=True)
class Sigterm:
    """The process is told to stop while it writes."""

    kind: str = "sigterm"

    async def strike(self, exchange: Exchange) -> Answer:
        """The write goes on."""
        exchange.process.sigterm()
        return exchange.commit()


@dataclass(frozen=True)
class Blind:
    """The watches break at this write; what happens until they list again is never told of."""

    seconds: float
    kind: str = "watch broken"

    async def strike(self, exchange: Exchange) -> Answer:
        """The write goes on."""
        exchange.process.disconnect(self.seconds)
        return exchange.commit()


@dataclass(frozen=True)
class Lag:
    """From this write on the watches, or those of one kind, are behind by so many seconds."""

    seconds: float
    of_kind: str | None = None
    kind: str = "watch late"

    async def strike(self, exchange: Exchange) -> Answer:
        """The write goes on; even its own echo comes late."""
        exchange.injector.lag(self.seconds, self.of_kind)
        return exchange.commit()


@dataclass(frozen=True)
class StaleRestart:
    """The process dies after this write, and the next one is served lists that are behind by so many versions."""

    versions: int
    seconds: float = 3.0
    kind: str = "stale restart"

    async def strike(self, exchange: Exchange) -> Answer:
        """The API server that answers the next process is behind."""
        exchange.commit()
        exchange.injector.be_stale(self.versions, self.seconds)
        exchange.process.crash()
        return await _never()


@dataclass(frozen=True)
class Partition:
    """The process reaches nothing for a while: its lease runs out, and another one leads."""

    seconds: float
    kind: str = "partition"

    async def strike(self, exchange: Exchange) -> Answer:
        """The write fails, and all others of this process until the partition ends."""
        exchange.injector.cut_off(exchange.process, self.seconds)
        raise Retry("injected: no route to host")


@dataclass(frozen=True)
class Outage:
    """The API server is away, for every process, as while it is upgraded."""

    seconds: float
    kind: str = "outage"

    async def strike(self, exchange: Exchange) -> Answer:
        """Nothing is reached until it is back."""
        exchange.injector.go_away(self.seconds)
        raise Retry("injected: connection refused")


@dataclass(frozen=True)
class LeaseTaken:
    """Somebody takes the lease away between two writes."""

    kind: str = "lease lost"

    async def strike(self, exchange: Exchange) -> Answer:
        """The write goes on; the next ones must not, once the process can know."""
        answer = exchange.commit()
        exchange.injector.take_lease()
        return answer


@dataclass(frozen=True)
class Act:
    """Somebody does something at this very moment."""

    name: str
    act: Callable[[World], None] = field(compare=False)
    after: bool = False
    blind_seconds: float = 0.0
    """For how long the watches are broken meanwhile."""

    @property
    def kind(self) -> str:
        """What is done."""
        return f"person: {self.name}"

    async def strike(self, exchange: Exchange) -> Answer:
        """The write goes on, on the world as it is then."""
        if self.blind_seconds:
            exchange.process.disconnect(self.blind_seconds)
        if not self.after:
            self.act(exchange.world)
        answer = exchange.commit()
        if self.after:
            self.act(exchange.world)
        return answer


@dataclass(frozen=True)
class OnWrite:
    """A fault at the n-th write, counted from 0."""

    index: int
    fault: WriteFault

    @property
    def kind(self) -> str:
        """The class of faults to which it belongs."""
        return self.fault.kind


@dataclass(frozen=True)
class OnDelivery:
    """The n-th change that a watch would tell of is told after these delays: never if there are none."""

    index: int
    delays: tuple[float, ...]

    @property
    def kind(self) -> str:
        """The class of faults to which it belongs."""
        return {0: "event dropped", 1: "event late"}.get(len(self.delays), "event doubled")


Strike = OnWrite | OnDelivery
Plan = tuple[Strike, ...]
"""All that goes wrong in one run."""


async def _never() -> Answer:
    await asyncio.Event().wait()
    raise AssertionError("waited for what never comes")
