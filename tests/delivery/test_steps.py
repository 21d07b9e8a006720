"""An upgrade at its steps: every phase with every fact that matters to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.progress import OutcomeType
from proctor.api.rollout import Rollout as Rules
from proctor.delivery import machine
from proctor.delivery.decision import Decision
from proctor.delivery.evidence import Capital, Metric, Observation, fold
from proctor.delivery.facts import Answer, Evidence, Result, Seen, Traffic, Trial, Wanted
from proctor.delivery.machine import decide
from proctor.delivery.phases import (
    Aborting,
    AwaitingApproval,
    Cause,
    Collecting,
    Examining,
    Failed,
    Held,
    Mirroring,
    Paused,
    Place,
    Progressing,
    Promoting,
    Replaying,
    Reverting,
    Rollout,
    Settled,
    Stage,
    Starting,
    Stopped,
    Unanswered,
    Upgrade,
    Watching,
    blocked_of,
    candidate_of,
    live_revisions,
    stable_of,
    upgrade_of,
)

T0 = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
NOW = T0 + timedelta(minutes=20)
STABLE, CANDIDATE, THIRD = "a", "b", "c"
STEPS: list[dict[str, Any]] = [
    {"evals": {}},
    {"replay": {"tasks": 50}},
    {"mirror": {"percent": 100}},
    {"weight": 10, "until": {"minTasks": 20, "minDuration": "10m"}},
    {"pause": {"duration": "1h"}},
    {"weight": 50, "approval": {"groups": ["sre"]}},
    {"approval": {"groups": ["leads"]}},
]
EXAM, REPLAY, MIRROR, FIRST, PAUSE, SECOND, LAST = range(7)
READY = Seen(wanted=1, ready=1, is_current=True)
WHOLE = Seen(wanted=2, ready=2, is_current=True)
DOWN = Seen(wanted=2, ready=0, is_current=True, away_since=T0)
RESTARTING = replace(DOWN, away_since=NOW - timedelta(minutes=9))
CRASHING = Seen(wanted=1, ready=0, is_current=True, problem="CrashLoopBackOff: Error, exit code 1")
QUIET = Traffic(is_withdrawn=False, in_flight=0, begun=30)


def verified(in_flight: int, begun: int) -> Traffic:
    """All gateways know that the candidate gets no new task."""
    return Traffic(is_withdrawn=True, in_flight=in_flight, begun=begun)


def rules(**more: Any) -> Rules:
    """The rules of an upgrade."""
    return Rules.model_validate({"steps": STEPS, "progressDeadline": "10m", **more})


def wanted(revision: str = CANDIDATE, *, replicas: int = 2, **more: Any) -> Wanted:
    """What the spec asks for."""
    return Wanted(revision, rules(**more), replicas)


def upgrade(**more: Any) -> Upgrade:
    """The upgrade from a to b."""
    return replace(Upgrade("u", STABLE, CANDIDATE, wanted().steps_hash, T0), **more)


def at(step: int, *, since: datetime = T0, offset: int = 0) -> Place:
    """A step of it."""
    return Place(upgrade(), step, since, offset)


def capital(stable_bad: int = 0, candidate_bad: int = 0, tasks: int = 40, guard: str | None = None) -> Capital:
    """So many tasks of each arm at even odds, of which the first were bad."""
    seen = [
        Observation(
            2 * number + candidate,
            candidate=bool(candidate),
            propensity=0.5,
            deadline=T0 + timedelta(minutes=1),
            finished_at=T0,
            bad={"success": float(number < bad)},
            guard=guard if candidate and number == 0 else None,
        )
        for number in range(tasks)
        for candidate, bad in ((0, stable_bad), (1, candidate_bad))
    ]
    return fold(Capital.begin([Metric("success", 0.1)]), seen, NOW)


ENOUGH = capital(tasks=150)
SOME = capital(tasks=30)
FEW = capital(tasks=5)
HARMFUL = capital(candidate_bad=20, tasks=40)


def seen(**more: Any) -> Evidence:
    """All is well, and live tasks are known."""
    facts: dict[str, Any] = {"revisions": {STABLE: WHOLE, CANDIDATE: READY}, "capital": SOME, "traffic": QUIET}
    return Evidence(**{**facts, **more})


def after(rollout: Rollout, evidence: Evidence | None = None, *, now: datetime = NOW, **more: Any) -> Decision:
    """What is decided."""
    return decide(wanted(**more), rollout, evidence or seen(), now)


PASSED, WORSE, UNDECIDED = Trial(Result.PASSED, "well"), Trial(Result.FAILED, "badly"), Trial(Result.UNDECIDED, "?")
RUNNING = Trial(Result.RUNNING)

GOES: dict[str, tuple[Rollout, Evidence, Rollout]] = {
    "settled, another is wanted and ready: its exam begins": (
        Settled(STABLE),
        seen(traffic=None, capital=None),
        Examining(Place(replace(upgrade(), id=f"a-b-{int(NOW.timestamp() * 1000):x}", begun=NOW), 0, NOW)),
    ),
    "starting, not ready: goes on": (
        Starting(upgrade(), NOW),
        seen(revisions={STABLE: WHOLE}),
        Starting(upgrade(), NOW),
    ),
    "starting, ready: the first step": (Starting(upgrade(), T0), seen(), Examining(at(EXAM, since=NOW, offset=30))),
    "exam running: goes on": (Examining(at(EXAM)), seen(exam=RUNNING), Examining(at(EXAM))),
    "exam unknown: goes on": (Examining(at(EXAM)), seen(), Examining(at(EXAM))),
    "exam passed: replay": (Examining(at(EXAM)), seen(exam=PASSED), Replaying(at(REPLAY, since=NOW, offset=30))),
    "replay passed: mirror": (
        Replaying(at(REPLAY)),
        seen(replay=PASSED),
        Mirroring(at(MIRROR, since=NOW, offset=30)),
    ),
    "replay undecided: held": (Replaying(at(REPLAY)), seen(replay=UNDECIDED), Held(at(REPLAY), "Inconclusive", "?")),
    "mirror passed: the first weight": (
        Mirroring(at(MIRROR)),
        seen(mirror=PASSED),
        Collecting(at(FIRST, since=NOW, offset=30)),
    ),
    "collecting, too few tasks: goes on": (Collecting(at(FIRST)), seen(capital=FEW), Collecting(at(FIRST))),
    "collecting, tasks of an earlier step do not count": (
        Collecting(at(FIRST, offset=25)),
        seen(),
        Collecting(at(FIRST, offset=25)),
    ),
    "collecting, too early: goes on": (
        Collecting(at(FIRST, since=NOW - timedelta(minutes=9))),
        seen(),
        Collecting(at(FIRST, since=NOW - timedelta(minutes=9))),
    ),
    "collecting, enough and no harm: on from a weight that is not the last": (
        Collecting(at(FIRST)),
        seen(),
        Paused(at(PAUSE, since=NOW, offset=30), NOW + timedelta(hours=1)),
    ),
    "collecting, the gateway is silent: holds": (
        Collecting(at(FIRST)),
        seen(outage="away", traffic=None),
        Collecting(at(FIRST)),
    ),
    "collecting at the last weight, not proven: goes on": (Collecting(at(SECOND)), seen(), Collecting(at(SECOND))),
    "collecting at the last weight, proven: on": (
        Collecting(at(SECOND)),
        seen(capital=ENOUGH),
        AwaitingApproval(at(LAST, since=NOW, offset=150)),
    ),
    "stable is down and the candidate well: on without proof": (
        Collecting(at(SECOND)),
        seen(revisions={STABLE: DOWN, CANDIDATE: READY}),
        AwaitingApproval(at(LAST, since=NOW, offset=30)),
    ),
    "stable is down, so the candidate had few tasks: on without them": (
        Collecting(at(SECOND)),
        seen(revisions={STABLE: DOWN, CANDIDATE: READY}, capital=FEW),
        AwaitingApproval(at(LAST, since=NOW, offset=5)),
    ),
    "stable is down, but the candidate has not been here for long: holds": (
        Collecting(at(SECOND, since=NOW - timedelta(minutes=9))),
        seen(revisions={STABLE: DOWN, CANDIDATE: READY}),
        Collecting(at(SECOND, since=NOW - timedelta(minutes=9))),
    ),
    "stable is away for a moment: holds": (
        Collecting(at(SECOND)),
        seen(revisions={STABLE: RESTARTING, CANDIDATE: READY}),
        Collecting(at(SECOND)),
    ),
    "stable is down, and the candidate is not well: holds": (
        Collecting(at(SECOND)),
        seen(revisions={STABLE: DOWN, CANDIDATE: replace(READY, ready=0)}),
        Collecting(at(SECOND)),
    ),
    "stable is down: there is nothing to copy": (
        Mirroring(at(MIRROR)),
        seen(revisions={STABLE: DOWN, CANDIDATE: READY}, mirror=RUNNING),
        Collecting(at(FIRST, since=NOW, offset=30)),
    ),
    "stable is away for a moment: copies are waited for": (
        Mirroring(at(MIRROR)),
        seen(revisions={STABLE: RESTARTING, CANDIDATE: READY}, mirror=RUNNING),
        Mirroring(at(MIRROR)),
    ),
    "pausing: goes on": (Paused(at(PAUSE), NOW + timedelta(1)), seen(), Paused(at(PAUSE), NOW + timedelta(1))),
    "a pause without an end: goes on": (Paused(at(PAUSE), None), seen(), Paused(at(PAUSE), None)),
    "the pause is over: people are asked": (
        Paused(at(PAUSE), NOW),
        seen(),
        AwaitingApproval(at(SECOND, since=NOW, offset=30)),
    ),
    "asked, no answer: goes on": (AwaitingApproval(at(SECOND)), seen(), AwaitingApproval(at(SECOND))),
    "approved: the weight rises": (
        AwaitingApproval(at(SECOND, offset=7)),
        seen(answer=Answer.APPROVED),
        Collecting(at(SECOND, since=NOW, offset=7)),
    ),
    "the last approval: promotion": (
        AwaitingApproval(at(LAST)),
        seen(answer=Answer.APPROVED),
        Promoting(at(LAST + 1, since=NOW, offset=30), "people approved"),
    ),
    "nobody answered: held": (AwaitingApproval(at(SECOND)), seen(answer=Answer.TIMED_OUT), Unanswered(at(SECOND))),
    "stopped: stays": (Stopped(at(FIRST)), seen(capital=ENOUGH), Stopped(at(FIRST))),
    "promoting, one pod of two: goes on": (
        Promoting(at(7, since=NOW), "proven"),
        seen(),
        Promoting(at(7, since=NOW), "proven"),
    ),
    "promoting, all pods: it serves and is watched": (
        Promoting(at(7), "proven"),
        seen(revisions={STABLE: WHOLE, CANDIDATE: WHOLE}),
        Watching(upgrade(), NOW, NOW + timedelta(hours=48), keeps_previous=True),
    ),
    "watching, the old pods go after a while": (
        Watching(upgrade(), NOW - timedelta(seconds=30), NOW + timedelta(1), keeps_previous=True),
        seen(),
        Watching(upgrade(), NOW - timedelta(seconds=30), NOW + timedelta(1), keeps_previous=False),
    ),
    "watching is over": (Watching(upgrade(), T0, NOW, keeps_previous=False), seen(), Settled(CANDIDATE)),
}


@pytest.mark.parametrize(("rollout", "evidence", "expected"), GOES.values(), ids=list(GOES))
def test_where_it_goes(rollout: Rollout, evidence: Evidence, expected: Rollout) -> None:
    """Each phase with each fact leads where the table says."""
    assert after(rollout, evidence).rollout == expected


AT_STEPS: dict[str, Rollout] = {
    "exam": Examining(at(EXAM)),
    "replay": Replaying(at(REPLAY)),
    "mirror": Mirroring(at(MIRROR)),
    "collecting": Collecting(at(FIRST)),
    "pause": Paused(at(PAUSE), None),
    "stopped": Stopped(at(FIRST)),
    "asked": AwaitingApproval(at(SECOND)),
    "unanswered": Unanswered(at(SECOND)),
    "held": Held(at(FIRST), "ExposureSpent", ""),
    "replay for want of evidence": Replaying(at(FIRST), is_about_evidence=True),
    "promoting": Promoting(at(7), ""),
}


@pytest.mark.parametrize("rollout", AT_STEPS.values(), ids=list(AT_STEPS))
@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (seen(capital=HARMFUL), "Harm"),
        (seen(capital=capital(guard="cost too much")), "GuardBroken"),
        (seen(revisions={STABLE: WHOLE, CANDIDATE: CRASHING}), "CrashLoop"),
        (seen(capital=HARMFUL, outage="away", traffic=None), "Harm"),
    ],
)
def test_danger_is_looked_for_everywhere(rollout: Rollout, evidence: Evidence, reason: str) -> None:
    """Also while people are asked, a pause lasts or the gateway is silent, harm withdraws the candidate."""
    decision = after(rollout, evidence)
    found = decision.rollout
    assert isinstance(found, Aborting)
    assert (found.stage, found.cause.type, found.cause.reason) == (Stage.WITHDRAWING, OutcomeType.ROLLED_BACK, reason)
    assert decision.ended is not None
    assert decision.ended.type is OutcomeType.ROLLED_BACK


@pytest.mark.parametrize("rollout", AT_STEPS.values(), ids=list(AT_STEPS))
@pytest.mark.parametrize(
    ("revision", "type_"), [(THIRD, OutcomeType.SUPERSEDED), (STABLE, OutcomeType.CANCELLED)], ids=["third", "stable"]
)
def test_another_wish_withdraws_in_order(rollout: Rollout, revision: str, type_: OutcomeType) -> None:
    """A third revision waits until the second one is drained; going back does not skip the drain either."""
    found = after(rollout, revision=revision).rollout
    assert isinstance(found, Aborting)
    assert (found.stage, found.cause.type) == (Stage.WITHDRAWING, type_)


def test_what_had_no_traffic_is_dropped_at_once() -> None:
    """A candidate that no task was ever sent to has nothing to drain: a failed exam blocks it the same moment."""
    untouched = seen(exam=WORSE, capital=FEW.begin([]), traffic=replace(QUIET, begun=0))
    decision = after(Examining(at(EXAM)), untouched)
    assert decision.rollout == Failed(STABLE, CANDIDATE, NOW, "ExamFailed", "b: badly; a goes on serving")
    assert decision.ended is not None
    assert decision.ended.type is OutcomeType.FAILED


STAGES: dict[str, tuple[Stage, Traffic | None, timedelta, Stage | None]] = {
    "not verified: waits": (Stage.WITHDRAWING, QUIET, timedelta(days=1), Stage.WITHDRAWING),
    "the gateway is silent: waits": (Stage.WITHDRAWING, None, timedelta(days=1), Stage.WITHDRAWING),
    "verified, tasks under way: drains": (Stage.WITHDRAWING, verified(2, 9), timedelta(0), Stage.DRAINING),
    "verified, no task: scales down": (Stage.WITHDRAWING, verified(0, 9), timedelta(0), Stage.SCALING_DOWN),
    "tasks under way: waits": (Stage.DRAINING, verified(2, 9), timedelta(minutes=9), Stage.DRAINING),
    "silent while draining: waits": (Stage.DRAINING, None, timedelta(minutes=9), Stage.DRAINING),
    "the deadline of the drain": (Stage.DRAINING, verified(2, 9), timedelta(minutes=10), Stage.SCALING_DOWN),
    "pods stay a little": (Stage.SCALING_DOWN, None, timedelta(seconds=29), Stage.SCALING_DOWN),
    "and then go": (Stage.SCALING_DOWN, None, timedelta(seconds=30), None),
}
HARM = Cause(OutcomeType.ROLLED_BACK, "Harm", "worse")


@pytest.mark.parametrize(("stage", "traffic", "passed", "expected"), STAGES.values(), ids=list(STAGES))
def test_the_order_of_a_withdrawal(
    stage: Stage, traffic: Traffic | None, passed: timedelta, expected: Stage | None
) -> None:
    """Weight 0, verified; then the tasks end; then the pods go; then it is blocked."""
    found = after(Aborting(upgrade(), stage, NOW - passed, HARM), seen(traffic=traffic)).rollout
    if expected is None:
        assert found == Failed(STABLE, CANDIDATE, NOW, "RolledBack", "Harm: worse")
    else:
        assert isinstance(found, Aborting)
        assert found.stage is expected
        assert machine.weight(found, wanted()) == 0
        assert CANDIDATE in live_revisions(found)


@pytest.mark.parametrize("revision", [STABLE, THIRD])
def test_a_withdrawal_keeps_its_order_whatever_is_wanted(revision: str) -> None:
    """A new spec in mid-abort changes nothing of the abort; it is tried when the old candidate is gone."""
    rollout = Aborting(upgrade(), Stage.DRAINING, NOW, HARM)
    assert after(rollout, seen(traffic=verified(1, 9)), revision=revision).rollout == rollout
    gone = after(Aborting(upgrade(), Stage.SCALING_DOWN, T0, HARM), revision=revision).rollout
    assert stable_of(gone) == STABLE
    assert candidate_of(gone) in {None, THIRD}


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("Hold", Held),
        ("Rollback", Aborting),
        ("Promote", AwaitingApproval),
        ("RequireApproval", AwaitingApproval),
        ("Replay", Replaying),
    ],
)
def test_evidence_that_runs_out(then: str, expected: type[Rollout]) -> None:
    """After maxTasks without a verdict, onInconclusive says what happens; the weight stays meanwhile."""
    undecided = capital(stable_bad=2, candidate_bad=5, tasks=30)
    decision = after(Collecting(at(SECOND)), seen(capital=undecided), analysis={"maxTasks": 50, "onInconclusive": then})
    assert isinstance(decision.rollout, expected)
    if isinstance(decision.rollout, AwaitingApproval) and then == "RequireApproval":
        assert decision.rollout.is_about_evidence
        assert machine.weight(decision.rollout, wanted()) == 50


UNSURE = capital(stable_bad=2, candidate_bad=5, tasks=30)
INSTEAD: dict[str, tuple[Trial | None, type[Rollout], str]] = {
    "it runs": (RUNNING, Replaying, ""),
    "nobody can say": (None, Replaying, ""),
    "it shows no worse": (PASSED, AwaitingApproval, "ReplayPassed"),
    "it shows worse": (WORSE, Aborting, "RollingBack"),
    "it shows neither": (UNDECIDED, Held, "RolloutHeld"),
}


@pytest.mark.parametrize(("trial", "expected", "told"), INSTEAD.values(), ids=list(INSTEAD))
def test_a_replay_decides_where_live_tasks_do_not(trial: Trial | None, expected: type[Rollout], told: str) -> None:
    """Its weight stays meanwhile; if that does not decide either, it holds, and is not run again and again."""
    rules: dict[str, Any] = {"analysis": {"maxTasks": 50, "onInconclusive": "Replay"}}
    begun = Replaying(at(SECOND), is_about_evidence=True)
    assert machine.weight(begun, wanted()) == 50
    decision = after(begun, seen(capital=UNSURE, replay=trial), **rules)
    assert isinstance(decision.rollout, expected)
    assert not told or told in [each.reason for each in decision.outcomes]
    if isinstance(decision.rollout, Held):
        assert after(decision.rollout, seen(capital=UNSURE, replay=trial), **rules).rollout == decision.rollout


def stepwise(tasks: int, candidate_bad: int = 0) -> Evidence:
    """So many tasks of each arm, of which a step must show that they are worse by less than twenty points."""
    before = capital(candidate_bad=candidate_bad, tasks=tasks)
    observed = [
        Observation(2 * n + arm, bool(arm), 0.5, NOW, T0, {"success": float(bool(arm) and n < candidate_bad)})
        for n in range(tasks)
        for arm in (0, 1)
    ]
    account = fold(Capital.begin([Metric("success", 0.1, step_margin=0.2)]), observed, NOW)
    assert account.peak == pytest.approx(before.peak)
    return seen(capital=account)


@pytest.mark.parametrize(
    ("known", "rises"),
    [(stepwise(21), False), (stepwise(60), True), (stepwise(60, 3), False), (stepwise(150, 3), True)],
    ids=["too little is known", "enough", "some bad ones", "some bad ones of many"],
)
def test_a_weight_is_raised_when_the_harm_is_bounded(known: Evidence, rises: bool) -> None:
    """Enough tasks and time are not enough: it must be shown to be worse by less than the margin of a step."""
    assert known.capital is not None
    assert known.capital.candidate_tasks > 20
    assert isinstance(after(Collecting(at(FIRST)), known).rollout, Paused) is rises


def test_spent_exposure_raises_no_weight() -> None:
    """What may have no more tasks may have no larger share of them."""
    spent: dict[str, Any] = {"analysis": {"exposure": {"maxCandidateTasks": 30}}}
    assert isinstance(after(Collecting(at(FIRST)), **spent).rollout, Held)
    ended: dict[str, Any] = {"analysis": {"maxTasks": 50}}
    assert isinstance(after(Collecting(at(FIRST)), **ended).rollout, Held)


def test_extra_failures_are_a_budget() -> None:
    """Estimated from both arms: what stable would have failed as well is not the candidate's cost."""
    costly, usual = capital(3, 8, tasks=40), capital(8, 8, tasks=40)
    limited: dict[str, Any] = {"analysis": {"exposure": {"maxExtraFailures": 4}}}
    held = after(Collecting(at(SECOND)), seen(capital=costly), **limited).rollout
    assert isinstance(held, Held)
    assert held.reason == "ExposureSpent"
    assert "bad outcomes more than stable" in held.message
    assert isinstance(after(Collecting(at(SECOND)), seen(capital=usual), **limited).rollout, Collecting)
    # An estimate that falls a little below the limit again is no reason to go on.
    assert isinstance(after(held, seen(capital=capital(3, 6, tasks=40)), **limited).rollout, Held)
    assert isinstance(after(held, seen(capital=usual), **limited).rollout, Collecting)


