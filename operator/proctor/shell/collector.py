"""Asks the gateway for the indicators of all agents that have objectives, and wakes those whose status would change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

import structlog

from proctor.api.agent import Agent
from proctor.api.meta import Invalid
from proctor.api.objectives import Objective, ReleaseGate
from proctor.plan import objectives
from proctor.plan.indications import IndicatorsAnswer, Subject, measured, question
from proctor.plan.said import NoAnswer
from proctor.shell.cache import Cache, Key
from proctor.shell.indicators import Indicators
from proctor.shell.ports import Clock
from proctor.shell.queue import Queue
from proctor.shell.resources import RULES

SECONDS = 15.0
"""Between two looks: a breach is known soon, and an agent at rest costs one row of one request."""

_AT_ONCE = 500
"""Agents in one request; a fleet's answer is then some hundred kilobytes, and bounded."""

_AT_A_TIME = 20
"""Agents that are judged before anything else of the process has its turn."""

_ROUNDS = 20
"""Between two looks at whether the cluster has PrometheusRules."""

log = structlog.get_logger()


async def _never() -> bool:
    return False


class Counter(Protocol):
    """The gateway, which alone sees the tasks. It never raises: that it could not be asked is an answer."""

    async def indicators(self, body: dict[str, Any]) -> IndicatorsAnswer | NoAnswer:
        """What was counted for the objectives of many agents."""


class Collector:
    """One round asks for everything that is wanted; only what makes a difference wakes anybody."""

    def __init__(
        self,
        cache: Cache,
        queue: Queue,
        counter: Counter,
        indicators: Indicators,
        clock: Clock,
        has_rules: Callable[[], Awaitable[bool]] = _never,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._counter = counter
        self._indicators = indicators
        self._clock = clock
        self._subjects: dict[Key, tuple[int | None, Subject | None]] = {}
        self._gates: dict[Key, ReleaseGate | None] = {}
        self._has_rules = has_rules
        self._ruled: dict[Key, tuple[Objective, ...]] = {}
        self._is_ruled = False
        self._rounds = 0

    async def run(self, every_seconds: float = SECONDS) -> None:
        """Never returns."""
        while True:
            try:
                await self.round()
            except Exception:
                # One bug must not blind all objectives for ever.
                log.exception("could not look at the objectives")
            await asyncio.sleep(every_seconds)

    async def round(self) -> None:
        """Asks once for all, and wakes the agents whose status would say something else."""
        subjects = self._wanted()
        self._forget_others(subjects)
        for part in _parts(tuple(subjects.values())):
            await self._ask(part)
        now = self._clock.now()
        for number, (key, subject) in enumerate(subjects.items()):
            if number % _AT_A_TIME == 0:
                # Others are waiting too, above all the lease.
                await asyncio.sleep(0)
            if self._would_say_something_else(key, subject, now):
                self._queue.add(key, now)
        await self._wake_rules(subjects)

    def _would_say_something_else(self, key: Key, subject: Subject, now: datetime) -> bool:
        said = objectives.report(subject, self._indicators.of(key.namespace, key.name), now)
        # The gate in the status may be a policy's, which is not looked at here: only its turns matter.
        differs = said.slos != subject.reported or said.gate != self._gates.get(key, subject.gate)
        self._gates[key] = said.gate
        return differs

    async def _wake_rules(self, subjects: dict[Key, Subject]) -> None:
        """Has the alerting rules looked at of every agent whose objectives are not those of the last time."""
        self._rounds += 1
        # Whether the cluster has the kind seldom changes; an installation in between is noticed within minutes.
        if self._rounds % _ROUNDS == 1:
            self._is_ruled = await self._has_rules()
        if not self._is_ruled:
            self._ruled = {}
            return
        # Also those that have none any more: their rules have to go.
        changed = [key for key, subject in subjects.items() if self._ruled.get(key) != subject.objectives]
        for key in (*changed, *(self._ruled.keys() - subjects.keys())):
            self._queue.add(Key(RULES.kind, key.namespace, key.name), self._clock.now())
        self._ruled = {key: subject.objectives for key, subject in subjects.items()}

    async def _ask(self, subjects: Sequence[Subject]) -> None:
        answer = await self._counter.indicators(question(subjects))
        if isinstance(answer, NoAnswer):
            if self._indicators.silent_since is None:
                self._indicators.silent_since = self._clock.now()
                log.warning("objectives cannot be measured", cause=answer.reason)
            return
        self._indicators.silent_since = None
        asked = {(each.namespace, each.name): each for each in subjects}
        for said in answer.agents:
            place = (said.namespace, said.name)
            if place in asked:
                self._indicators.measured[place] = measured(asked.pop(place), said, answer.as_of)
                self._indicators.missing_since.pop(place, None)
        for place in asked:
            self._indicators.missing_since.setdefault(place, self._clock.now())

    def _wanted(self) -> dict[Key, Subject]:
        """Every agent with objectives. A body is read only when it is another than last time."""
        known, self._subjects = self._subjects, {}
        for key in self._cache.keys("Agent"):
            version = self._cache.version(key)
            old = known.get(key)
            self._subjects[key] = old if old is not None and old[0] == version else (version, self._read(key))
        return {key: subject for key, (_, subject) in self._subjects.items() if subject is not None}

    def _read(self, key: Key) -> Subject | None:
        body = self._cache.get(*key)
        if body is None or not (body.get("spec", {}).get("slos") or body.get("status", {}).get("slos")):
            return None
        try:
            return Subject.of(Agent.parse(body))
        except Invalid:
            return None

    def _forget_others(self, subjects: dict[Key, Subject]) -> None:
        places = {(key.namespace, key.name) for key in subjects}
        for known in (self._indicators.measured, self._indicators.missing_since):
            for place in known.keys() - places:
                del known[place]
        for key in self._gates.keys() - subjects.keys():
            del self._gates[key]


def _parts(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, ...]]:
    rest = iter([each for each in subjects if each.objectives])
    while part := tuple(islice(rest, _AT_ONCE)):
        yield part
