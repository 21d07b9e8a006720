"""Live tasks in the background: a few a second, until told to stop."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from proctor_cluster.cluster import Cluster
from proctor_cluster.errors import ClusterError
from tests.e2e.asking import Caller

_WAIT_SECONDS = 0.05


class Background:
    """What goes on beside a test, in threads, until it leaves the block: each ends when `_stop` is set."""

    _threads: Sequence[threading.Thread] = ()

    def __init__(self) -> None:
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(timeout=120)


class Shoppers(Background):
    """Several callers, each of which asks again as soon as it has been answered. None asks a question of the exam.

    What they ask is `question`, with a mark that is another one each time.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, agent: str, count: int = 4, question: Callable[[str], str] | None = None
    ) -> None:
        super().__init__()
        self._path = f"/agents/{namespace}/{agent}/invoke"
        self._question = question or _about_a_refund
        self._callers = [Caller(cluster, "shop", "web") for _ in range(count)]
        self._threads = [threading.Thread(target=self._shop, args=(number,)) for number in range(count)]
        self.ended: list[tuple[str, str]] = []
        """Revision and phase of each task that was answered."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, exc, trace)
        for caller in self._callers:
            caller.close()

    def _shop(self, number: int) -> None:
        asked = 0
        while not self._stop.is_set():
            asked += 1
            question = self._question(f"{number}/{asked}")
            # A gateway that was just killed is asked again by `ask`; what it had not taken down is no task.
            with contextlib.suppress(OSError, http.client.HTTPException, ClusterError):
                answer = self._callers[number].ask("POST", self._path, {"input": question})
                if answer.status == 200:
                    self.ended.append((answer.body["revision"], answer.body["phase"]))
            self._stop.wait(_WAIT_SECONDS)


def _about_a_refund(mark: str) -> str:
    return f"Customer C-1043 asks for a refund of order O-50043 (80 EUR): the colour fades, {mark}"
