"""What the operator remembers of the record, and what it tells it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proctor.api import names
from proctor.audit import memory
from proctor.audit.archive import node_of
from proctor.audit.merkle import consistency_proof, leaf_hash
from proctor.audit.notes import Signer
from proctor.audit.records import EventType
from proctor.plan.records import Told, of_object
from proctor.plan.said import NoAnswer
from proctor.shell.anchoring import Anchorer
from proctor.shell.outbox import Outbox
from proctor.shell.record import LogSaid
from tests.audit.logs import KEY, LOG, ORIGIN, OTHER_KEY, entries_of, note_of

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RETENTION = timedelta(days=190)


class Gateway:
    """A gateway's record, as it answers the operator: honest, unless it is told to be otherwise."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        self.signer = Signer(ORIGIN, KEY)
        self.verifier = str(self.signer.verifier)
        self.state = "Open"
        self.is_away = False
        self.has_log = True

    async def logs(self):
        """All logs."""
        if self.is_away:
            return NoAnswer("away")
        said = LogSaid(id=LOG, origin=ORIGIN, verifier=self.verifier, state=self.state, signed_size=len(self.entries))
        return [said] if self.has_log else []

    async def checkpoint(self, log):
        """The newest checkpoint."""
        return NoAnswer("away") if self.is_away else note_of(self.entries, self.signer)

    async def consistency(self, log, old, new):
        """The proof."""
        if new > len(self.entries):
            return NoAnswer("the gateway answered 422", is_refused=True)
        return consistency_proof(old, new, node_of([leaf_hash(each) for each in self.entries]))


class Cluster:
    """One ConfigMap and the Events about it."""

    def __init__(self) -> None:
        self.found = None
        self.writes = 0
        self.events = []

    async def get(self, kind, namespace, name):
        """The ConfigMap."""
        return self.found

    async def apply(self, manifest):
        """Write it onto the version that was read."""
        assert (self.found or {}).get("metadata", {}).get("resourceVersion") == manifest["metadata"].get(
            "resourceVersion"
        )
        self.writes += 1
        self.found = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.writes)}}
        return self.found

    async def tell(self, about, event, now):
        """Keep the Event."""
        assert about["metadata"]["name"] == names.RECORD
        self.events.append(event)

    @property
    def anchored(self):
        """The last good checkpoint of the log."""
        return memory.load(self.found["data"])[LOG].checkpoint


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = T0

    def now(self):
        """The time."""
        return self.time


@pytest.fixture
def gateway():
    return Gateway(entries_of(5))


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def anchorer(gateway, cluster, clock):
    """An operator that has looked once."""
    found = Anchorer(cluster, gateway, clock, "proctor-system", RETENTION)
    await found.round()
    return found


async def test_a_log_that_grows_is_anchored_again(gateway, cluster, anchorer):
    """Each look remembers the newest checkpoint; where nothing grew, nothing is written."""
    assert cluster.anchored.size == 5
    await anchorer.round()
    assert cluster.writes == 1
    gateway.entries = entries_of(9)
    await anchorer.round()
    assert cluster.anchored.size == 9
    assert [each.size for each in memory.load(cluster.found["data"])[LOG].history] == [5, 9]
    assert cluster.events == []


def forged(count):
    """Another log of the same name."""
    return [each.replace(b"refunds", b"returns") for each in entries_of(count)]


def truncate(gateway):
    gateway.entries = entries_of(3)


def rewrite(gateway):
    gateway.entries = forged(5)


def rewrite_and_grow(gateway):
    gateway.entries = forged(9)


def sign_with_another_key(gateway):
    gateway.entries = entries_of(9)
    gateway.signer = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    gateway.verifier = str(gateway.signer.verifier)


def lose(gateway):
    gateway.has_log = False


@pytest.mark.parametrize(
    ("crime", "reason"),
    [
        (truncate, "Truncated"),
        (rewrite, "Rewritten"),
        (rewrite_and_grow, "Inconsistent"),
        (sign_with_another_key, "SignatureInvalid"),
        (lose, "LogMissing"),
    ],
)
async def test_what_does_not_follow_the_anchor_raises_the_alarm_once(gateway, cluster, anchorer, crime, reason):
    """By an Event and an entry; the anchor stays as it was, however often one looks."""
    before = cluster.anchored
    crime(gateway)
    for _ in range(3):
        await anchorer.round()
    assert [(each.reason, each.type) for each in cluster.events] == [(f"Record{reason}", "Warning")]
    assert memory.alarms(cluster.found["data"])[LOG]["reason"] == reason
    assert cluster.anchored == before