def test_spent_exposure_holds_until_there_is_a_verdict() -> None:
    """The weight stays, nothing is promoted; a verdict from tasks that were under way leads on."""
    spent: dict[str, Any] = {"analysis": {"exposure": {"maxCandidateTasks": 30}}}
    held = after(Collecting(at(SECOND)), **spent).rollout
    assert isinstance(held, Held)
    assert held.reason == "ExposureSpent"
    assert after(held, **spent).rollout == held
    assert isinstance(after(held, seen(capital=ENOUGH), **spent).rollout, AwaitingApproval)


@pytest.mark.parametrize("rollout", AT_STEPS.values(), ids=list(AT_STEPS))
def test_deadlines_stop_for_people_and_evidence(rollout: Rollout) -> None:
    """A year of waiting for people, tasks or a pause is no failure; only pods that do not come are."""
    found = after(rollout, seen(exam=RUNNING, replay=RUNNING, mirror=RUNNING, capital=FEW), now=T0 + timedelta(days=6))
    assert isinstance(found.rollout, Aborting) is isinstance(rollout, Promoting)


def test_changed_steps_begin_anew() -> None:
    """An index into other steps means nothing: the first of them is next, and the evidence stays."""
    decision = after(Collecting(at(FIRST)), seen(exam=RUNNING), steps=[{"weight": 5}, {"weight": 50}])
    found = decision.rollout
    assert isinstance(found, Collecting)
    assert (found.place.step, found.place.upgrade.id) == (0, "u")
    assert found.place.upgrade.steps_hash != wanted().steps_hash


