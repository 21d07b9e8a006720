"""The rollout machine: every phase with every fact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.progress import OutcomeType
from proctor.api.rollout import Rollout as Rules
from proctor.delivery import machine
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Evidence, Seen, Wanted
from proctor.delivery.machine import decide
from proctor.delivery.phases import (
    Failed,
    Initial,
    Progressing,
    Rollout,
    Settled,
    Starting,
    Upgrade,
    candidate_of,
    live_revisions,
    stable_of,
)

T0 = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
NOW = T0 + timedelta(minutes=5)
DEADLINE = timedelta(minutes=10)
RULES = Rules(progress_deadline=DEADLINE)
LATE = T0 + DEADLINE

READY = Seen(wanted=2, ready=2, is_current=True)
PARTLY = Seen(wanted=2, ready=1, is_current=True, problem="ImagePullBackOff: image x")
OUTDATED = Seen(wanted=2, ready=2, is_current=False)
EMPTY = Seen(wanted=0, ready=0, is_current=True)


def refused(stable: str | None, revision: str) -> Failed:
    """What was refused at T0."""
    return Failed(stable, revision, T0, "ProgressDeadlineExceeded", "was not ready")


def next_of(
    rollout: Rollout | None, wanted: str, seen: dict[str, Seen], *, now: datetime = NOW, replicas: int = 2
) -> Decision:
    """What is decided of the rollout, when these pods are seen."""
    return decide(Wanted(wanted, RULES, replicas), rollout, Evidence(seen), now)


BEFORE_DEADLINE: dict[str, tuple[Rollout | None, str, dict[str, Seen], Rollout]] = {
    "nothing yet, nothing seen: the first revision is tried": (None, "a", {}, Initial("a", NOW)),
    "nothing yet, it is ready already: it serves at once": (None, "a", {"a": READY}, Settled("a")),
    "status lost while another serves: that one is stable": (None, "b", {"a": READY}, Progressing("a", "b", NOW)),
    "status lost while another serves badly: still stable": (None, "b", {"a": PARTLY}, Progressing("a", "b", NOW)),
    "status lost when both are ready: the wanted one serves": (None, "b", {"a": READY, "b": READY}, Settled("b")),
    "first, nothing seen: goes on": (Initial("a", T0), "a", {}, Initial("a", T0)),
    "first, one pod missing: goes on": (Initial("a", T0), "a", {"a": PARTLY}, Initial("a", T0)),
    "first, an old report of readiness: goes on": (Initial("a", T0), "a", {"a": OUTDATED}, Initial("a", T0)),
    "first, no pods asked of it yet: goes on": (Initial("a", T0), "a", {"a": EMPTY}, Initial("a", T0)),
    "first, ready: it serves": (Initial("a", T0), "a", {"a": READY}, Settled("a")),
    "first, another is wanted: that is the first": (Initial("a", T0), "b", {"a": READY}, Initial("b", NOW)),
    "settled, the same: stays": (Settled("a"), "a", {"a": READY}, Settled("a")),
    "settled, its pods are gone: stays": (Settled("a"), "a", {}, Settled("a")),
    "settled, another is wanted: it is tried": (Settled("a"), "b", {"a": READY}, Progressing("a", "b", NOW)),
    "settled, another is wanted and ready: it serves": (Settled("a"), "b", {"a": READY, "b": READY}, Settled("b")),
    "trying, not ready: goes on": (Progressing("a", "b", T0), "b", {"b": PARTLY}, Progressing("a", "b", T0)),
    "trying, ready: it serves": (Progressing("a", "b", T0), "b", {"b": READY}, Settled("b")),
    "trying, an old report: goes on": (Progressing("a", "b", T0), "b", {"b": OUTDATED}, Progressing("a", "b", T0)),
    "trying, back to the stable: settled": (Progressing("a", "b", T0), "a", {"b": READY}, Settled("a")),
    "trying, a third is wanted: that is tried": (
        Progressing("a", "b", T0),
        "c",
        {"b": READY},
        Progressing("a", "c", NOW),
    ),
    "refused, the same is wanted: stays refused": (refused("a", "b"), "b", {"b": READY}, refused("a", "b")),
    "refused, back to the stable: settled": (refused("a", "b"), "a", {}, Settled("a")),
    "refused, a third is wanted: that is tried": (refused("a", "b"), "c", {}, Progressing("a", "c", NOW)),
    "refused with nothing serving, not ready: stays": (refused(None, "b"), "b", {"b": PARTLY}, refused(None, "b")),
    "refused with nothing serving, recovers: it serves": (refused(None, "b"), "b", {"b": READY}, Settled("b")),
    "refused with nothing serving, another: begins anew": (refused(None, "b"), "c", {"b": PARTLY}, Initial("c", NOW)),
}


@pytest.mark.parametrize(("rollout", "wanted", "seen", "expected"), BEFORE_DEADLINE.values(), ids=list(BEFORE_DEADLINE))
def test_before_the_deadline(rollout: Rollout | None, wanted: str, seen: dict[str, Seen], expected: Rollout) -> None:
    """Each phase with each fact leads where the table says."""
    assert next_of(rollout, wanted, seen).rollout == expected


AFTER_DEADLINE: dict[str, tuple[Rollout, str, dict[str, Seen], str | None]] = {
    "first, not ready": (Initial("a", T0), "a", {"a": PARTLY}, None),
    "first, nothing seen": (Initial("a", T0), "a", {}, None),
    "trying, not ready": (Progressing("a", "b", T0), "b", {"a": READY, "b": PARTLY}, "a"),
    "trying, an old report of readiness": (Progressing("a", "b", T0), "b", {"b": OUTDATED}, "a"),
}


@pytest.mark.parametrize(("rollout", "wanted", "seen", "stable"), AFTER_DEADLINE.values(), ids=list(AFTER_DEADLINE))
def test_at_the_deadline(rollout: Rollout, wanted: str, seen: dict[str, Seen], stable: str | None) -> None:
    """What is not ready by the deadline is refused, and what served goes on serving."""
    after = next_of(rollout, wanted, seen, now=LATE).rollout
    assert isinstance(after, Failed)
    assert (after.stable, after.blocked, after.since) == (stable, wanted, LATE)


@pytest.mark.parametrize("rollout", [Initial("b", T0), Progressing("a", "b", T0)])
def test_ready_in_the_last_moment_is_ready(rollout: Rollout) -> None:
    """Readiness is asked before the deadline is."""
    assert next_of(rollout, "b", {"b": READY}, now=LATE).rollout == Settled("b")


@pytest.mark.parametrize("rollout", [Initial("b", T0), Progressing("a", "b", T0)])
def test_a_refusal_tells_the_numbers_and_the_problem(rollout: Rollout) -> None:
    """A person reads how many pods were ready, what the first one says, what serves, and what to do."""
    told = next_of(rollout, "b", {"b": PARTLY}, now=LATE)
    assert [each.reason for each in told.outcomes] == ["RolloutFailed"]
    assert told.outcomes[0].is_warning
    for words in ("revision b", "within 10m", "1 of 2 pods ready", "ImagePullBackOff: image x", "change the spec"):
        assert words in told.outcomes[0].message


@pytest.mark.parametrize("rollout", [Initial("b", T0), Progressing("a", "b", T0)])
def test_one_wakes_at_the_deadline(rollout: Rollout) -> None:
    """If nothing else happens, the deadline must be noticed."""
    assert next_of(rollout, "b", {"b": PARTLY}).wake_at == LATE


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (None, Initial("b", None)),
        (Initial("b", T0), Initial("b", None)),
        (Settled("a"), Progressing("a", "b", None)),
        (Progressing("a", "b", T0), Progressing("a", "b", None)),
        (refused("a", "b"), refused("a", "b")),
        (refused(None, "b"), refused(None, "b")),
    ],
)
def test_without_pods_a_rollout_rests(rollout: Rollout | None, expected: Rollout) -> None:
    """Zero of zero pods ready proves nothing, and no deadline runs: a suspended agent's rollout waits."""
    resting = next_of(rollout, "b", {"b": EMPTY}, now=LATE + DEADLINE, replicas=0)
    assert resting.rollout == expected
    assert resting.wake_at is None


