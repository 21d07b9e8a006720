"""What the pods of a revision show."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api import names
from proctor.delivery.facts import Seen
from proctor.plan import evidence
from proctor.plan.world import Manifest
from tests.plan import examples

LABELS = names.revision_labels("refunds", "r1")


def deployment(replicas: int = 2, generation: int = 1, **status: Any) -> Manifest:
    """The Deployment of revision r1."""
    return {
        "kind": "Deployment",
        "metadata": examples.metadata("refunds-r1", labels=LABELS, generation=generation),
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 1, **status},
    }


def pod(
    container: dict[str, Any] | None = None, conditions: tuple[dict[str, Any], ...] = (), revision: str = "r1"
) -> Manifest:
    """A pod of revision r1, or of another one."""
    statuses = [{"name": "agent", "image": "registry.example/a:1", **container}] if container else []
    return {
        "kind": "Pod",
        "metadata": examples.metadata("refunds-r1-x", labels={**LABELS, names.REVISION: revision}),
        "status": {"phase": "Pending", "containerStatuses": statuses, "conditions": list(conditions)},
    }


def seen(*pods: Manifest, of: Manifest | None = None) -> Seen | None:
    """What is known of revision r1."""
    return evidence.gather(examples.world(children=(of or deployment(),), pods=pods)).of("r1")


def problem(*pods: Manifest, **status: Any) -> str | None:
    """What the first unhappy pod says."""
    found = seen(*pods, of=deployment(**status))
    assert found is not None
    return found.problem


COUNTS: dict[str, tuple[Manifest, bool]] = {
    "all are ready": (deployment(readyReplicas=2, updatedReplicas=2), True),
    "one is missing": (deployment(readyReplicas=1, updatedReplicas=2), False),
    "the report is older than the request": (deployment(generation=2, readyReplicas=2, updatedReplicas=2), False),
    "the ready ones are of the template before": (deployment(readyReplicas=2, updatedReplicas=1), False),
    "one of the template before is still there": (
        {
            **deployment(),
            "status": {"observedGeneration": 1, "replicas": 3, "readyReplicas": 2, "updatedReplicas": 2},
        },
        False,
    ),
    "nothing was reported yet": ({**deployment(), "status": {}}, False),
    "none are asked for": (deployment(replicas=0), True),
}


@pytest.mark.parametrize(("of", "is_ready"), COUNTS.values(), ids=list(COUNTS))
def test_readiness_is_counted(of: Manifest, *, is_ready: bool) -> None:
    """From a report that is not older than the request, of pods that have the newest template."""
    found = seen(of=of)
    assert found is not None
    assert found.all_ready == is_ready


def not_ready(minute: int) -> Manifest:
    """A pod that stopped being ready in that minute."""
    turned = {"type": "Ready", "status": "False", "lastTransitionTime": f"2026-11-02T08:{minute:02}:00Z"}
    return pod(conditions=(turned,))


UNAVAILABLE = {"type": "Available", "status": "False", "lastTransitionTime": "2026-11-02T08:09:00Z"}
AWAY: dict[str, tuple[tuple[Manifest, ...], Manifest, int | None]] = {
    "one is ready": ((not_ready(3),), deployment(readyReplicas=1, updatedReplicas=2), None),
    "the last one stopped": ((not_ready(3), not_ready(5)), deployment(), 5),
    "a pod that never was ready counts from its start": ((pod(),), deployment(), 0),
    "no pod can be made": ((), deployment(conditions=[UNAVAILABLE]), 9),
    "nobody can say": ((), deployment(), None),
}


@pytest.mark.parametrize(("pods", "of", "minute"), AWAY.values(), ids=list(AWAY))
def test_since_when_nobody_serves(pods: tuple[Manifest, ...], of: Manifest, minute: int | None) -> None:
    """From the last pod that stopped being ready: a restart must not look like a revision that is down."""
    found = seen(*pods, of=of)
    assert found is not None
    assert found.away_since == (None if minute is None else examples.after(minutes=minute))


def test_without_a_deployment_nothing_is_known() -> None:
    """That is not the same as nothing being ready."""
    assert evidence.gather(examples.world()).of("r1") is None


PROBLEMS: dict[str, tuple[Manifest, str | None]] = {
    "pull fails": (
        pod({"state": {"waiting": {"reason": "ErrImagePull", "message": "3rd attempt"}}}),
        "ImagePullBackOff: image registry.example/a:1",
    ),
    "pull backs off": (
        pod({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "in 10s"}}}),
        "ImagePullBackOff: image registry.example/a:1",
    ),
    "config is missing": (
        pod({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no\n  such"}}}),
        "CreateContainerConfigError: no such",
    ),
    "crashed": (
        pod({"ready": False, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}),
        "CrashLoopBackOff: OOMKilled, exit code 137",
    ),
    "crashed, now waits": (
        pod(
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"exitCode": 1}},
            }
        ),
        "CrashLoopBackOff: Error, exit code 1",
    ),
    "crashed once, ready now": (pod({"ready": True, "lastState": {"terminated": {"exitCode": 1}}}), None),
    "is starting": (pod({"state": {"waiting": {"reason": "ContainerCreating"}}}), None),
    "has no place": (
        pod(
            conditions=({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},)
        ),
        "Unschedulable: 0/3 nodes",
    ),
    "is of another revision": (
        pod({"state": {"waiting": {"reason": "ErrImagePull"}}}, revision="r2"),
        None,
    ),
}


@pytest.mark.parametrize(("unhappy", "words"), PROBLEMS.values(), ids=list(PROBLEMS))
def test_a_problem_is_told_in_words_that_stay(unhappy: Manifest, words: str | None) -> None:
    """The same fault has the same words at every attempt: each other word would be a write of the status."""
    assert problem(unhappy) == words


def test_pods_that_cannot_be_made_are_a_problem() -> None:
    """As when a quota is used up."""
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert problem(conditions=[condition]) == "FailedCreate: exceeded quota"


def test_a_long_message_is_cut() -> None:
    """A status is not a log."""
    long = pod({"state": {"waiting": {"reason": "CreateContainerError", "message": "x" * 5000}}})
    assert len(problem(long) or "") < 400
