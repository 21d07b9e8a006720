"""Which revision does a new task begin on?"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.agent import Agent
from proctor_gateway.rules.arms import Arm, Draw, Split, Stay, begin, drawn, is_mirrored, propensity, share_of, split_of
from proctor_gateway.rules.dispatch import Pod
from tests.gateway import objects

UPGRADE = Split("u1", "s", "c", 10, 0)
UNITS = st.text(min_size=1, max_size=40)


@dataclass(frozen=True)
class Rooms:
    """Revisions with a free pod, and those with a ready one."""

    free: frozenset[str] = frozenset("sc")
    ready: frozenset[str] = field(default_factory=lambda: frozenset("sc"))

    def pod(self, revision: str) -> Pod | None:
        """A free pod."""
        free = revision in self.free & self.ready
        return Pod("support", revision, revision, "refunds", revision, "10.0.0.1", ready=True) if free else None

    def is_ready(self, revision: str) -> bool:
        """Whether it has a ready pod."""
        return revision in self.ready


def split(weight: int) -> Split:
    """The upgrade at a weight."""
    return Split("u1", "s", "c", weight, 0)


@given(UNITS, st.integers(0, 100))
def test_the_arm_is_the_hash(unit: str, weight: int):
    """A unit goes to the candidate if its share is below the weight: the same in every process, never at weight 0."""
    expected = Arm.CANDIDATE if share_of("u1", unit) < weight / 100 else Arm.STABLE
    assert drawn(split(weight), unit) is expected
    assert 0 <= share_of("u1", unit) < 1
    if weight in {0, 100}:
        assert expected is (Arm.CANDIDATE if weight else Arm.STABLE)


def test_the_hash_is_the_written_one():
    """The first eight bytes of SHA-256 of the upgrade's id, a slash and the unit, as a fraction of 2^64."""
    assert share_of("u1", "task-1") == pytest.approx(0.9895986607529133, abs=1e-15)


@given(UNITS, st.integers(0, 100), st.integers(0, 100))
def test_a_higher_weight_takes_nobody_away(unit: str, low: int, high: int):
    """Who is on the candidate at a weight is on it at every higher one."""
    low, high = sorted((low, high))
    if drawn(split(low), unit) is Arm.CANDIDATE:
        assert drawn(split(high), unit) is Arm.CANDIDATE


