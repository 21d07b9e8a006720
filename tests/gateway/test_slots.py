"""Who gets a place on a pod, and when?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from proctor_gateway.cluster.known import Key, Known
from proctor_gateway.cluster.port import Kind
from proctor_gateway.driving.slots import Asking, Place, Slots
from proctor_gateway.rules.arms import Beginning, Room
from tests.gateway import objects

AGENT = Key(objects.NAMESPACE, "refunds")


def known_of(concurrency: int, **pods: str) -> Known:
    """An agent whose pods, by name, are of these revisions."""
    known = Known()
    known.put(Kind.AGENT, objects.agent(objects.agent_spec(runtime={"concurrency": concurrency}), "s"))
    for number, (name, revision) in enumerate(pods.items(), 1):
        known.put(Kind.POD, objects.pod(name, revision, f"10.0.0.{number}"))
    return known


def wants(revision: str) -> Callable[[Room], Place | None]:
    """Wants any pod of the revision."""

    def place(room: Room) -> Place | None:
        pod = room.pod(revision)
        return (pod, Beginning(revision)) if pod else None

    return place


def asking(revision: str = "s", *, lane: str | None = None, is_live: bool = True) -> Asking:
    """Asks for a place on the revision."""
    return Asking(AGENT, revision if lane is None else lane, is_live, wants(revision))


class Guests:
    """Those who ask for places: in which order they were let in, and who is still there."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.came: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._go = {}

    async def ask(self, name: str, **how: object) -> None:
        """Ask for a place, and keep it until told to leave."""
        self._go[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, asking(**how)))  # type: ignore[arg-type]
        await asyncio.sleep(0)

    async def _stay(self, name: str, asked: Asking) -> None:
        async with self.slots.taken(asked):
            self.came.append(name)
            await self._go[name].wait()

    async def leave(self, *names: str) -> None:
        """Give the places back."""
        for name in names:
            self._go[name].set()
            await asyncio.gather(self.tasks[name], return_exceptions=True)
        await asyncio.sleep(0)

    async def cancel(self, name: str) -> None:
        """Stop waiting, or give the place back."""
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)
        await asyncio.sleep(0)


async def test_who_came_first_is_served_first():
    """In one lane, and between lanes that want the same."""
    guests = Guests(Slots(known_of(1, one="s")))
    for name, lane in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x")):
        await guests.ask(name, lane=lane)
    await guests.leave("a", "b", "c", "d")
    assert guests.came == ["a", "b", "c", "d"]


async def test_a_lane_that_waits_holds_up_no_other():
    """A full revision is waited for only by those who want it."""
    guests = Guests(Slots(known_of(1, one="s", two="c")))
    for name, revision in (("a", "c"), ("b", "c"), ("x", "s")):
        await guests.ask(name, revision=revision)
    assert guests.came == ["a", "x"]
    await guests.leave("a", "b", "x")


async def test_live_tasks_come_first():
    """A trial that has waited longer still waits longer."""
    guests = Guests(Slots(known_of(1, one="s")))
    await guests.ask("first")
    await guests.ask("trial", is_live=False)
    await guests.ask("live")
    await guests.leave("first", "live", "trial")
    assert guests.came == ["first", "live", "trial"]


@pytest.mark.parametrize(("concurrency", "share", "most"), [(8, 0.5, 4), (8, 0.1, 1), (1, 0.5, 1), (3, 1.0, 3)])
async def test_trials_have_a_share_of_each_pod(concurrency: int, share: float, most: int):
    """However many there are; one place at least, or an agent of one place could never be tried."""
    guests = Guests(Slots(known_of(concurrency, one="s"), share))
    for number in range(concurrency + 1):
        await guests.ask(f"t{number}", is_live=False)
    assert len(guests.came) == most
    for number in range(concurrency - most):
        await guests.ask(f"l{number}")
    assert len(guests.came) == concurrency
    for name in list(guests.tasks):
        await guests.cancel(name)


async def test_who_gives_up_holds_up_nobody():
    """Whether it waited, or was let in at the same moment: its place is another's at once."""
    slots = Slots(known_of(1, one="s"))
    guests = Guests(slots)
    for name in ("a", "b", "c", "d"):
        await guests.ask(name)
    await guests.cancel("b")
    # Let in and cancelled before it could notice either.
    guests._go["a"].set()
    await asyncio.sleep(0)
    guests.tasks["c"].cancel()
    await asyncio.gather(guests.tasks["a"], guests.tasks["c"], return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert guests.came[-1] == "d"
    assert slots.in_flight == 1
    await guests.leave("d")
    assert slots.in_flight == 0


async def test_a_cancelled_head_is_passed_over():
    """A place that is free in the moment of the cancellation goes to the next, not to who is gone."""
    slots = Slots(known_of(1, one="s"))
    guests = Guests(slots)
    for name in ("a", "b", "c"):
        await guests.ask(name)
    # In this order the place comes free before the other one has noticed that it is cancelled.
    guests.tasks["a"].cancel()
    guests.tasks["b"].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await guests.tasks["a"]
    await asyncio.gather(guests.tasks["b"], return_exceptions=True)
    await asyncio.sleep(0)
    assert (guests.came, slots.in_flight) == (["a", "c"], 1)
    await guests.leave("c")


async def test_a_pod_that_appears_is_used():
    """Who waits for a revision without pods is let in when one is ready."""
    known = known_of(1)
    guests = Guests(Slots(known))
    await guests.ask("a")
    assert guests.came == []
    known.put(Kind.POD, objects.pod("one", "s", "10.0.0.1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert guests.came == ["a"]
    await guests.leave("a")
