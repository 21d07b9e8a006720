"""Callers' tasks in a steady stream, and how they ended."""

from __future__ import annotations

import itertools
import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proctor_cluster.forward import forwarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proctor_cluster.cluster import Cluster

_CALLERS = 6
_SECONDS = 60
_PAUSE_SECONDS = 0.5


@dataclass
class Ended:
    """How the tasks so far ended, by revision and phase."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __str__(self) -> str:
        """For one line of a terminal."""
        return ", ".join(f"{revision} {phase} {count}" for (revision, phase), count in sorted(self.counts.items()))


@contextmanager
def flowing(cluster: Cluster, namespace: str, agent: str, question: str) -> Iterator[Ended]:
    """While the body runs, the web shop asks the agent again and again; each question names its number in `{}`."""
    token = cluster.kubectl("-n", "shop", "create", "token", "web", "--audience=proctor-gateway").strip()
    ended, numbers, over = Ended(), itertools.count(1), threading.Event()
    with forwarded(cluster, "proctor-system", "service/proctor-gateway", 8080) as address:
        url = f"http://{address}/agents/{namespace}/{agent}/invoke"

        def ask() -> None:
            while not over.is_set():
                task = _asked(url, token, question.format(next(numbers)))
                if task is None:
                    over.wait(_PAUSE_SECONDS)
                else:
                    ended.counts[(str(task["revision"]), str(task["phase"]))] += 1

        callers = [threading.Thread(target=ask, daemon=True) for _ in range(_CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield ended
        finally:
            over.set()
            for caller in callers:
                caller.join(_SECONDS)


def _asked(url: str, token: str, question: str) -> dict[str, object] | None:
    """The task as it ended; None where the gateway had no answer, as while it has too many tasks."""
    body = json.dumps({"input": question}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - loopback
            task: dict[str, object] = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError):
        return None
    return task
