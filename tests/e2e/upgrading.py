"""One upgrade from its beginning to its end, whoever is killed on the way; and what the gateway recorded of it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import yaml

from tests.delivery.exposure import Begun, Stage, excesses, stage_of
from tests.e2e import voting
from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace
from tests.e2e.killing import Victims, kill_again
from tests.e2e.onlooker import Onlooker
from tests.e2e.recorded import rows
from tests.e2e.shoppers import Shoppers
from tests.e2e.tracks import Moment, Track

_SECONDS = 500.0
_PERIOD = 0.2
_NAME = "clerk"
_LIVE = (
    "SELECT t.id, t.started_at, t.revision, t.arm, a.weight FROM tasks t "
    "LEFT JOIN assignments a ON a.task = t.id AND a.rollout = :rollout "
    "WHERE t.namespace = :namespace AND t.agent = :agent AND t.purpose = 'Live' AND t.started_at IS NOT NULL "
    "AND (a.task IS NOT NULL OR t.revision = :candidate) ORDER BY t.started_at"
)


@dataclass(frozen=True)
class Kill:
    """Who dies, and when."""

    moment: Moment
    victims: tuple[str, ...]
    is_again: bool = False
    """Whether they died before in the same upgrade: a kubelet would let them wait ever longer."""


@dataclass(frozen=True)
class Played:
    """How an upgrade went."""

    candidate: str
    status: Manifest
    stages: tuple[Stage, ...]
    begun: tuple[Begun, ...]
    """The live tasks that were recorded with the upgrade, or of the candidate."""
    answered: frozenset[str]
    """The phases of the tasks that callers were told of."""
    excesses: tuple[str, ...]
    is_seen_through: bool
    """Whether the same tasks would be told of as too many, had each step allowed half of what it did."""
    kills: int
    seconds: float

    @property
    def outcome(self) -> tuple[str, str]:
        """Type and reason."""
        last = self.status["rollout"]["lastOutcome"]
        return last["type"], last["reason"]

    @property
    def exposed(self) -> int:
        """Live tasks that the candidate had before it was promoted or withdrawn."""
        return sum(each.on_candidate and each.weight is not None for each in self.begun)

    def __str__(self) -> str:
        names = " > ".join(dict.fromkeys(each.name for each in self.stages))
        told = f"{self.outcome[0]} in {self.seconds:.0f} s, {self.kills} kills"
        return f"{told}, {self.exposed} of {len(self.begun)} tasks exposed: {names}"


def play(cluster: Installed, shop: Namespace, track: Track, kills: Sequence[Kill] = ()) -> Played:
    """Has a candidate tried; kills as it is told; returns when it is over. Raises AssertionError if it hangs."""
    deeds = [(each.moment, _deed(cluster, each)) for each in kills]
    before = shop.agent(_NAME)["status"]
    asked = [track.question]
    began = time.monotonic()
    with (
        Onlooker(cluster.client, shop.name, _NAME) as onlooker,
        Shoppers(cluster.cluster, shop.name, _NAME, question=lambda mark: f"{asked[0]} {mark}") as shoppers,
    ):
        for moment, deed in deeds:
            onlooker.at(moment, deed)
        _apply(shop, track)
        candidate = _followed(shop, onlooker, track, before, asked)
        answered = frozenset(phase for _, phase in shoppers.ended)
    seconds = time.monotonic() - began
    stages = tuple(stage for at, status in onlooker.seen if (stage := stage_of(status, candidate, at)))
    rollout = next(
        status["rollout"]["id"]
        for _, status in onlooker.seen
        if status["revision"].get("candidate") == candidate and status["rollout"].get("id")
    )
    begun = _recorded(cluster, shop, candidate, rollout)
    halved = [replace(each, share=each.share // 2) for each in stages]
    return Played(
        candidate,
        onlooker.last,
        stages,
        begun,
        answered,
        tuple(excesses(rollout, stages, begun)),
        any(excesses(rollout, halved, begun)),
        onlooker.done,
        seconds,
    )


def _deed(cluster: Installed, kill: Kill) -> Callable[[], None]:
    if kill.is_again:
        return lambda: kill_again(cluster.cluster, kill.victims)
    return Victims(cluster.cluster, kill.victims).kill


def _apply(shop: Namespace, track: Track) -> None:
    """A change that is another one each time, and the steps that it goes."""
    spec = {"instructions": f"{track.instructions} {uuid.uuid4().hex}", "rollout": track.rollout}
    shop.kubectl("patch", "agent", _NAME, "--type=merge", "-p", yaml.safe_dump({"spec": spec}))


def _followed(shop: Namespace, onlooker: Onlooker, track: Track, before: Manifest, asked: list[str]) -> str:
    """The candidate, when its upgrade is over. On the way people are asked, and answer."""
    known = {None, before["revision"].get("stable"), before["revision"].get("candidate")}
    candidate: str | None = None
    until = time.monotonic() + _SECONDS
    answered: set[str] = set()
    while time.monotonic() < until:
        time.sleep(_PERIOD)
        status = onlooker.last
        revision, rollout = status.get("revision") or {}, status.get("rollout") or {}
        if candidate is None and revision.get("candidate") not in known:
            candidate = revision["candidate"]
        if candidate is None:
            continue
        question = rollout.get("approval")
        if rollout.get("phase") == "AwaitingApproval" and question and question not in answered:
            voting.approve(shop, question)
            answered.add(question)
        if revision.get("stable") == candidate:
            asked[0] = track.after
        is_over = (rollout.get("lastOutcome") or {}).get("revision") == candidate
        if is_over and rollout.get("phase") in {"Settled", "Failed"}:
            return candidate
    raise AssertionError(f"not over within {_SECONDS} s: {json.dumps(onlooker.last.get('rollout'), indent=1)}")


def _recorded(cluster: Installed, shop: Namespace, candidate: str, rollout: str) -> tuple[Begun, ...]:
    about = {"rollout": rollout, "namespace": shop.name, "agent": _NAME, "candidate": candidate}
    return tuple(
        Begun(task, datetime.fromisoformat(f"{at}+00:00"), revision == candidate, arm, weight)
        for task, at, revision, arm, weight in rows(cluster, _LIVE, **about)
    )