def test_a_frozen_upgrade_may_only_go_back() -> None:
    """Nothing is begun and nothing goes on; harm still withdraws."""
    frozen = replace(wanted(), freeze="it is December")
    assert decide(frozen, Settled(STABLE), seen(), NOW).rollout == Settled(STABLE)
    assert decide(frozen, Collecting(at(FIRST)), seen(), NOW).rollout == Collecting(at(FIRST))
    assert isinstance(decide(frozen, Collecting(at(FIRST)), seen(capital=HARMFUL), NOW).rollout, Aborting)


def test_without_pods_an_upgrade_rests() -> None:
    """A suspended agent's upgrade stays where it is."""
    assert after(Collecting(at(FIRST)), replicas=0).rollout == Collecting(at(FIRST))


def test_the_first_revision_skips_the_steps() -> None:
    """There is nothing to compare it with."""
    assert decide(wanted(), None, Evidence({CANDIDATE: WHOLE}), NOW).rollout == Settled(CANDIDATE)


def test_a_lost_record_proves_no_candidate() -> None:
    """With both ready and no record, the one that is not wanted is taken for the stable: steps are gone through."""
    found = decide(wanted(), None, Evidence({STABLE: WHOLE, CANDIDATE: READY}), NOW).rollout
    assert (stable_of(found), candidate_of(found)) == (STABLE, CANDIDATE)


