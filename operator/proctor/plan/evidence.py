"""What the pods of each revision show, read from Deployments and pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from proctor.api import names
from proctor.delivery.facts import Evidence, Seen
from proctor.plan import image, revision
from proctor.plan.image import Image
from proctor.plan.world import Manifest, World, label_of

_NO_IMAGE = {"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"}
_NO_START = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_LONGEST = 300


def gather(world: World) -> Evidence:
    """What is known of every revision that has a Deployment."""
    images, stable = image.images(world, revision.recorded(world.children).values()), world.agent.status.revision.stable
    return Evidence(
        {
            each: _seen(deployment, world.pods, each, images.get(each), serves=each == stable)
            for deployment in world.children
            if deployment["kind"] == "Deployment" and (each := label_of(deployment, names.REVISION))
        }
    )


def _seen(deployment: Manifest, pods: Iterable[Manifest], revision: str, ran: Image | None, *, serves: bool) -> Seen:
    status = deployment.get("status", {})
    replicas = deployment["spec"].get("replicas", 1)
    is_told = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    # Pods of the template before count as ready, and so would prove the new one, which has pods that are not.
    is_current = is_told and status.get("replicas", 0) <= status.get("updatedReplicas", 0)
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    mine = [pod for pod in pods if label_of(pod, names.REVISION) == revision]
    problem = next(_problems(mine, deployment), None)
    # Pods by a tag, before it is known what it is, prove nothing: others may be made of something else. Those that run
    # something else than the revision did prove even less; of what serves, a condition says it.
    other = image.changed(ran, mine, revision) if ran and not serves else None
    is_itself = ran is None or (not ran.is_awaited and image.is_made_with(deployment, ran) and other is None)
    away = None if ready else _away_since(mine, deployment)
    return Seen(replicas, ready, is_current and is_itself, problem or other, away)


def _away_since(pods: Iterable[Manifest], deployment: Manifest) -> datetime | None:
    """When the last pod stopped being ready; a pod that never was counts from its start."""
    conditions = (deployment.get("status", {}).get("conditions", ()), "Available")
    times = [_turned(each.get("status", {}).get("conditions", ()), "Ready") or _begun(each) for each in pods]
    known = [each for each in times or [_turned(*conditions)] if each]
    return max(known, default=None)


def _turned(conditions: Iterable[dict[str, Any]], type_: str) -> datetime | None:
    found = (each for each in conditions if each["type"] == type_ and each["status"] != "True")
    text = next((each.get("lastTransitionTime") for each in found), None)
    return datetime.fromisoformat(text) if text else None


def _begun(pod: Manifest) -> datetime | None:
    text = pod["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(text) if text else None


def _problems(pods: Iterable[Manifest], deployment: Manifest) -> Iterator[str]:
    for pod in pods:
        status = pod.get("status", {})
        for container in status.get("containerStatuses", ()):
            yield from _of_container(container)
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                yield _line(condition.get("reason", "Unschedulable"), condition.get("message"))
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield _line(condition.get("reason", "ReplicaFailure"), condition.get("message"))


def _of_container(container: dict[str, Any]) -> Iterator[str]:
    # The kubelet alternates between words for one fault, and counts in its messages. What is said here stays the same
    # while the fault does: otherwise each turn would be a write of the status.
    waiting = container.get("state", {}).get("waiting", {})
    reason = waiting.get("reason")
    if reason in _NO_IMAGE:
        yield f"ImagePullBackOff: image {container['image']}"
    elif reason in _NO_START:
        yield _line(reason, waiting.get("message"))
    elif not container.get("ready") and (ended := container.get("lastState", {}).get("terminated")):
        yield f"CrashLoopBackOff: {ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"


def _line(reason: str, message: str | None) -> str:
    return f"{reason}: {' '.join(message.split())[:_LONGEST]}" if message else reason
