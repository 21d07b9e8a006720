"""What a list makes of the cache, beside the watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from proctor.shell.cache import Cache, Key
from proctor.shell.client import NotFound
from proctor.shell.errors import ProctorError
from proctor.shell.intake import Intake
from proctor.shell.queue import Queue
from proctor.shell.resources import BY_KIND
from proctor.shell.watches import Watches, WatchStalled

AGENT = BY_KIND["Agent"]


class Listed:
    """A port to an API server that can only be listed; what comes in while it lists is told by `meanwhile`."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.meanwhile: Any = lambda: None
        self.lacks = ""

    async def list(self, kind: str) -> AsyncIterator[dict[str, Any]]:
        """What is there; NotFound for a kind that is not."""
        if kind == self.lacks:
            raise NotFound(kind)
        self.meanwhile()
        for each in self.objects.get(kind, []):
            yield each


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Noon."""
        return datetime(2026, 11, 22, 12, tzinfo=UTC)


def agent(name: str, version: int = 1, uid: str | None = None) -> dict[str, Any]:
    """An Agent as the API server shows it."""
    metadata = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "proctor.dev/v1alpha1", "kind": "Agent", "metadata": metadata, "spec": {}}


def watching(server: Listed) -> tuple[Watches, Cache, Queue]:
    """The watches of a process that just started."""
    cache, queue = Cache(), Queue()
    return Watches(server, cache, Intake(cache, queue, Noon()), Noon()), cache, queue  # type: ignore[arg-type]


async def test_a_list_drops_what_it_does_not_show() -> None:
    """What was known when it was asked for and is not in it is gone; what came meanwhile is newer."""
    server = Listed()
    watches, cache, _ = watching(server)
    cache.put(agent("old"))
    server.objects["Agent"] = [agent("listed", 5)]
    server.meanwhile = lambda: cache.put(agent("meanwhile", 7))
    await watches.fill()
    assert {key.name for key in cache.keys("Agent")} == {"listed", "meanwhile"}


async def test_missing_kinds_are_named() -> None:
    """Without the CRDs the process ends and says what to do."""
    server = Listed()
    server.lacks = "Policy"
    with pytest.raises(ProctorError, match=r"no kind Policy of proctor\.dev: install the CRDs"):
        await watching(server)[0].fill()


async def test_a_silent_watch_is_noticed() -> None:
    """A change that a list shows and the watch does not tell of is a stalled watch; one that it tells of is none."""
    server = Listed()
    watches, _, _ = watching(server)
    server.objects["Agent"] = [agent("quiet", 5)]
    missed = await watches._list(AGENT)
    assert missed == {Key("Agent", "default", "quiet"): 5}
    watches.tell(AGENT, "MODIFIED", agent("quiet", 6))
    watches._judge("Agent", missed)
    server.objects["Agent"] = [agent("quiet", 9)]
    missed = await watches._list(AGENT)
    with pytest.raises(WatchStalled, match="Agent did not tell of 1 changes"):
        watches._judge("Agent", missed)
