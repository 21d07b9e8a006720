"""Which pod takes the task, and may another be accepted?"""

from __future__ import annotations

import pytest

from proctor.api.agent import Agent
from proctor_gateway.cluster.known import pod_of
from proctor_gateway.rules.dispatch import Pod, capacity, choose, stable_revision
from proctor_gateway.rules.errors import Problem
from tests.gateway import objects


def pod(uid: str, *, ready: bool = True) -> Pod:
    """A pod."""
    return Pod("support", uid, uid, "refunds", "r1", "10.0.0.1", ready)


CHOICES = {
    "no pod": ([], {}, None),
    "one pod": ([pod("a")], {}, "a"),
    "the one with fewer tasks": ([pod("a"), pod("b")], {"a": 2, "b": 1}, "b"),
    "a tie goes to the smaller name": ([pod("b"), pod("a")], {"a": 1, "b": 1}, "a"),
    "not one that is not ready": ([pod("a", ready=False), pod("b")], {"b": 3}, "b"),
    "none, for all are full": ([pod("a"), pod("b")], {"a": 4, "b": 4}, None),
}


@pytest.mark.parametrize(("pods", "in_flight", "chosen"), CHOICES.values(), ids=CHOICES)
def test_the_least_busy_ready_pod_takes_the_task(pods, in_flight, chosen):
    """Only ready pods with room, the one with the fewest tasks first."""
    found = choose(pods, in_flight, concurrency=4)
    assert (found.uid if found else None) == chosen


def test_a_pod_that_failed_is_taken_last():
    """A task goes to another pod than before, if there is one."""
    assert choose([pod("a"), pod("b")], {"b": 3}, 4, frozenset({"a"})).uid == "b"
    assert choose([pod("a")], {}, 4, frozenset({"a"})).uid == "a"


CAPACITIES = {"two pods": (2, 1, 116), "one of them not ready": (1, 1, 108), "none ready": (0, 2, 0)}


@pytest.mark.parametrize(("ready", "not_ready", "tasks"), CAPACITIES.values(), ids=CAPACITIES)
def test_capacity(ready, not_ready, tasks):
    """Open tasks: what ready pods work on, and a queue; nothing without a ready pod."""
    pods = [pod(f"r{n}") for n in range(ready)] + [pod(f"n{n}", ready=False) for n in range(not_ready)]
    assert capacity(pods, concurrency=8, queue=100) == tasks


PODS = {
    "ready": ({}, {}, True, False),
    "not ready": ({"conditions": [{"type": "Ready", "status": "False"}]}, {}, False, False),
    "without an address": ({"podIP": ""}, {}, False, False),
    "to be deleted": ({}, {"deletionTimestamp": "2026-11-22T12:00:00Z"}, False, False),
    "over": ({"phase": "Failed"}, {}, False, True),
}


@pytest.mark.parametrize(("status", "metadata", "ready", "gone"), PODS.values(), ids=PODS)
def test_a_pod_is_read_as_the_api_server_tells_it(status, metadata, ready, gone):
    """A pod takes tasks while it is Ready, has an address, and is to stay."""
    body = objects.pod("one", "r1", "10.0.0.1", **metadata)
    found = pod_of({**body, "status": {**body["status"], **status}})
    assert (found.ready, found.gone, found.revision) == (ready, gone, "r1")


REVISIONS = {
    "stable": ({}, "r1", {}, "r1"),
    "suspended": ({"suspend": True}, "r1", {}, (409, "Suspended")),
    "not yet": ({}, None, {}, (503, "NoStableRevision")),
}


@pytest.mark.parametrize(("changes", "stable", "status", "expected"), REVISIONS.values(), ids=REVISIONS)
def test_new_tasks_begin_on_the_stable_revision(changes, stable, status, expected):
    """Without a stable revision, or when suspended, no task is taken, and the answer says why."""
    agent = Agent.parse(objects.agent(objects.agent_spec(**changes), stable, **status))
    try:
        found = stable_revision(agent)
    except Problem as exc:
        found = (exc.status, exc.reason)
    assert found == expected


def test_the_condition_is_named():
    """A caller reads what the operator says about the agent that does not serve."""
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "ImageUnavailable",
        "message": "no such image",
        "lastTransitionTime": "2026-11-22T12:00:00Z",
    }
    agent = Agent.parse(objects.agent(objects.agent_spec(), None, conditions=[condition]))
    with pytest.raises(Problem, match="ImageUnavailable: no such image"):
        stable_revision(agent)
