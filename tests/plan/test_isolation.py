"""The probe of a namespace's network: when it is made, when its word is taken, when it is made again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from proctor.api.agent import Agent, NetworkIsolation
from proctor.plan import isolation
from proctor.plan.isolation import IsolationWorld, measure, plan_isolation
from proctor.plan.world import Manifest, Platform
from tests.plan import examples
from tests.plan.examples import PLATFORM, T0, after
from tests.sim.guard import faults_of_pod

GATEWAY, API = "proctor-gateway.proctor-system.svc:9090", "kubernetes.default.svc:443"


def world(pod: Manifest | None = None, policy: Manifest | None = None, **more: Any) -> IsolationWorld:
    """A namespace with one agent."""
    facts: dict[str, Any] = {"agents": (examples.agent(),), "platform": PLATFORM, **more}
    return IsolationWorld(namespace="support", pod=pod, policy=policy, **facts)


def probe(status: dict[str, Any] | None = None, **metadata: Any) -> Manifest:
    """The probe's pod as we would make it, in some state."""
    pod = next(each for each in plan_isolation(world(), T0).applies if each["kind"] == "Pod")
    made = {**pod, "metadata": {**pod["metadata"], "uid": "uid-of-probe", **metadata}}
    return {**made, "status": status or {"phase": "Running"}}


def ended(message: str, at: datetime = T0, code: int = 0) -> dict[str, Any]:
    """The status of a probe that has ended with that message."""
    terminated = {"exitCode": code, "message": message, "finishedAt": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": terminated}}]}


def said(allowed: str, *forbidden: str, at: datetime = T0) -> dict[str, Any]:
    """The status of a probe that has seen this."""
    outcomes = dict(zip((GATEWAY, API), forbidden, strict=False))
    return ended(json.dumps({"allowed": allowed, "forbidden": outcomes}), at)


VERDICTS: dict[str, tuple[Manifest | None, NetworkIsolation, str]] = {
    "no pod": (None, NetworkIsolation.UNKNOWN, "not measured yet"),
    "under way": (probe(), NetworkIsolation.UNKNOWN, "not measured yet"),
    "fenced": (probe(said("Connected", "TimedOut", "Refused")), NetworkIsolation.VERIFIED, "could not connect to"),
    "one way out": (probe(said("Connected", "TimedOut", "Connected")), NetworkIsolation.NOT_ENFORCED, API),
    "open, gateway away": (probe(said("TimedOut", "Connected", "TimedOut")), NetworkIsolation.NOT_ENFORCED, GATEWAY),
    "nothing answers": (probe(said("TimedOut", "TimedOut", "TimedOut")), NetworkIsolation.UNKNOWN, "proves nothing"),
    "a name was not found": (
        probe(said("Connected", "Unresolved", "TimedOut")),
        NetworkIsolation.UNKNOWN,
        "says nothing about the network",
    ),
    "nothing was tried": (probe(said("Connected")), NetworkIsolation.UNKNOWN, "says nothing about the network"),
    "no message": (probe(ended("", code=1)), NetworkIsolation.UNKNOWN, "code 1 and no result"),
    "a message of something else": (probe(ended("[1]")), NetworkIsolation.UNKNOWN, "no result"),
    "evicted": (probe({"phase": "Failed", "reason": "Evicted"}), NetworkIsolation.UNKNOWN, "Evicted"),
}


@pytest.mark.parametrize(("pod", "state", "words"), VERDICTS.values(), ids=list(VERDICTS))
def test_what_a_probe_shows(pod: Manifest | None, state: NetworkIsolation, words: str) -> None:
    """Verified is only what was tried and failed while the gateway answered; anything else is said as it is."""
    measured = measure(pod)
    assert measured.state is state
    assert words in measured.message


def test_the_fence_is_up_before_the_probe() -> None:
    """And the probe stands behind the same fence as every agent."""
    policy, pod = plan_isolation(world(), T0).applies
    assert (policy["kind"], pod["kind"]) == ("NetworkPolicy", "Pod")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_the_probe_is_confined_like_an_agent() -> None:
    """It runs in an agent's place."""
    assert list(faults_of_pod(probe()["spec"])) == []


def test_a_namespace_without_agents_has_no_plan() -> None:
    """Nothing is made, and nothing deleted: the probe goes with the agent that owns it."""
    assert plan_isolation(world(pod=probe(), agents=()), T0).is_noop


def policy() -> Manifest:
    """The probe's fence as it was made."""
    return next(each for each in plan_isolation(world(), T0).applies if each["kind"] == "NetworkPolicy")


AGAIN: dict[str, tuple[Manifest, datetime, bool]] = {
    "under way": (probe(), T0, False),
    "verified": (probe(said("Connected", "TimedOut", "TimedOut")), after(hours=5), False),
    "verified, six hours ago": (probe(said("Connected", "TimedOut", "TimedOut")), after(hours=6), True),
    "not enforced, six hours ago": (probe(said("Connected", "Connected", "TimedOut")), after(hours=6), True),
    "unknown": (probe(said("TimedOut", "TimedOut", "TimedOut")), after(minutes=4), False),
    "unknown, five minutes ago": (probe(said("TimedOut", "TimedOut", "TimedOut")), after(minutes=5), True),
    "evicted": (probe({"phase": "Failed", "reason": "Evicted"}), T0, True),
    "of another version": (probe(annotations={}), T0, True),
    "going already": (probe(deletionTimestamp="2026-11-02T08:00:00Z", annotations={}), T0, False),
}


@pytest.mark.parametrize(("pod", "now", "is_deleted"), AGAIN.values(), ids=list(AGAIN))
def test_when_it_is_measured_again(pod: Manifest, now: datetime, *, is_deleted: bool) -> None:
    """The pod is deleted, by its uid, and the next look makes a new one."""
    plan = plan_isolation(world(pod=pod, policy=policy()), now)
    assert [each.uid for each in plan.deletions] == (["uid-of-probe"] if is_deleted else [])
    assert not plan.applies


def test_one_wakes_when_the_measurement_gets_old() -> None:
    """Otherwise nobody would notice."""
    pod = probe(said("TimedOut", "TimedOut", "TimedOut"))
    assert plan_isolation(world(pod=pod, policy=policy()), T0).wake_at == after(minutes=5)


def test_the_oldest_agent_owns_the_probe() -> None:
    """All replicas of the operator agree on which one."""
    younger = examples.agent("aaa").model_dump(by_alias=True)
    younger["metadata"]["creationTimestamp"] = after(hours=1)
    agents = (Agent.model_validate(younger), examples.agent())
    assert isolation.owner(world(agents=agents)).metadata.name == "refunds"


def test_another_place_of_the_gateway_is_probed_anew() -> None:
    """What was measured of the old one says nothing of the new one."""
    moved = Platform(agent_image=PLATFORM.agent_image, gateway_host="gateway.elsewhere.svc")
    plan = plan_isolation(world(pod=probe(said("Connected", "TimedOut", "TimedOut")), platform=moved), T0)
    assert [each.kind for each in plan.deletions] == ["Pod"]


def test_after_a_deletion_one_looks_again_soon() -> None:
    """Nobody else may tell that the old pod is gone."""
    pod = probe({"phase": "Failed", "reason": "Evicted"})
    assert plan_isolation(world(pod=pod, policy=policy()), T0).wake_at == after(seconds=2)