def test_the_share_is_the_weight():
    """Of many units as many as the weight says, within four standard deviations; another upgrade is another draw."""
    units = [f"task-{n}" for n in range(20_000)]
    mine = {unit for unit in units if drawn(split(10), unit) is Arm.CANDIDATE}
    other = {unit for unit in units if drawn(Split("u2", "s", "c", 10, 0), unit) is Arm.CANDIDATE}
    assert abs(len(mine) - 2000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5
    assert abs(len(mine & other) - 200) < 4 * (20_000 * 0.01 * 0.99) ** 0.5


def test_copies_are_drawn_apart_from_the_arm():
    """Whether a task is copied says nothing about its arm."""
    both = Split("u1", "s", "c", 50, 50)
    units = [f"task-{n}" for n in range(20_000)]
    together = sum(is_mirrored(both, unit) and drawn(both, unit) is Arm.CANDIDATE for unit in units)
    assert abs(together - 5000) < 4 * (20_000 * 0.25 * 0.75) ** 0.5


ON_STABLE = next(f"t{n}" for n in range(1000) if share_of("u1", f"t{n}") >= 0.5)
ON_CANDIDATE = next(f"t{n}" for n in range(1000) if share_of("u1", f"t{n}") < 0.1)

NONE = frozenset()
BEGINNINGS = {
    "drawn to stable": (10, ON_STABLE, None, Rooms(), ("s", "Stable", "0.10")),
    "drawn to the candidate": (10, ON_CANDIDATE, None, Rooms(), ("c", "Candidate", "0.10")),
    "weight 0 draws nobody": (0, ON_CANDIDATE, None, Rooms(), ("s", None, "0.00")),
    "a full candidate: stable, and no evidence": (10, ON_CANDIDATE, None, Rooms(frozenset("s")), ("s", None, "0.10")),
    "whatever the draw would have been": (10, ON_STABLE, None, Rooms(frozenset("s")), ("s", None, "0.10")),
    "no candidate's pod": (10, ON_CANDIDATE, None, Rooms(ready=frozenset("s")), ("s", None, "0.10")),
    "a full stable is waited for": (10, ON_CANDIDATE, None, Rooms(frozenset("c")), None),
    "nothing free": (10, ON_STABLE, None, Rooms(NONE), None),
    "a conversation stays on stable": (
        50,
        ON_CANDIDATE,
        Stay("u1", Arm.STABLE, "0.10"),
        Rooms(),
        ("s", "Stable", "0.10"),
    ),
    "a conversation stays on the candidate": (
        1,
        ON_STABLE,
        Stay("u1", Arm.CANDIDATE, "0.90"),
        Rooms(),
        ("c", "Candidate", "0.90"),
    ),
    "and waits for it": (1, ON_STABLE, Stay("u1", Arm.CANDIDATE, "0.90"), Rooms(frozenset("s")), None),
    "but not if it has no pod": (
        1,
        ON_STABLE,
        Stay("u1", Arm.CANDIDATE, "0.90"),
        Rooms(ready=frozenset("s")),
        ("s", None, "0.90"),
    ),
    "and never at weight 0": (0, ON_STABLE, Stay("u1", Arm.CANDIDATE, "0.90"), Rooms(), ("s", None, "0.00")),
    "one that began without a draw": (50, ON_CANDIDATE, Stay("u1", None, "0.10"), Rooms(), ("s", None, "0.10")),
    "one of another upgrade is drawn": (
        50,
        ON_CANDIDATE,
        Stay("u0", Arm.STABLE, "0.10"),
        Rooms(),
        ("c", "Candidate", "0.50"),
    ),
}


@pytest.mark.parametrize(("weight", "unit", "stay", "room", "expected"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_where_a_task_begins(weight, unit, stay, room, expected):
    """The arm is drawn only while both take tasks; nobody waits for a candidate, except who talks with it."""
    found = begin(split(weight), unit, stay, room)
    if expected is None:
        assert found is None
        return
    pod, beginning = found
    assert pod.revision == beginning.revision
    assert isinstance(beginning.draw, Draw)
    assert (beginning.revision, beginning.draw.arm, beginning.draw.propensity) == expected


@given(UNITS, st.integers(0, 100), st.sampled_from(["", "s", "c", "sc"]))
def test_whether_a_task_waits_does_not_depend_on_its_arm(unit: str, weight: int, free: str):
    """Two units of different arms wait in the same situations: or the recorded propensity would not be the true one."""
    room = Rooms(frozenset(free))
    assert (begin(split(weight), unit, None, room) is None) == ("s" not in free)


@pytest.mark.parametrize(("weight", "text"), [(0, "0.00"), (1, "0.01"), (10, "0.10"), (100, "1.00")])
def test_a_propensity_is_a_text(weight: int, text: str):
    """Two digits, so that every reader sees the same number."""
    assert propensity(weight) == text


STATUSES = {
    "an upgrade": ({"candidate": "c"}, {"id": "u1", "weight": 10, "mirror": 5}, ("u1", "s", "c", 10, 5)),
    "without traffic": ({"candidate": "c"}, {"id": "u1"}, ("u1", "s", "c", 0, 0)),
    "without a name": ({"candidate": "c"}, {"weight": 10}, None),
    "without a candidate": ({}, {"id": "u1", "weight": 10}, None),
    "a candidate that is blocked": ({"candidate": "c", "blocked": ["c"]}, {"id": "u1", "weight": 10}, None),
    "the stable one itself": ({"candidate": "s"}, {"id": "u1", "weight": 10}, None),
    "no rollout at all": ({"candidate": "c"}, None, None),
}


@pytest.mark.parametrize(("revision", "rollout", "expected"), STATUSES.values(), ids=STATUSES)
def test_an_upgrade_is_read_from_the_status(revision, rollout, expected):
    """Without a candidate, or a name for the upgrade, there is nothing to draw."""
    status = {"revision": {"stable": "s", **revision}}
    if rollout is not None:
        status["rollout"] = {"phase": "Collecting", **rollout}
    found = split_of(Agent.parse(objects.agent(objects.agent_spec(), None, **status)))
    assert found == (Split(*expected) if expected else None)
