"""Which objects are looked at again when one changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proctor.api import names
from proctor.shell.cache import Cache, Key
from proctor.shell.intake import Intake, affected
from proctor.shell.queue import Queue
from proctor.shell.reconcile import ISOLATION

REFUNDS, ORDERS = Key("Agent", "support", "refunds"), Key("Agent", "support", "orders")
PROBE = Key(ISOLATION, "support", "")


def an(kind: str, name: str, version: int = 1, **more: Any) -> dict[str, Any]:
    """An object in the namespace `support`."""
    metadata = {
        "name": name,
        "namespace": "support",
        "uid": f"{kind}-{name}",
        "resourceVersion": str(version),
        **more.pop("metadata", {}),
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def owned(kind: str, by: str) -> dict[str, Any]:
    """A child of an agent."""
    reference = {"kind": "Agent", "name": by, "uid": f"Agent-{by}", "controller": True}
    return an(kind, f"{by}-child", metadata={"ownerReferences": [reference]})


@pytest.fixture
def cache() -> Cache:
    """Two agents, one of which uses the Connector crm."""
    cache = Cache()
    cache.put(an("Agent", "refunds", spec={"model": {"connector": "llm"}, "tools": [{"connector": "crm"}]}))
    cache.put(an("Agent", "orders", spec={"model": {"connector": "llm"}}))
    return cache


CHANGES: dict[str, tuple[dict[str, Any], set[Key]]] = {
    "an agent: itself, and the probe of its namespace": (an("Agent", "refunds"), {REFUNDS, PROBE}),
    "a model's connector: itself, and all who think with it": (
        an("Connector", "llm"),
        {Key("Connector", "support", "llm"), REFUNDS, ORDERS},
    ),
    "a tool's connector: itself, and all who call it": (
        an("Connector", "crm"),
        {Key("Connector", "support", "crm"), REFUNDS},
    ),
    "a connector that nobody uses: itself": (an("Connector", "erp"), {Key("Connector", "support", "erp")}),
    "a child: its agent": (owned("Deployment", "refunds"), {REFUNDS}),
    "a pod: the agent that its label names": (
        an("Pod", "refunds-x", metadata={"labels": {names.AGENT: "refunds"}}),
        {REFUNDS},
    ),
    "the probe: the probe, and all whose isolation it shows": (
        an("Pod", "probe", metadata={"labels": {names.PROBE: "isolation"}}),
        {PROBE, REFUNDS, ORDERS},
    ),
    "a policy of somebody's: all in the namespace": (an("NetworkPolicy", "allow-all"), {REFUNDS, ORDERS}),
    "a kind of ours that is only kept: itself": (an("Workflow", "w"), {Key("Workflow", "support", "w")}),
    "a pod of somebody else's: nobody": (an("Pod", "web"), set()),
}


@pytest.mark.parametrize(("body", "keys"), CHANGES.values(), ids=list(CHANGES))
def test_whom_a_change_concerns(cache: Cache, body: dict[str, Any], keys: set[Key]) -> None:
    """All whose World holds the object, and nobody else."""
    assert set(affected(body, cache)) == keys


def test_a_runtime_class_concerns_every_agent(cache: Cache) -> None:
    """In all namespaces: it has none of its own."""
    body = {"kind": "RuntimeClass", "metadata": {"name": "gvisor"}}
    assert set(affected(body, cache)) == {REFUNDS, ORDERS}


@dataclass
class Stopped:
    """A clock that a test sets."""

    time: datetime = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The time that was set."""
        return self.time


def intake() -> tuple[Intake, Cache, Queue, Stopped]:
    """An intake with what it feeds."""
    cache, queue, clock = Cache(), Queue(), Stopped()
    return Intake(cache, queue, clock), cache, queue, clock


def test_changes_that_come_together_are_looked_at_once() -> None:
    """A moment is waited for the rest of a flock."""
    take_in, _, queue, clock = intake()
    take_in.changed(an("Agent", "refunds", 1))
    take_in.changed(an("Agent", "refunds", 2))
    assert queue.take(clock.now()) is None
    clock.time += timedelta(milliseconds=50)
    assert {queue.take(clock.now()), queue.take(clock.now())} == {REFUNDS, PROBE}
    assert queue.take(clock.now()) is None


def test_an_echo_of_our_own_write_is_no_news() -> None:
    """What the cache has in this version already wakes nobody."""
    take_in, cache, queue, _ = intake()
    cache.put(an("Agent", "refunds", 3))
    assert not take_in.changed(an("Agent", "refunds", 3))
    assert len(queue) == 0


def test_the_end_of_an_object_is_news_once() -> None:
    """And only if it was known."""
    take_in, _, queue, _ = intake()
    take_in.changed(owned("Deployment", "refunds"))
    assert take_in.deleted(owned("Deployment", "refunds"))
    assert not take_in.deleted(owned("Deployment", "refunds"))
    assert len(queue) == 1


def test_after_a_start_everything_of_ours_is_looked_at() -> None:
    """Every object of our kinds, and the probe of every namespace that has agents."""
    take_in, cache, queue, _ = intake()
    for each in (an("Agent", "refunds"), an("Connector", "llm"), an("Policy", "p"), an("Pod", "web")):
        cache.put(each)
    take_in.look_at_everything()
    assert len(queue) == 4