@pytest.mark.parametrize(("key", "told"), [(KEY, []), (OTHER_KEY, ["RecordKeyChanged"])])
async def test_a_log_with_another_key_is_told_of(gateway, cluster, anchorer, key, told):
    """A new log under the known key is the usual; under another it may be a rotation that nobody ordered."""
    origin = "proctor.dev/record/next"
    gateway.state = "Closed"
    await anchorer.round()
    signer = Signer(origin, key)
    said = LogSaid(id="next", origin=origin, verifier=str(signer.verifier), state="Open", signed_size=2)
    before = gateway.logs

    async def both():
        return [*await before(), said]

    async def checkpoint(log):
        return note_of(entries_of(2, "next"), signer, origin)

    gateway.logs, gateway.checkpoint = both, checkpoint
    await anchorer.round()
    assert [each.reason for each in cluster.events] == told
    assert memory.load(cluster.found["data"])["next"].checkpoint.size == 2


async def test_an_alarm_stays_when_the_log_is_as_it_was_again(gateway, cluster, anchorer):
    """It is evidence that something happened; anchoring goes on beside it."""
    gateway.entries = forged(5)
    await anchorer.round()
    gateway.entries = entries_of(6)
    await anchorer.round()
    assert memory.alarms(cluster.found["data"])[LOG]["reason"] == "Rewritten"
    assert cluster.anchored.size == 6


async def test_a_gateway_that_is_away_is_no_alarm(gateway, cluster, anchorer):
    """Nothing is known, so nothing is said."""
    gateway.is_away = True
    await anchorer.round()
    assert (cluster.writes, cluster.events) == (1, [])


@pytest.mark.parametrize(("days", "alarms"), [(1, ["RecordLogMissing"]), (200, [])])
async def test_a_closed_log_may_go_after_its_time(gateway, cluster, clock, anchorer, days, alarms):
    """Before it, it is missed; after it, it is forgotten."""
    gateway.state = "Closed"
    await anchorer.round()
    gateway.has_log = False
    clock.time += timedelta(days=days)
    await anchorer.round()
    assert [each.reason for each in cluster.events] == alarms
    assert (LOG in memory.load(cluster.found["data"])) == bool(alarms)


async def test_a_memory_that_cannot_be_read_is_not_written_over(gateway, cluster, anchorer):
    """Whoever spoilt it, what is left of it may be evidence."""
    cluster.found["data"][LOG] = "{}"
    gateway.entries = entries_of(9)
    await anchorer.round()
    assert cluster.found["data"][LOG] == "{}"


async def test_anchors_can_be_written_to_a_file_too(gateway, cluster, clock, tmp_path):
    """A line for each, with the signed checkpoint."""
    file = tmp_path / "anchors"
    anchorer = Anchorer(cluster, gateway, clock, "proctor-system", RETENTION, file)
    await anchorer.round()
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["checkpoint"] == note_of(gateway.entries)


def told(number):
    """Something to tell."""
    return Told(f"operator-{number:08}", EventType.SUSPEND, T0, {"state": {"suspend": True}})


class Listener:
    """A record that may be away, or refuse."""

    def __init__(self) -> None:
        self.heard = []
        self.answer = None

    async def tell(self, told):
        """Take what is told, or answer otherwise."""
        if self.answer is None:
            self.heard += [each.id for each in told]
        return self.answer


async def test_what_could_not_be_told_is_told_later():
    """Nothing is lost while the gateway is away, and nothing is told twice by one operator."""
    outbox, listener = Outbox(), Listener()
    listener.answer = NoAnswer("away")
    outbox.put("uid", [told(1)])
    assert not await outbox.flush(listener)
    outbox.put("uid", [told(1), told(2)])
    listener.answer = None
    assert await outbox.flush(listener)
    outbox.put("uid", [told(1), told(2)])
    assert await outbox.flush(listener)
    assert listener.heard == [told(1).id, told(2).id]


async def test_what_finds_no_room_comes_back_with_the_next_look(monkeypatch):
    """The box is bounded; what was not put into it was not told, and is not taken for told."""
    monkeypatch.setattr("proctor.shell.outbox._MOST_WAITING", 1)
    outbox, listener = Outbox(), Listener()
    for _ in range(2):
        outbox.put("uid", [told(1), told(2)])
        assert len(outbox) == 1
        assert await outbox.flush(listener)
    assert listener.heard == [told(1).id, told(2).id]


async def test_what_is_refused_holds_up_nothing_else():
    """It is counted and let go."""
    outbox, listener = Outbox(), Listener()
    listener.answer = NoAnswer("422", is_refused=True)
    outbox.put("uid", [told(1)])
    assert await outbox.flush(listener)
    assert len(outbox) == 0