def test_an_alarm_of_the_watch_brings_the_old_one_back() -> None:
    """The bad one serves until the old one's pods are ready; then it is blocked."""
    watching = Watching(upgrade(), T0, NOW + timedelta(1), keeps_previous=False)
    alarm = seen(alarm="12 of 30 bad", revisions={CANDIDATE: WHOLE})
    reverting = after(watching, alarm).rollout
    assert isinstance(reverting, Reverting)
    assert stable_of(reverting) == CANDIDATE
    assert set(live_revisions(reverting)) == {STABLE, CANDIDATE}
    back = after(reverting, seen(revisions={STABLE: WHOLE, CANDIDATE: WHOLE})).rollout
    assert isinstance(back, Aborting)
    assert (stable_of(back), back.stage, back.cause.reason) == (STABLE, Stage.WITHDRAWING, "WatchAlarm")


PLACES = st.builds(Place, st.just(upgrade()), st.integers(0, 7), st.sampled_from([T0, NOW]), st.sampled_from([0, 25]))
ON_STEPS: st.SearchStrategy[Any] = st.one_of(
    *(st.builds(kind, PLACES) for kind in (Examining, Replaying, Mirroring, Collecting, Stopped, Unanswered)),
    st.builds(Paused, PLACES, st.sampled_from([None, NOW])),
    st.builds(AwaitingApproval, PLACES, st.booleans()),
    st.builds(Replaying, PLACES, st.booleans()),
    st.builds(Held, PLACES, st.sampled_from(["Inconclusive", "ExposureSpent"]), st.just("")),
    st.builds(Promoting, PLACES, st.just("")),
)
ROLLOUTS: st.SearchStrategy[Any] = st.one_of(
    ON_STEPS,
    st.builds(Settled, st.just(STABLE)),
    st.builds(Progressing, st.just(STABLE), st.just(CANDIDATE), st.just(T0)),
    st.builds(Starting, st.just(upgrade()), st.just(T0)),
    st.builds(Aborting, st.just(upgrade()), st.sampled_from(Stage), st.sampled_from([T0, NOW]), st.just(HARM)),
    st.builds(Watching, st.just(upgrade()), st.just(T0), st.sampled_from([NOW, NOW + timedelta(1)]), st.booleans()),
    st.builds(Reverting, st.just(upgrade()), st.just(T0), st.just(HARM)),
    st.just(Failed(STABLE, CANDIDATE, T0, "RolledBack", "")),
)
TRIALS = st.sampled_from([None, PASSED, WORSE, UNDECIDED, RUNNING])
PODS = st.sampled_from([READY, WHOLE, DOWN, CRASHING])
EVIDENCE = st.builds(
    Evidence,
    revisions=st.dictionaries(st.sampled_from([STABLE, CANDIDATE, THIRD]), PODS),
    capital=st.sampled_from([None, FEW, SOME, ENOUGH, HARMFUL]),
    traffic=st.sampled_from([None, QUIET, verified(0, 0), verified(3, 9)]),
    outage=st.sampled_from([None, "away"]),
    exam=TRIALS,
    replay=TRIALS,
    mirror=TRIALS,
    answer=st.sampled_from([None, *Answer]),
    alarm=st.sampled_from([None, "worse"]),
)
FACTS = st.fixed_dictionaries(
    {
        "wanted": st.builds(wanted, st.sampled_from([STABLE, CANDIDATE, THIRD]), replicas=st.integers(0, 2)),
        "rollout": ROLLOUTS,
        "evidence": EVIDENCE,
        "now": st.sampled_from([NOW, NOW + timedelta(days=3)]),
    }
)