@pytest.mark.parametrize(
    ("rest", "expected"),
    [(Initial("b", None), Initial("b", LATE)), (Progressing("a", "b", None), Progressing("a", "b", LATE))],
)
def test_after_a_rest_the_deadline_begins_anew(rest: Rollout, expected: Rollout) -> None:
    """The time of a rest is not held against the revision."""
    resumed = next_of(rest, "b", {"b": EMPTY}, now=LATE)
    assert resumed.rollout == expected
    assert resumed.wake_at == LATE + DEADLINE


OUTCOMES: dict[str, tuple[Rollout | None, str, dict[str, Seen], list[str]]] = {
    "begins": (None, "a", {}, ["RevisionCreated"]),
    "begins and is ready": (None, "a", {"a": READY}, ["RevisionCreated", "Promoted"]),
    "goes on": (Initial("a", T0), "a", {}, []),
    "is promoted": (Initial("a", T0), "a", {"a": READY}, ["Promoted"]),
    "is superseded": (Progressing("a", "b", T0), "c", {}, ["RevisionSuperseded"]),
    "tries": (Settled("a"), "b", {}, ["CandidateStarted"]),
    "rests settled": (Settled("a"), "a", {}, []),
    "goes back": (Progressing("a", "b", T0), "a", {}, ["RolloutCancelled"]),
    "goes back after a refusal": (refused("a", "b"), "a", {}, ["RolloutCancelled"]),
    "stays refused": (refused("a", "b"), "b", {}, []),
}


