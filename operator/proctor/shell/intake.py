"""From news of the cluster to keys of the queue: which objects have to be looked at again when one changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from proctor.api import names
from proctor.plan.world import Manifest
from proctor.shell.cache import Cache, Key, controller_name, key_of
from proctor.shell.ports import Clock
from proctor.shell.queue import Queue
from proctor.shell.reconcile import ISOLATION
from proctor.shell.resources import OURS

_OURS = frozenset(each.kind for each in OURS)

_GATHERING = timedelta(milliseconds=200)
"""Changes come in flocks: a Deployment, its pods, its status. One look at the end of the flock does for all."""

_PROMPTLY = timedelta(milliseconds=30)
"""A changed spec is one change, and a person waits for it."""


class Intake:
    """Takes in news from watches and lists, and puts keys on the queue."""

    def __init__(self, cache: Cache, queue: Queue, clock: Clock) -> None:
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self._told: dict[Key, str] = {}

    def changed(self, body: Manifest) -> bool:
        """An object is there, in this version; whether that was news."""
        is_same = self._cache.holds(body)
        is_other_spec = self._cache.generation(key_of(body)) != body["metadata"].get("generation", 0)
        is_news = self._cache.put(body)
        if self._is_first_told(body) or (is_news and not is_same):
            self._look_at(body, is_declared=is_other_spec and body["kind"] in _OURS)
        return is_news

    def _is_first_told(self, body: Manifest) -> bool:
        """Whether this version concerns others and has not been told of, even if the cache has it from our own write.

        Of all that we write, only a Connector's status is read by keys other than the one that wrote it.
        """
        key, version = key_of(body), body["metadata"]["resourceVersion"]
        if key.kind != "Connector" or self._told.get(key) == version:
            return False
        self._told[key] = version
        return True

    def deleted(self, body: Manifest) -> bool:
        """An object is gone; whether that was news."""
        self._told.pop(key_of(body), None)
        is_news = self._cache.drop(key_of(body), body["metadata"]["uid"])
        if is_news:
            self._look_at(body, is_declared=True)
        return is_news

    def _look_at(self, body: Manifest, *, is_declared: bool) -> None:
        due = self._clock.now() + (_PROMPTLY if is_declared else _GATHERING)
        for key in affected(body, self._cache):
            # A probe depends on which agents there are, not on how they are: that changes far more often.
            if is_declared or key.kind != ISOLATION or body["kind"] != "Agent":
                self._queue.add(key, due)

    def look_at_everything(self) -> None:
        """Every object of ours is to be looked at, as after a start."""
        now = self._clock.now()
        for kind in _OURS:
            for key in self._cache.keys(kind):
                self._queue.add(key, now)
        for namespace in {key.namespace for key in self._cache.keys("Agent")}:
            self._queue.add(_isolation(namespace), now)


def affected(body: Manifest, cache: Cache) -> Iterator[Key]:
    """The keys whose World holds the object."""
    kind, namespace, name = key_of(body)
    labels = body["metadata"].get("labels", {})
    if kind in _OURS:
        yield Key(kind, namespace, name)
    match kind:
        case "Agent":
            yield _isolation(namespace)
        case "Connector":
            yield from _agents_using(name, namespace, cache)
        case "NetworkPolicy" if name != names.of_agent(controller_name(body, "Agent") or ""):
            # One that we made concerns its agent alone. Any other adds up with all of ours.
            yield from cache.keys("Agent", namespace)
        case "RuntimeClass":
            yield from cache.keys("Agent")
    if names.PROBE in labels:
        yield _isolation(namespace)
        yield from cache.keys("Agent", namespace)
    owner = controller_name(body, "Agent") or labels.get(names.AGENT)
    if owner:
        yield Key("Agent", namespace, owner)


def _agents_using(connector: str, namespace: str, cache: Cache) -> Iterator[Key]:
    for body in cache.within("Agent", namespace):
        spec = body.get("spec", {})
        used = [spec.get("model", {}), *spec.get("tools", ())]
        if any(each.get("connector") == connector for each in used):
            yield key_of(body)


def _isolation(namespace: str) -> Key:
    return Key(ISOLATION, namespace, "")
