"""What becomes of a pod: scheduled, started, ready; or not, as its image has it. A probe of the network ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tests.sim.cluster.kinds import Body, Ref, labels_of, owners_of, ref_of
from tests.sim.cluster.store import Change, Store

Fate = Literal["runs", "no-image", "crashes", "never-ready"]
Network = Literal["fenced", "open", "gateway-away"]

_PROBE = "proctor.dev/probe"
_OUTCOMES = {
    "fenced": ("Connected", "TimedOut"),
    "open": ("Connected", "Connected"),
    "gateway-away": ("TimedOut", "TimedOut"),
}
_LONGEST_BACKOFF = 300.0
_APART = 0.2


@dataclass
class Nature:
    """How pods fare here; a test changes it when it likes."""

    images: dict[str, Fate] = field(default_factory=dict)
    network: Network = "fenced"
    start_seconds: float = 1.0
    pushes: dict[str, int] = field(default_factory=dict)
    """How often something else was pushed under a tag."""

    def fate_of(self, pod: Body) -> Fate:
        """What becomes of the pod."""
        return self.images.get(pod["spec"]["containers"][0]["image"], "runs")

    def identity_of(self, image: str) -> str:
        """What is behind the image's name now, as the kubelet says it."""
        if "@" in image:
            return image
        repository = image.rpartition(":")[0]
        return f"{repository}@sha256:{hashlib.sha256(f'{image} {self.pushes.get(image, 0)}'.encode()).hexdigest()}"


class Kubelet:
    """One node with room for everything."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, store: Store, now: Callable[[], datetime], nature: Nature
    ) -> None:
        self._loop = loop
        self._store = store
        self._now = now
        self._nature = nature
        store.listeners.append(self._see)

    def _see(self, change: Change) -> None:
        if change.ref.kind != "Pod":
            return
        uid = change.body["metadata"]["uid"]
        if change.type == "ADDED":
            self._loop.call_later(0.1, self._schedule, change.ref, uid)
        elif change.body["metadata"].get("deletionTimestamp") and not _is_deleting(change.before):
            self._loop.call_later(1.0, self._remove, change.ref, uid)

    def _pod(self, ref: Ref, uid: str) -> Body | None:
        pod = self._store.get(ref)
        return pod if pod and pod["metadata"]["uid"] == uid else None

    def _living(self, ref: Ref, uid: str) -> Body | None:
        pod = self._pod(ref, uid)
        return None if _is_deleting(pod) else pod

    def _remove(self, ref: Ref, uid: str) -> None:
        if self._pod(ref, uid):
            self._store.remove(ref, "kubelet")

    def _schedule(self, ref: Ref, uid: str) -> None:
        if pod := self._living(ref, uid):
            conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]
            self._set(pod, {"phase": "Pending", "conditions": conditions})
            self._loop.call_later(0.4, self._start, ref, uid, 10.0)

    def _start(self, ref: Ref, uid: str, backoff: float) -> None:
        pod = self._living(ref, uid)
        if pod is None:
            return
        if _PROBE in labels_of(pod):
            self._loop.call_later(2.0, self._finish_probe, ref, uid)
            return
        match self._nature.fate_of(pod):
            case "no-image":
                self._pull_fails(ref, uid, backoff)
            case "crashes":
                self._crash(ref, uid, backoff)
            case "runs":
                self._run(pod, ready=False)
                self._loop.call_later(self._start_seconds(pod), self._get_ready, ref, uid)
            case "never-ready":
                self._run(pod, ready=False)

    def _start_seconds(self, pod: Body) -> float:
        """Of pods that belong together, one gets ready after the other."""
        siblings = [ref_of(each) for each in self._store.all("Pod") if owners_of(each) == owners_of(pod)]
        return self._nature.start_seconds + _APART * siblings.index(ref_of(pod))

    def _run(self, pod: Body, *, ready: bool, restarts: int = 0) -> None:
        container = {"state": {"running": {"startedAt": self._stamp()}}, "ready": ready, "restartCount": restarts}
        self._set(pod, {"phase": "Running", "conditions": _conditions(ready), "containerStatuses": [container]})

    def _get_ready(self, ref: Ref, uid: str) -> None:
        if pod := self._living(ref, uid):
            self._run(pod, ready=True)

    def _pull_fails(self, ref: Ref, uid: str, backoff: float) -> None:
        # Two words for one fault by turns, as the real one has it, at intervals that grow.
        if pod := self._living(ref, uid):
            self._wait(pod, {"reason": "ErrImagePull", "message": f"failed to pull: try after {backoff}s"}, {}, 0)
            self._loop.call_later(1.0, self._back_off, ref, uid, backoff)

    def _back_off(self, ref: Ref, uid: str, backoff: float) -> None:
        if pod := self._living(ref, uid):
            message = f'Back-off pulling image "{pod["spec"]["containers"][0]["image"]}"'
            self._wait(pod, {"reason": "ImagePullBackOff", "message": message}, {}, 0)
            self._loop.call_later(backoff, self._start, ref, uid, min(backoff * 2, _LONGEST_BACKOFF))

    def _crash(self, ref: Ref, uid: str, backoff: float) -> None:
        if pod := self._living(ref, uid):
            restarts = 1 + pod["status"].get("containerStatuses", [{"restartCount": 0}])[0]["restartCount"]
            ended = {"exitCode": 1, "reason": "Error", "finishedAt": self._stamp()}
            message = f"back-off {backoff:.0f}s restarting failed container"
            self._wait(pod, {"reason": "CrashLoopBackOff", "message": message}, {"terminated": ended}, restarts)
            self._loop.call_later(backoff, self._start, ref, uid, min(backoff * 2, _LONGEST_BACKOFF))

    def _wait(self, pod: Body, waiting: Body, last: Body, restarts: int) -> None:
        container = {"state": {"waiting": waiting}, "lastState": last, "ready": False, "restartCount": restarts}
        self._set(pod, {"phase": "Pending", "conditions": _conditions(ready=False), "containerStatuses": [container]})

    def _finish_probe(self, ref: Ref, uid: str) -> None:
        pod = self._living(ref, uid)
        if pod is None:
            return
        allowed, forbidden = _OUTCOMES[self._nature.network]
        targets = [each.partition("=")[2] for each in pod["spec"]["containers"][0]["args"] if "forbidden" in each]
        message = json.dumps({"allowed": allowed, "forbidden": dict.fromkeys(targets, forbidden)})
        ended = {"exitCode": 0, "reason": "Completed", "finishedAt": self._stamp(), "message": message}
        container = {"state": {"terminated": ended}, "ready": False, "restartCount": 0}
        self._set(pod, {"phase": "Succeeded", "conditions": _conditions(ready=False), "containerStatuses": [container]})

    def _set(self, pod: Body, status: dict[str, Any]) -> None:
        image = pod["spec"]["containers"][0]
        for each in status.get("containerStatuses", ()):
            is_started = "waiting" not in each["state"]
            known = _known(pod) or self._nature.identity_of(image["image"])
            each.update(name=image["name"], image=image["image"], imageID=known if is_started else "")
        self._store.update({**pod, "status": status}, "kubelet", status=True)

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _known(pod: Body) -> str | None:
    """What the pod runs already: a tag that is moved does not change it."""
    before = pod.get("status", {}).get("containerStatuses", ())
    return before[0].get("imageID") or None if before else None


def _conditions(ready: bool) -> list[dict[str, str]]:
    return [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True" if ready else "False"}]


def _is_deleting(pod: Body | None) -> bool:
    return bool(pod and pod["metadata"].get("deletionTimestamp"))