def body(**changes):
    """An Agent in the cluster."""
    status = {
        "revision": {"stable": "aaa", "candidate": "bbb"},
        "rollout": {"phase": "Collecting", "id": "r1", "step": 2, "weight": 10, "since": "2026-11-22T11:00:00Z"},
        "conditions": [
            {"type": "Available", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-11-22T10:00:00Z"},
            {"type": "Reconciling", "status": "True", "reason": "x", "lastTransitionTime": "2026-11-22T10:00:00Z"},
        ],
    }
    return {
        "kind": "Agent",
        "metadata": {"namespace": "support", "name": "refunds", "uid": "u1", "generation": 3},
        "spec": {"riskTier": "High", "owner": {"team": "support"}, "instructions": "secret words"},
        "status": status,
        **changes,
    }


CHILDREN = tuple(
    {"kind": "ControllerRevision", "metadata": {"labels": {names.REVISION: each}}, "data": {"n": each}}
    for each in ("aaa", "bbb")
)


def test_the_state_of_an_agent_is_told_by_facts():
    """What changed from which bundle to which, where the upgrade is, and each condition of interest."""
    found = of_object(body(), CHILDREN, T0)
    assert [each.type for each in found] == ["config.changed", "rollout.step", "state.changed"]
    change = found[0].fields["change"]
    assert (change["before"], change["after"], change["risk_tier"]) == ("aaa", "bbb", "High")
    assert change["before_sha256"] != change["after_sha256"]
    assert "secret words" not in repr(found)


def test_the_same_fact_has_the_same_id_whenever_it_is_told():
    """A restarted operator tells it again, and the record keeps it once; another fact has another id."""
    first, later = (of_object(body(), CHILDREN, T0 + timedelta(hours=each)) for each in (0, 5))
    assert [each.id for each in first] == [each.id for each in later]
    other = of_object(body(metadata={**body()["metadata"], "generation": 4}), CHILDREN, T0)
    assert first[0].id != other[0].id


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("Promoted", "rollout.promote"), ("RolledBack", "rollout.rollback"), ("Aborted", "rollout.rollback")],
)
def test_how_an_upgrade_ended_is_told(ending, kind):
    """With the reason and the evidence that weighed most."""
    outcome = {"type": ending, "revision": "bbb", "reason": "Harmful", "e": "31.2", "at": "2026-11-22T11:30:00Z"}
    rollout = {"phase": "Settled", "lastOutcome": outcome}
    found = of_object(body(status={"rollout": rollout}), (), T0)
    told = next(each for each in found if each.type == kind)
    assert told.fields["rollout"]["e"] == "31.2"


def test_the_stop_button_is_told():
    """By whomever it was pressed, the generation says when."""
    found = of_object(body(spec={"suspend": True}), (), T0)
    assert [each.fields["state"]["generation"] for each in found if each.type == "suspend"] == [3]


@pytest.mark.parametrize(
    ("subject", "status", "kinds"),
    [
        ({"rollout": {"agent": "refunds"}}, {"phase": "Pending"}, ["approval.requested"]),
        (
            {"rollout": {"agent": "refunds"}},
            {"phase": "Decided", "decision": "Approve", "decidedBy": ["ann"], "comment": "secret words"},
            ["approval.requested", "approval.decided"],
        ),
        ({"toolCall": {"agent": "refunds"}}, {"phase": "Decided"}, []),
    ],
)
def test_who_decided_on_an_upgrade_is_told(subject, status, kinds):
    """Of questions about calls the gateway tells, with the calls; what people wrote is not told."""
    asked = body(kind="Approval", spec={"subject": {"digest": "sha256:1", **subject}}, status=status)
    found = of_object(asked, (), T0)
    assert [each.type for each in found] == kinds
    assert all(each.fields["agent"] == {"namespace": "support", "name": "refunds"} for each in found)
    assert "secret words" not in repr(found)


def test_why_an_upgrade_went_on_without_error_budget_is_told():
    """Who, why, and for how long: it is what such an answer is there for."""
    subject = {"digest": "sha256:1", "override": {"agent": "refunds", "revision": "b" * 10, "for": "24h"}}
    status = {"phase": "Decided", "decision": "Approve", "decidedBy": ["ann"], "comment": "it mends the breach"}
    told = of_object(body(kind="Approval", spec={"subject": subject}, status=status), (), T0)[-1]
    assert told.fields["agent"] == {"namespace": "support", "name": "refunds"}
    said = {key: told.fields["approval"][key] for key in ("about", "lasting", "decision", "decidedBy", "why")}
    assert list(said.values()) == ["override", "24h", "Approve", ["ann"], "it mends the breach"]


def test_of_other_kinds_the_declaration_is_told():
    """A Connector by the hash of its spec; a kind that decides nothing not at all."""
    assert [each.type for each in of_object(body(kind="Connector", status={}), (), T0)] == ["config.changed"]
    assert of_object(body(kind="WorkflowRun"), (), T0) == ()


def test_all_that_is_told_can_be_recorded():
    """The record's own rules accept it: no float, no unknown field."""
    from proctor.audit.records import Draft

    for each in of_object(body(), CHILDREN, T0):
        Draft(each.type, each.at, each.fields, each.id).checked()
