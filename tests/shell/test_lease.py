"""One leader: two candidates on a simulated API server, with clocks that are wrong and networks that break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from proctor.shell.errors import Lost
from proctor.shell.lease import DURATION, RENEW_DEADLINE, Elector, Leadership
from tests.shell.wire import Wire
from tests.sim.cluster.api import ApiServer
from tests.sim.cluster.kinds import Ref
from tests.sim.cluster.store import Store
from tests.sim.timeline import Timeline

NAMESPACE = "proctor-system"
LEASE = Ref("Lease", NAMESPACE, "proctor-operator")


@dataclass
class Skewed:
    """A clock that is wrong by so much."""

    timeline: Timeline
    skew: timedelta

    def now(self) -> datetime:
        """The wrong time."""
        return self.timeline.now() + self.skew


@dataclass
class Candidate:
    """A process that wants to lead."""

    wire: Wire
    leadership: Leadership
    elector: Elector
    lost: list[float] = field(default_factory=list)

    def leads(self) -> bool:
        """Whether it may write now."""
        return self.leadership.is_held

    async def live(self, timeline: Timeline) -> None:
        """Leads when it can, for as long as it can."""
        await self.elector.acquire()
        try:
            await self.elector.keep()
        except Lost:
            self.lost.append(timeline.time())


class Election:
    """A Lease and those who want it."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.store = Store(self.timeline.now)
        self._api = ApiServer(self.store)
        self.leaders: list[tuple[float, frozenset[str]]] = []
        self._candidates: dict[str, Candidate] = {}

    def join(self, name: str, skew: float = 0.0) -> Candidate:
        """Another candidate."""
        wire, leadership = Wire(self._api, name), Leadership(self.timeline.time)
        elector = Elector(
            wire,
            leadership,
            identity=name,
            namespace=NAMESPACE,
            clock=Skewed(self.timeline, timedelta(seconds=skew)),
            monotonic=self.timeline.time,
        )
        candidate = self._candidates[name] = Candidate(wire, leadership, elector)
        self.timeline.found(candidate, candidate.live(self.timeline))
        return candidate

    def run(self, seconds: float) -> None:
        """Lets time pass; at no moment of it do two lead."""
        for _ in range(int(seconds * 10)):
            self.timeline.run_for(0.1)
            leading = {name for name, each in self._candidates.items() if each.leads()}
            assert len(leading) <= 1, f"at {self.timeline.time():.1f} s {leading} lead"

    @property
    def holder(self) -> str:
        """In whose name the Lease is."""
        lease = self.store.get(LEASE)
        return str(lease["spec"]["holderIdentity"]) if lease else ""


@pytest.fixture
def election() -> Iterator[Election]:
    """No Lease yet, and nobody who wants it."""
    election = Election()
    yield election
    election.timeline.end()


def test_one_of_two_leads(election: Election) -> None:
    """And goes on leading."""
    first, second = election.join("first"), election.join("second")
    election.run(120)
    assert (first.leads(), second.leads()) == (True, False)
    assert election.holder == "first"
    assert not first.lost


def test_who_does_not_lead_may_not_write(election: Election) -> None:
    """The check before each write raises Lost."""
    first, second = election.join("first"), election.join("second")
    election.run(5)
    first.leadership.check()
    with pytest.raises(Lost):
        second.leadership.check()


def test_a_leader_that_is_cut_off_stops_before_another_begins(election: Election) -> None:
    """It stops after ten seconds; the next one begins when the Lease's whole duration has passed unchanged."""
    first, second = election.join("first"), election.join("second")
    election.run(10)
    cut_at = election.timeline.time()
    first.wire.is_cut = True
    election.run(RENEW_DEADLINE + 4)
    assert first.lost
    assert first.lost[0] - cut_at <= RENEW_DEADLINE + 4
    assert not second.leads()
    election.run(DURATION)
    assert second.leads()
    assert election.holder == "second"


def test_a_lease_given_back_is_taken_at_once(election: Election) -> None:
    """The next leader need not wait for its end."""
    first, second = election.join("first"), election.join("second")
    election.run(10)
    election.timeline.kill(first)
    election.timeline.finish(first.elector.release())
    assert not first.leads()
    election.run(3)
    assert second.leads()


def test_a_process_that_died_is_waited_for(election: Election) -> None:
    """Its Lease has to end first, and then the other one leads."""
    first, second = election.join("first"), election.join("second")
    election.run(10)
    election.timeline.kill(first)
    first.leadership.resign()
    election.run(DURATION - 3)
    assert not second.leads()
    election.run(6)
    assert second.leads()


@pytest.mark.parametrize("skew", [-3600, -20, 20, 3600])
def test_clocks_may_be_wrong(election: Election, skew: float) -> None:
    """Nobody's clock is compared with another's: a Lease has ended when it did not change for its duration."""
    first = election.join("first", skew=skew)
    second = election.join("second")
    election.run(60)
    assert first.leads()
    first.wire.is_cut = True
    election.run(40)
    assert second.leads()


def test_a_short_break_is_ridden_out(election: Election) -> None:
    """A few renewals may fail."""
    first = election.join("first")
    election.join("second")
    election.run(10)
    first.wire.is_cut = True
    election.run(4)
    first.wire.is_cut = False
    election.run(30)
    assert first.leads()
    assert not first.lost


def test_a_lease_in_another_name_is_lost_at_once(election: Election) -> None:
    """Whoever took it may be writing already."""
    first = election.join("first")
    election.run(10)
    lease = election.store.get(LEASE)
    assert lease is not None
    election.store.update({**lease, "spec": {**lease["spec"], "holderIdentity": "intruder"}}, "kubectl")
    election.run(2.5)
    assert first.lost


def test_the_lease_counts_its_holders(election: Election) -> None:
    """A renewal is no transition, a new holder is one."""
    first = election.join("first")
    election.run(20)
    election.timeline.kill(first)
    election.timeline.finish(first.elector.release())
    election.join("second")
    election.run(10)
    lease = election.store.get(LEASE)
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 2


def test_a_deleted_lease_is_made_again(election: Election) -> None:
    """By its holder, who goes on leading."""
    first = election.join("first")
    election.run(10)
    election.store.remove(LEASE, "kubectl")
    election.run(10)
    assert election.holder == "first"
    assert first.leads()
