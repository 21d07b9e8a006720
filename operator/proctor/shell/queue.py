"""The keyed queue: what is due, each key once, no key twice at a time, no namespace before all others for ever.

A pure structure: the time is an argument. `runner.py` waits for it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from proctor.shell.cache import Key

_FIRST_DELAY = timedelta(milliseconds=200)
_LONGEST_DELAY = timedelta(minutes=1)


class Queue:
    """Keys and when they are due. A key's earliest time wins; a key that is being worked on waits for its end."""

    def __init__(self) -> None:
        self._due: dict[Key, datetime] = {}
        self._waiting: list[tuple[datetime, Key]] = []
        self._ready: dict[str, deque[Key]] = {}
        self._is_ready: set[Key] = set()
        self._turns: deque[str] = deque()
        self._working: dict[Key, datetime | None] = {}
        self._failures: dict[Key, int] = {}
        self.on_add: Callable[[], None] = lambda: None
        """Called when something may be due earlier than it was."""

    def add(self, key: Key, at: datetime) -> None:
        """The key is due at that time, or earlier if it already was."""
        if key in self._working:
            again = self._working[key]
            self._working[key] = min(at, again) if again else at
            return
        due = self._due.get(key)
        if (due is None or at < due) and key not in self._is_ready:
            self._due[key] = at
            heapq.heappush(self._waiting, (at, key))
            self.on_add()

    def take(self, now: datetime) -> Key | None:
        """A key that is due, to be worked on until `done`; None if none is."""
        self._wake(now)
        if not self._turns:
            return None
        namespace = self._turns.popleft()
        key = self._ready[namespace].popleft()
        if self._ready[namespace]:
            self._turns.append(namespace)
        else:
            del self._ready[namespace]
        self._is_ready.discard(key)
        del self._due[key]
        self._working[key] = None
        return key

    def done(self, key: Key, wake_at: datetime | None) -> None:
        """The work on the key succeeded; it is due again at `wake_at`, or earlier if something asked for it."""
        self._failures.pop(key, None)
        again = self._working.pop(key)
        times = [at for at in (again, wake_at) if at is not None]
        if times:
            self.add(key, min(times))

    def failed(self, key: Key, now: datetime, after: timedelta = timedelta()) -> timedelta:
        """The work on the key failed; it is due again after the delay returned, which doubles with each failure."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay: timedelta = max(after, min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(count, 20)))
        # What asked for the key meanwhile waits too: otherwise a key that changes often would never back off.
        self._working.pop(key)
        self.add(key, now + delay)
        return delay

    def next_due(self) -> datetime | None:
        """When the next key is due; in the past if one is due already; None if there is none."""
        if self._turns:
            return self._due[self._ready[self._turns[0]][0]]
        while self._waiting and self._due.get(self._waiting[0][1]) != self._waiting[0][0]:
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    @property
    def is_working(self) -> bool:
        """Whether a key is being worked on."""
        return bool(self._working)

    def __len__(self) -> int:
        return len(self._due)

    def _wake(self, now: datetime) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            at, key = heapq.heappop(self._waiting)
            # An entry whose time is no longer the key's was overtaken by an earlier one.
            if self._due.get(key) != at or key in self._is_ready:
                continue
            self._is_ready.add(key)
            if key.namespace not in self._ready:
                self._turns.append(key.namespace)
                self._ready[key.namespace] = deque()
            self._ready[key.namespace].append(key)
