"""The logs of several pods as one stream of lines."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proctor.cli.cluster import Cluster
from proctor.cli.errors import CliError
from proctor.cli.resources import PODS
from proctor.cli.views import log
from proctor.cli.views.log import LogLine

_CONTAINER = "agent"
_LOOK_SECONDS = 2.0
_Told = LogLine | CliError


@dataclass(frozen=True)
class Tail:
    """Which logs."""

    cluster: Cluster
    namespace: str
    selector: str
    query: tuple[tuple[str, str], ...]

    def pods(self) -> list[str]:
        """The names of the pods there are now, the oldest first."""
        found = self.cluster.list(PODS, self.namespace, labelSelector=self.selector)
        return [
            each["metadata"]["name"] for each in sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])
        ]

    def lines(self, pod: str, *, follow: bool) -> Iterator[LogLine]:
        """One pod's lines."""
        path = f"{PODS.path(self.namespace, pod)}/log"
        asked = {"container": _CONTAINER, "timestamps": "true", **dict(self.query)}
        about = f"the log of pod {self.namespace}/{pod}"
        timeout = (10.0, None if follow else 60.0)
        more = {"follow": "true"} if follow else {}
        for each in self.cluster.lines(path, about, timeout=timeout, **asked, **more):
            yield log.parse(pod, each)


def collected(tail: Tail, pods: list[str], on_fault: Callable[[CliError], None]) -> list[LogLine]:
    """All lines there are, in the order of time. A pod that has no log yet is told of, and left out."""
    found: list[LogLine] = []
    for pod in pods:
        try:
            found += tail.lines(pod, follow=False)
        except CliError as error:
            on_fault(error)
    return sorted(found, key=lambda each: str(each.at))


def followed(tail: Tail, on_fault: Callable[[CliError], None]) -> Iterator[LogLine]:
    """The lines of all pods as they come, also of pods that come later. Ends only by the caller's will."""
    told: queue.SimpleQueue[_Told] = queue.SimpleQueue()
    readers: dict[str, threading.Thread] = {}
    looked = float("-inf")
    while True:
        if time.monotonic() - looked > _LOOK_SECONDS:
            looked = time.monotonic()
            _start_readers(tail, readers, told, on_fault)
        try:
            each = told.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
        if isinstance(each, CliError):
            on_fault(each)
        else:
            yield each


def _start_readers(
    tail: Tail,
    readers: dict[str, threading.Thread],
    told: queue.SimpleQueue[_Told],
    on_fault: Callable[[CliError], None],
) -> None:
    try:
        pods = tail.pods()
    except CliError as error:
        # An API server that restarts: the pods are looked for again soon.
        on_fault(error)
        return
    for pod in pods:
        if pod not in readers:
            readers[pod] = threading.Thread(target=_read, args=(tail, pod, told), daemon=True)
            readers[pod].start()


def _read(tail: Tail, pod: str, told: queue.SimpleQueue[_Told]) -> None:
    """Every line of the pod, once: after a break it goes on behind the last one."""
    last: LogLine | None = None
    while True:
        try:
            for each in tail.lines(pod, follow=True):
                if last is None or str(each.at) > str(last.at):
                    told.put(each)
                    last = each
        except CliError as error:
            if error.code != CliError.code:
                # It is gone, or may not be read: nothing more will come of it.
                told.put(error)
                return
        # A container that is starting, or has just ended, has a log again in a moment.
        time.sleep(_LOOK_SECONDS)