@given(FACTS)
def test_the_same_facts_lead_no_further(facts: dict[str, Any]) -> None:
    """Asked again with what was decided, nothing changes and nothing is told: level, not edge."""
    first = decide(**facts)
    again = decide(**{**facts, "rollout": first.rollout})
    assert again.rollout == first.rollout
    assert again.outcomes == ()
    assert again.ended is None


@given(FACTS)
def test_only_a_proven_candidate_becomes_stable(facts: dict[str, Any]) -> None:
    """Another revision is stable only after all steps, with all its pods; or when the one before is brought back."""
    rollout, found = facts["rollout"], decide(**facts).rollout
    if stable_of(found) != stable_of(rollout):
        is_proven = isinstance(rollout, Promoting | AwaitingApproval | Collecting | Held | Paused | Progressing)
        assert is_proven or isinstance(rollout, Reverting | Watching)
        seen_of = facts["evidence"].of(stable_of(found))
        assert seen_of is not None
        assert seen_of.is_proven


@given(FACTS)
def test_a_withdrawn_candidate_gets_nothing(facts: dict[str, Any]) -> None:
    """A revision that is blocked or withdrawn has no weight and no mirror."""
    found = decide(**facts).rollout
    if blocked_of(found) or isinstance(found, Aborting):
        assert machine.weight(found, facts["wanted"]) == machine.mirror(found, facts["wanted"]) == 0


@given(FACTS)
def test_weights_stay_within_their_step(facts: dict[str, Any]) -> None:
    """No phase gives the candidate more than the last weight that its steps have reached."""
    found = decide(**facts).rollout
    current = upgrade_of(found)
    if current is None or current.candidate != facts["wanted"].revision:
        return
    place = getattr(found, "place", None)
    most = facts["wanted"].weight_at(place.step) if place else 0
    assert machine.weight(found, facts["wanted"]) <= most


@given(FACTS)
def test_a_blocked_revision_is_not_tried_again(facts: dict[str, Any]) -> None:
    """Until something else is wanted."""
    if isinstance(facts["rollout"], Failed) and facts["wanted"].revision == CANDIDATE:
        assert decide(**facts).rollout == facts["rollout"]


@given(FACTS)
def test_what_serves_keeps_its_pods(facts: dict[str, Any]) -> None:
    """The stable revision is among those that are live, whatever happens."""
    found = decide(**facts).rollout
    assert stable_of(found) in live_revisions(found)
