"""From news of the cluster to keys of the queue: which objects have to be looked at again when one changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from proctor.api import digest, names
from proctor.plan.world import Manifest
from proctor.shell.cache import Cache, Key, controller_name, key_of
from proctor.shell.policies import named_by
from proctor.shell.ports import Clock
from proctor.shell.queue import Queue
from proctor.shell.reconcile import ISOLATION
from proctor.shell.resources import OURS

_OURS = frozenset(each.kind for each in OURS)
_POLICIES = frozenset({"Policy", "ClusterPolicy"})

_GATHERING = timedelta(milliseconds=200)
"""Changes come in flocks: a Deployment, its pods, its status. One look at the end of the flock does for all."""

_SCAN = timedelta(seconds=1)
_SCAN_FOR_EACH = timedelta(milliseconds=2)
"""A policy looks at all its agents at once, so the more there are the longer it waits for what else changes."""

_PROMPTLY = timedelta(milliseconds=30)
"""A changed spec is one change, and a person waits for it."""


_READ_BY_OTHERS = {"Connector", "Approval"}


class Intake:
    """Takes in news from watches and lists, and puts keys on the queue."""

    def __init__(self, cache: Cache, queue: Queue, clock: Clock) -> None:
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self._told: dict[Key, str] = {}
        self._stood: dict[Key, tuple[str, frozenset[Key]]] = {}

    def changed(self, body: Manifest) -> bool:
        """An object is there, in this version; whether that was news."""
        is_same = self._cache.holds(body)
        is_other_spec = self._cache.generation(key_of(body)) != body["metadata"].get("generation", 0)
        is_news = self._cache.put(body)
        if self._is_first_told(body) or (is_news and not is_same):
            self._look_at(body, is_declared=is_other_spec and body["kind"] in _OURS)
        if body["kind"] == "Agent":
            self._tell_policies(body)
        return is_news

    def _tell_policies(self, body: Manifest) -> None:
        """The policies that an agent's status speaks of, or spoke of, look anew when it says otherwise."""
        key, standing = key_of(body), body.get("status", {}).get("policy")
        before = self._stood.get(key)
        if standing is None and before is None:
            return
        mark = digest.short([standing, body["metadata"].get("deletionTimestamp")])
        if before is not None and before[0] == mark:
            return
        named = named_by(body)
        if standing is None:
            del self._stood[key]
        else:
            self._stood[key] = (mark, named)
        self._count_anew(named | (before[1] if before else frozenset()))

    def _count_anew(self, policies: frozenset[Key]) -> None:
        due = self._clock.now() + _SCAN + _SCAN_FOR_EACH * len(self._stood)
        for each in policies:
            if self._cache.version(each) is not None:
                self._queue.add(each, due)

    def _is_first_told(self, body: Manifest) -> bool:
        """Whether this version concerns others and has not been told of, even if the cache has it from our own write.

        Of all that we write, only a Connector's and an Approval's status are read by keys other than the one that
        wrote them.
        """
        key, version = key_of(body), body["metadata"]["resourceVersion"]
        if key.kind not in _READ_BY_OTHERS or self._told.get(key) == version:
            return False
        self._told[key] = version
        return True

    def deleted(self, body: Manifest) -> bool:
        """An object is gone; whether that was news."""
        self._told.pop(key_of(body), None)
        stood = self._stood.pop(key_of(body), None)
        if stood is not None:
            self._count_anew(stood[1])
        is_news = self._cache.drop(key_of(body), body["metadata"]["uid"])
        if is_news:
            self._look_at(body, is_declared=True)
        return is_news

    def _look_at(self, body: Manifest, *, is_declared: bool) -> None:
        due = self._clock.now() + (_PROMPTLY if is_declared else _GATHERING)
        for key in affected(body, self._cache):
            # A probe depends on which agents there are, not on how they are: that changes far more often.
            is_idle = key.kind == ISOLATION and body["kind"] == "Agent"
            # What a policy has found is nothing new to its agents: it is what they have said.
            is_echo = key.kind == "Agent" and body["kind"] in _POLICIES
            if is_declared or not (is_idle or is_echo):
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
        case "RuntimeClass" | "ClusterPolicy":
            yield from cache.keys("Agent")
        case "Policy":
            yield from cache.keys("Agent", namespace)
        case "Namespace":
            yield from cache.keys("Agent", name)
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
