"""Live tasks and trials as the gateway has them: drawn by the status that it has seen, good or bad by the revision.

Which revision is good is written in its instructions, so that nothing but the cluster has to be remembered: `FAILS`
fails half of its live tasks, `WORSENS` those that are run again, `FLUNKS` its exam, `REGRESSES` the second half of its
exam, and `DECAYS` fails once it is stable; any other is good.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from proctor.plan.said import (
    Batch,
    Finished,
    FinishedItem,
    NoAnswer,
    OutcomeItem,
    Outcomes,
    Traffic,
    TrialItem,
    Trials,
    Watched,
)
from tests.sim.cluster.controllers import is_ready
from tests.sim.cluster.kinds import Body, Ref, labels_of
from tests.sim.cluster.store import Store
from tests.sim.timeline import Timeline

_SEEN_EVERY = 0.5
_TASK_SECONDS = 1.5
_DEADLINE_SECONDS = 20.0
_TRIAL_SECONDS = 3.0
_REVISION = "proctor.dev/revision"


@dataclass
class _Task:
    number: int
    rollout: str
    revision: str
    arm: str | None
    propensity: Decimal
    at: datetime
    ends: datetime
    is_bad: bool

    def item(self, now: datetime) -> OutcomeItem:
        """As the gateway lists it."""
        ended = now >= self.ends
        return OutcomeItem(
            assignment=self.number,
            task=f"task-{self.number}",
            revision=self.revision,
            arm=self.arm,
            propensity=self.propensity,
            assigned_at=self.at,
            deadline=self.at + timedelta(seconds=_DEADLINE_SECONDS),
            finished_at=self.ends if ended else None,
            phase=("Failed" if self.is_bad else "Succeeded") if ended else "Running",
            seconds=_TASK_SECONDS,
            cost=Decimal("0.01"),
        )


@dataclass
class LiveTasks:
    """The tasks of one agent: so many a second from `begin` on."""

    timeline: Timeline
    store: Store
    agent: Ref
    per_second: float = 0.0
    tasks: list[_Task] = field(default_factory=list)
    seen: Body = field(default_factory=dict)
    """The status by which it draws: that of the last look."""
    found: list[str] = field(default_factory=list)
    """What no caller should ever meet."""
    batches: dict[str, tuple[dict[str, Any], datetime]] = field(default_factory=dict)
    _number: int = 0
    _owed: float = 0.0

    def begin(self, per_second: float) -> None:
        """From now on tasks come."""
        self.per_second = per_second
        self.timeline.call_later(_SEEN_EVERY, self._tick)

    def _tick(self) -> None:
        body = self.store.get(self.agent)
        self.seen = (body or {}).get("status", {})
        self._watch_pods()
        self._owed += self.per_second * _SEEN_EVERY
        while self._owed >= 1:
            self._owed -= 1
            self._draw()
        self.timeline.call_later(_SEEN_EVERY, self._tick)

    def _draw(self) -> None:
        rollout, revision = self.seen.get("rollout", {}), self.seen.get("revision", {})
        stable, candidate = revision.get("stable"), revision.get("candidate")
        if not stable:
            return
        self._number += 1
        weight = rollout.get("weight", 0) if candidate and rollout.get("id") else 0
        arm, chosen = None, stable
        if weight and self._has_pods(candidate):
            arm = "Candidate" if _share(f"{rollout['id']}/{self._number}") < weight / 100 else "Stable"
            chosen = candidate if arm == "Candidate" else stable
        now = self.timeline.now()
        ends = now + timedelta(seconds=_TASK_SECONDS)
        is_bad = _share(f"outcome/{self._number}") < self._failing(chosen)
        propensity = Decimal(weight) / 100
        self.tasks.append(_Task(self._number, rollout.get("id", ""), chosen, arm, propensity, now, ends, is_bad))
        if not self._has_pods(chosen):
            self.found.append(f"503: a task was sent to {chosen}, which has no ready pod")

    def _watch_pods(self) -> None:
        now = self.timeline.now()
        for revision in {task.revision for task in self.tasks[-200:] if task.ends > now}:
            name = Ref("Deployment", self.agent.namespace, f"{self.agent.name}-{revision}")
            if self.store.get(self.agent) and self.store.get(name) is None:
                self.found.append(f"503: the pods of {revision} went, and it had tasks under way")

    def _has_pods(self, revision: str) -> bool:
        pods = (pod for pod in self.store.all("Pod") if labels_of(pod).get(_REVISION) == revision)
        return any(is_ready(pod) for pod in pods)

    def _failing(self, revision: str) -> float:
        instructions = self._instructions(revision)
        is_late = "DECAYS" in instructions and self.seen.get("revision", {}).get("stable") == revision
        return 0.8 if is_late else 0.5 if "FAILS" in instructions else 0.02

    def _failing_again(self, revision: str) -> float:
        return 0.5 if "WORSENS" in self._instructions(revision) else 0.02

    def _instructions(self, revision: str) -> str:
        kept = self.store.get(Ref("ControllerRevision", self.agent.namespace, f"{self.agent.name}-{revision}"))
        return str((kept or {}).get("data", {}).get("spec", {}).get("instructions", ""))

    def begun(self, rollout: str | None, revision: str) -> int:
        """Tasks that the revision was given under the upgrade."""
        return sum(task.rollout == rollout and task.revision == revision for task in self.tasks)

    def traffic(self) -> Traffic:
        """What the gateway does now."""
        now, rollout = self.timeline.now(), self.seen.get("rollout", {})
        revision = self.seen.get("revision", {})
        is_split = bool(rollout.get("id") and revision.get("stable") and revision.get("candidate"))
        under_way = [task.revision for task in self.tasks if task.ends > now]
        return Traffic(
            as_of=now,
            gateways=1,
            rollout=rollout.get("id") if is_split else None,
            stable=revision["stable"] if is_split else None,
            weight=rollout.get("weight", 0) if is_split else 0,
            agreed=True,
            in_flight={each: under_way.count(each) for each in set(under_way)},
            begun={each: self.begun(rollout.get("id"), each) for each in {task.revision for task in self.tasks}},
        )

    def outcomes(self, rollout: str, after: int) -> Outcomes:
        """The tasks for which lots were drawn."""
        now = self.timeline.now()
        drawn = (task for task in self.tasks if task.rollout == rollout and task.arm and task.number > after)
        return Outcomes(items=tuple(task.item(now) for task in drawn), as_of=now)

    def finished(self, watched: Watched) -> Finished:
        """The tasks of a revision that have ended since then, after the one that is known."""
        now, after = self.timeline.now(), int(watched.cursor or 0)
        ours = (task for task in self.tasks if task.revision == watched.revision and watched.since <= task.ends <= now)
        items = (task.item(now) for task in ours if task.number > after)
        listed = (FinishedItem(**each.model_dump(), cursor=str(each.assignment)) for each in items)
        return Finished(items=tuple(listed), as_of=now)

    def put(self, batch: Batch) -> NoAnswer | None:
        """Takes a batch; another body under the same name is refused."""
        known = self.batches.setdefault(batch.name, (batch.body, self.timeline.now()))
        return None if json.dumps(known[0]) == json.dumps(batch.body) else NoAnswer("409", is_refused=True)

    def trials(self, name: str) -> Trials | NoAnswer:
        """What came of a batch."""
        if name.startswith("mirror-"):
            return Trials(batch=name, purpose="Mirror", done=True, items=tuple(self._copies()))
        if name not in self.batches:
            return NoAnswer("the gateway answered 404", is_missing=True)
        body, since = self.batches[name]
        done = self.timeline.now() >= since + timedelta(seconds=_TRIAL_SECONDS)
        items = tuple(self._items(body)) if done else ()
        return Trials(batch=name, purpose=body["purpose"], done=done, items=items)

    def _copies(self) -> list[TrialItem]:
        """Each live task of the upgrade that has ended, and what the candidate made of the same."""
        rollout, candidate = self.seen.get("rollout", {}), self.seen.get("revision", {}).get("candidate")
        now = self.timeline.now()
        ended = [task for task in self.tasks if task.rollout == rollout.get("id") and task.ends <= now]
        if not rollout.get("mirror") or candidate is None:
            return []
        return [
            self._trial(f"live-{task.number}", each, is_bad=_share(f"copy/{task.number}") < self._failing_again(each))
            for task in ended
            for each in (task.revision, candidate)
        ]

    def _items(self, body: dict[str, Any]) -> list[TrialItem]:
        if body["purpose"] == "Replay":
            return [
                self._trial(f"old-{number}", revision, is_bad=_share(f"old/{number}") < self._failing_again(revision))
                for number in range(body["tasks"])
                for revision in body["revisions"]
            ]
        instructions, trials = self._instructions(body["revision"]), body["trials"]
        right = 0 if "FLUNKS" in instructions else len(trials) // 2 if "REGRESSES" in instructions else len(trials)
        return [
            self._trial(each["key"], body["revision"], is_bad=number >= right) for number, each in enumerate(trials)
        ]

    def _trial(self, key: str, revision: str, *, is_bad: bool) -> TrialItem:
        phase, output = ("Failed", None) if is_bad else ("Succeeded", {"decision": "approve"})
        return TrialItem(key=key, revision=revision, task=f"trial-{key}", phase=phase, output=output, seconds=1.0)


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
