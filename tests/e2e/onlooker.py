"""Sees every status that an Agent ever has, as it is written, and acts at the moment of one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import kubernetes
from urllib3.exceptions import HTTPError

from tests.e2e.declared import Manifest

_WATCH_SECONDS = 60


class Onlooker:
    """A watch in the background. What is to be done at a moment is done in the watch's own thread: at once."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str, name: str) -> None:
        self._agents = kubernetes.client.CustomObjectsApi(client)
        self._namespace = namespace
        self._name = name
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._deeds: list[tuple[Callable[[Manifest], bool], Callable[[], None]]] = []
        self.done = 0
        """Deeds that were done."""
        self.seen: list[tuple[datetime, Manifest]] = []
        """Statuses, each with the time at which it was seen first."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()

    def at(self, moment: Callable[[Manifest], bool], deed: Callable[[], None]) -> None:
        """When a status is of that moment, the deed is done, once."""
        self._deeds.append((moment, deed))

    @property
    def last(self) -> Manifest:
        """The newest status."""
        return self.seen[-1][1] if self.seen else {}

    def _look(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(HTTPError, kubernetes.client.ApiException):
                stream = kubernetes.watch.Watch().stream(
                    self._agents.list_namespaced_custom_object,
                    "proctor.dev",
                    "v1alpha1",
                    self._namespace,
                    "agents",
                    field_selector=f"metadata.name={self._name}",
                    timeout_seconds=_WATCH_SECONDS,
                )
                for event in stream:
                    self._take(event["object"].get("status") or {})
                    if self._is_over.is_set():
                        return

    def _take(self, status: Manifest) -> None:
        if status == self.last:
            return
        self.seen.append((datetime.now(UTC), status))
        for each in [each for each in self._deeds if each[0](status)]:
            self._deeds.remove(each)
            each[1]()
            self.done += 1