@pytest.mark.parametrize(("rollout", "wanted", "seen", "reasons"), OUTCOMES.values(), ids=list(OUTCOMES))
def test_what_happened_is_told_once(
    rollout: Rollout | None, wanted: str, seen: dict[str, Seen], reasons: list[str]
) -> None:
    """Each turn has its outcome, and what merely goes on has none."""
    decision = next_of(rollout, wanted, seen)
    assert [each.reason for each in decision.outcomes] == reasons
    assert next_of(decision.rollout, wanted, seen).outcomes == ()


ENDS: dict[str, tuple[str, OutcomeType]] = {
    "dropped": ("a", OutcomeType.CANCELLED),
    "superseded": ("c", OutcomeType.SUPERSEDED),
}


@pytest.mark.parametrize("begun", [Progressing("a", "b", T0), Starting(Upgrade("a-b-1", "a", "b", "none", T0), T0)])
@pytest.mark.parametrize(("wanted", "type_"), ENDS.values(), ids=ENDS)
def test_a_candidate_that_never_served_has_an_end_too(begun: Rollout, wanted: str, type_: OutcomeType) -> None:
    """Who looks what became of a candidate finds it, also if it gave way before its first task."""
    ended = next_of(begun, wanted, {}).ended
    assert ended is not None
    assert (ended.type, ended.revision) == (type_, "b")


NAMES = st.sampled_from(["a", "b", "c"])
TIMES = st.sampled_from([T0, NOW, LATE])
SEEN = st.builds(Seen, wanted=st.integers(0, 2), ready=st.integers(0, 2), is_current=st.booleans())
ROLLOUTS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.builds(Initial, NAMES, st.none() | TIMES),
    st.builds(Settled, NAMES),
    st.tuples(NAMES, NAMES, st.none() | TIMES)
    .filter(lambda each: each[0] != each[1])
    .map(lambda each: Progressing(*each)),
    st.tuples(st.none() | NAMES, NAMES).filter(lambda each: each[0] != each[1]).map(lambda each: refused(*each)),
)
FACTS = st.fixed_dictionaries(
    {
        "rollout": ROLLOUTS,
        "wanted": st.builds(Wanted, NAMES, st.just(RULES), st.integers(0, 2)),
        "evidence": st.dictionaries(NAMES, SEEN).map(Evidence),
        "now": TIMES,
    }
)


@given(FACTS)
def test_the_same_facts_lead_no_further(facts: dict[str, Any]) -> None:
    """Asked again with what was decided, nothing changes and nothing is told: level, not edge."""
    first = decide(**facts)
    again = decide(**{**facts, "rollout": first.rollout})
    assert again.rollout == first.rollout
    assert again.outcomes == ()


@given(FACTS)
def test_only_what_is_ready_becomes_stable(facts: dict[str, Any]) -> None:
    """The stable revision changes only to one whose pods were asked for and are all ready, or served already."""
    rollout, evidence = facts["rollout"], facts["evidence"]
    before = stable_of(rollout) if rollout else None
    after = stable_of(decide(**facts).rollout)
    if after != before and after is not None:
        seen = evidence.of(after)
        is_found_serving = rollout is None and seen.ready > 0
        assert evidence.is_ready(after) or is_found_serving


@given(FACTS)
def test_what_serves_is_never_taken_away(facts: dict[str, Any]) -> None:
    """A stable revision stays stable until another is; and as long as it is, its pods must exist."""
    rollout = facts["rollout"]
    after = decide(**facts).rollout
    if rollout and stable_of(rollout):
        assert stable_of(after) is not None
    if stable_of(after):
        assert stable_of(after) in live_revisions(after)


@given(FACTS)
def test_what_was_refused_is_not_tried_again(facts: dict[str, Any]) -> None:
    """While something else serves, a refused revision stays refused until the spec asks for another."""
    rollout = facts["rollout"]
    if isinstance(rollout, Failed) and rollout.stable and facts["wanted"].revision == rollout.blocked:
        assert decide(**facts).rollout == rollout


@given(FACTS)
def test_the_candidate_is_what_is_wanted(facts: dict[str, Any]) -> None:
    """Whatever was tried before, what is tried now is what the spec asks for now."""
    assert candidate_of(decide(**facts).rollout) in {None, facts["wanted"].revision}


def test_what_serves_is_found_again() -> None:
    """When the record is lost and the spec cannot be carried out, what has ready pods is what served."""
    assert machine.recovered(Evidence({"b": PARTLY, "a": EMPTY})) == Settled("b")
    assert machine.recovered(Evidence({"a": EMPTY})) is None
