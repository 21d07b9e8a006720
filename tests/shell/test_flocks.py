"""Which changes wake an agent's reconcile, and when: a flock of changes is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proctor.api import names
from proctor.shell.cache import Cache, Key
from proctor.shell.intake import Intake
from proctor.shell.queue import Queue

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
REFUNDS = Key("Agent", "support", "refunds")
PROBE = Key("Isolation", "support", "")


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        """The time."""
        return NOW


def an(kind: str, name: str, version: int, *, generation: int = 1, **more: Any) -> dict[str, Any]:
    """An object in some version; a child of the agent refunds unless it is an Agent."""
    owner = {"kind": "Agent", "name": "refunds", "uid": "refunds", "controller": True}
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "support",
        "uid": name,
        "resourceVersion": str(version),
        "generation": generation,
        "labels": {names.AGENT: "refunds"},
        "ownerReferences": [] if kind == "Agent" else [owner],
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def woken(before: list[dict[str, Any]], change: dict[str, Any], after: timedelta) -> set[Key]:
    """The keys that are due some time after the change."""
    cache, queue = Cache(), Queue()
    for body in before:
        cache.put(body)
    Intake(cache, queue, Stopped()).changed(change)
    return set(iter(lambda: queue.take(NOW + after), None))


SOON, LATER = timedelta(milliseconds=50), timedelta(milliseconds=250)

DEPLOYMENT = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 0}
RUNNING = {"name": "agent", "image": "i", "ready": True, "state": {"running": {"startedAt": "2026-11-02T08:00:00Z"}}}

CHANGES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], set[Key], set[Key]]] = {
    "a new agent is looked at promptly, and the probe of its namespace": (
        [],
        an("Agent", "refunds", 1),
        {REFUNDS, PROBE},
        set(),
    ),
    "a changed spec is looked at promptly, and may be readable now": (
        [an("Agent", "refunds", 1)],
        an("Agent", "refunds", 2, generation=2, spec={"suspend": True}),
        {REFUNDS, PROBE},
        set(),
    ),
    "a changed status waits for the flock and does not concern the probe": (
        [an("Agent", "refunds", 1)],
        an("Agent", "refunds", 2, status={"replicas": 1}),
        set(),
        {REFUNDS},
    ),
    "a pod that became ready waits for the flock": (
        [an("Deployment", "refunds-1", 1, status=DEPLOYMENT)],
        an("Deployment", "refunds-1", 2, status={**DEPLOYMENT, "readyReplicas": 1}),
        set(),
        {REFUNDS},
    ),
    "what a deployment reports that nobody asks for is no news": (
        [an("Deployment", "refunds-1", 1, status=DEPLOYMENT)],
        an(
            "Deployment",
            "refunds-1",
            2,
            status={**DEPLOYMENT, "conditions": [{"type": "Progressing", "status": "True", "message": "1 of 1"}]},
        ),
        set(),
        set(),
    ),
    "what a disruption budget reports is no news": (
        [an("PodDisruptionBudget", "agent-refunds", 1)],
        an("PodDisruptionBudget", "agent-refunds", 2, status={"currentHealthy": 1}),
        set(),
        set(),
    ),
    "where a pod was scheduled to is no news": (
        [an("Pod", "refunds-1-a", 1, status={"phase": "Pending"})],
        an(
            "Pod",
            "refunds-1-a",
            2,
            spec={"nodeName": "n"},
            status={"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
        ),
        set(),
        set(),
    ),
    "a pod that can be scheduled nowhere is news": (
        [an("Pod", "refunds-1-a", 1, status={"phase": "Pending"})],
        an(
            "Pod",
            "refunds-1-a",
            2,
            status={"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]},
        ),
        set(),
        {REFUNDS},
    ),
    "the id of a container is no news": (
        [an("Pod", "refunds-1-a", 1, status={"containerStatuses": [RUNNING]})],
        an("Pod", "refunds-1-a", 2, status={"containerStatuses": [{**RUNNING, "containerID": "c"}]}),
        set(),
        set(),
    ),
    "our own policy concerns its agent alone": (
        [an("Agent", "refunds", 1), an("Agent", "orders", 1)],
        an("NetworkPolicy", "agent-refunds", 1),
        set(),
        {REFUNDS},
    ),
}


@pytest.mark.parametrize(("before", "change", "soon", "later"), CHANGES.values(), ids=list(CHANGES))
def test_what_a_change_wakes(
    before: list[dict[str, Any]], change: dict[str, Any], soon: set[Key], later: set[Key]
) -> None:
    """A person's change promptly, a controller's with those that follow it, and nothing for what nobody asks for."""
    assert woken(before, change, SOON) == soon
    assert woken(before, change, LATER) == soon | later
