"""Tells when to look again: at every change that the API server reports, and now and then in any case."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from proctor.cli.cluster import Cluster
from proctor.cli.errors import CliError
from proctor.cli.resources import Resource

_WATCH_SECONDS = 300
_PAUSE_SECONDS = 2.0
_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Watched:
    """A set of objects whose changes matter."""

    resource: Resource
    namespace: str | None
    query: tuple[tuple[str, str], ...] = ()


def looks(cluster: Cluster, watched: tuple[Watched, ...], *, at_least_every: float) -> Iterator[None]:
    """Yields at once, then after each change, and after `at_least_every` seconds without one.

    The watches only ring: what is, is read by the one who looks. So a watch that breaks loses nothing but time.
    """
    bell = threading.Event()
    for each in watched:
        threading.Thread(target=_ring, args=(cluster, each, bell), daemon=True).start()
    while True:
        yield
        if bell.wait(at_least_every):
            # Changes come in flocks: one look for all of them.
            time.sleep(_SETTLE_SECONDS)
            bell.clear()


def _ring(cluster: Cluster, watched: Watched, bell: threading.Event) -> None:
    while True:
        try:
            for _ in cluster.events(watched.resource, watched.namespace, seconds=_WATCH_SECONDS, **dict(watched.query)):
                bell.set()
        except CliError:
            # Not shown from here: whoever looks meets the same fault, and says so.
            time.sleep(_PAUSE_SECONDS)
