"""What a person says to an upgrade: what it does, where it is refused, and that it is said once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.delivery import machine
from proctor.delivery.decision import Decision
from proctor.delivery.facts import Answer, Command, Evidence, Verb
from proctor.delivery.machine import decide
from proctor.delivery.phases import (
    Aborting,
    AwaitingApproval,
    Collecting,
    Examining,
    Failed,
    Held,
    Paused,
    Progressing,
    Promoting,
    Rollout,
    Settled,
    Stage,
    Starting,
    Stopped,
    Unanswered,
    Watching,
    stable_of,
)
from tests.delivery.test_steps import (
    CANDIDATE,
    EXAM,
    FACTS,
    FIRST,
    HARM,
    LAST,
    NOW,
    PAUSE,
    SECOND,
    STABLE,
    T0,
    THIRD,
    at,
    seen,
    upgrade,
    wanted,
)

BLOCKED = Failed(STABLE, CANDIDATE, T0, "RolledBack", "Harm: worse", 1)


def told(
    verb: Verb, rollout: Rollout, evidence: Evidence | None = None, revision: str = CANDIDATE, wish: str = CANDIDATE
) -> Decision:
    """What is decided when somebody says so."""
    return decide(wanted(wish), rollout, evidence or seen(), NOW, Command(verb, revision))


DONE: dict[str, tuple[Verb, Rollout, type[object]]] = {
    "past an exam": (Verb.PROMOTE, Examining(at(EXAM)), object),
    "past a weight": (Verb.PROMOTE, Collecting(at(FIRST)), Paused),
    "past a pause": (Verb.PROMOTE, Paused(at(PAUSE), None), AwaitingApproval),
    "past what is held": (Verb.PROMOTE, Held(at(FIRST), "Inconclusive", ""), Paused),
    "abort at a weight": (Verb.ABORT, Collecting(at(FIRST)), Aborting),
    "abort while people are asked": (Verb.ABORT, AwaitingApproval(at(SECOND)), Aborting),
    "abort while it is promoted": (Verb.ABORT, Promoting(at(7), ""), Aborting),
    "abort before its first step": (Verb.ABORT, Starting(upgrade(), T0), Failed),
    "abort without steps": (Verb.ABORT, Progressing(STABLE, CANDIDATE, T0), object),
    "pause": (Verb.PAUSE, Collecting(at(FIRST)), Stopped),
    "resume": (Verb.RESUME, Stopped(at(FIRST, offset=30)), Collecting),
    "ask again": (Verb.RESUME, Unanswered(at(SECOND)), AwaitingApproval),
    "retry": (Verb.RETRY, BLOCKED, object),
}


@pytest.mark.parametrize(("verb", "rollout", "expected"), DONE.values(), ids=list(DONE))
def test_what_a_command_does(verb: Verb, rollout: Rollout, expected: type[object]) -> None:
    """Each verb where it makes sense; it is told as done."""
    decision = told(verb, rollout)
    assert isinstance(decision.rollout, expected)
    assert decision.rollout != rollout
    reasons = [each.reason for each in decision.outcomes]
    assert "CommandRefused" not in reasons
    assert reasons


REFUSED: dict[str, tuple[Verb, Rollout]] = {
    "promote what is not asked about": (Verb.PROMOTE, Settled(STABLE)),
    "promote past an approval": (Verb.PROMOTE, AwaitingApproval(at(SECOND))),
    "promote past silence": (Verb.PROMOTE, Unanswered(at(SECOND))),
    "promote all of it past an approval to come": (Verb.PROMOTE_FULL, Collecting(at(FIRST))),
    "promote what is withdrawn": (Verb.PROMOTE, Aborting(upgrade(), Stage.DRAINING, NOW, HARM)),
    "abort what is withdrawn": (Verb.ABORT, Aborting(upgrade(), Stage.DRAINING, NOW, HARM)),
    "retry what is not refused": (Verb.RETRY, Collecting(at(FIRST))),
    "resume what is not paused": (Verb.RESUME, Collecting(at(FIRST))),
    "pause while people are asked": (Verb.PAUSE, AwaitingApproval(at(SECOND))),
    "pause a watch": (Verb.PAUSE, Watching(upgrade(), T0, NOW.replace(year=2027), keeps_previous=False)),
}


@pytest.mark.parametrize(("verb", "rollout"), REFUSED.values(), ids=list(REFUSED))
def test_where_a_command_is_refused(verb: Verb, rollout: Rollout) -> None:
    """A command never stands for an Approval; what cannot be done is refused with a reason, and nothing moves."""
    few = seen(capital=None, outage="away", traffic=None)
    wish = STABLE if isinstance(rollout, Settled) else CANDIDATE
    decision = told(verb, rollout, few, wish=wish)
    assert decision.rollout == rollout
    assert [each.reason for each in decision.outcomes] == ["CommandRefused"]
    assert decision.outcomes[0].is_warning


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.UNDO])
def test_a_command_about_another_revision_is_refused(verb: Verb) -> None:
    """What was meant for a candidate that is gone must not strike the next one."""
    rollout = BLOCKED if verb is Verb.RETRY else Collecting(at(FIRST))
    decision = told(verb, rollout, seen(capital=None, outage="away"), revision=THIRD)
    assert decision.rollout == rollout
    assert decision.outcomes[0].reason == "CommandRefused"


def test_promote_full_skips_the_rest_where_nobody_is_to_be_asked() -> None:
    """A named decision of a person, told as such."""
    plain = wanted(steps=[{"weight": 10}, {"weight": 50}])
    first = Collecting(at(0))
    # The index counts by these steps.
    upgraded = decide(plain, first, seen(capital=None, outage="away"), NOW).rollout
    decision = decide(plain, upgraded, seen(capital=None, outage="away"), NOW, Command(Verb.PROMOTE_FULL, CANDIDATE))
    assert isinstance(decision.rollout, Promoting)
    assert machine.weight(decision.rollout, plain) == 50


def test_an_abort_by_a_person_blocks() -> None:
    """It is withdrawn in order, and not tried again by itself."""
    aborting = told(Verb.ABORT, Collecting(at(FIRST))).rollout
    assert isinstance(aborting, Aborting)
    assert aborting.cause.blocks
    gone = decide(wanted(), Aborting(upgrade(), Stage.SCALING_DOWN, T0, aborting.cause), seen(), NOW).rollout
    assert isinstance(gone, Failed)
    assert (gone.blocked, gone.reason) == (CANDIDATE, "Aborted")
    assert decide(wanted(), gone, seen(), NOW).rollout == gone


def test_a_retry_is_another_attempt_with_another_name() -> None:
    """Arms are drawn anew; the attempts are counted."""
    again = told(Verb.RETRY, BLOCKED, seen(revisions={STABLE: seen().revisions[STABLE]}, capital=None)).rollout
    assert isinstance(again, Starting)
    assert again.upgrade.attempts == BLOCKED.attempts + 1
    assert again.upgrade.id != upgrade().id


def test_a_pause_keeps_the_weight_and_what_was_counted() -> None:
    """Tasks of the step count on when it goes on."""
    stopped = told(Verb.PAUSE, Collecting(at(FIRST, offset=12))).rollout
    assert machine.weight(stopped, wanted()) == 10
    resumed = told(Verb.RESUME, stopped, seen(capital=None, outage="away")).rollout
    assert isinstance(resumed, Collecting)
    assert resumed.place.offset == 12


def test_a_paused_step_that_was_approved_is_not_asked_about_again() -> None:
    """People were asked before it began."""
    stopped = Stopped(at(SECOND))
    assert isinstance(told(Verb.RESUME, stopped, seen(capital=None, outage="away")).rollout, Collecting)


def test_an_approval_of_the_last_step_promotes() -> None:
    """The candidate gets all its pods first."""
    decision = decide(wanted(), AwaitingApproval(at(LAST)), seen(answer=Answer.APPROVED), NOW)
    assert isinstance(decision.rollout, Promoting)


@given(FACTS, st.sampled_from(Verb), st.sampled_from([STABLE, CANDIDATE, THIRD]))
def test_no_word_leaps(facts: dict[str, Any], verb: Verb, revision: str) -> None:
    """Whatever is said, wherever the upgrade is: nothing unproven serves, and the next look finds nothing to tell."""
    command = Command(verb, revision)
    decision = decide(**facts, command=command)
    after, before = stable_of(decision.rollout), stable_of(facts["rollout"])
    if after != before:
        seen_of = facts["evidence"].of(after)
        assert seen_of is not None
        assert seen_of.is_proven
    again = decide(**{**facts, "rollout": decision.rollout})
    assert again.rollout == decision.rollout
    assert again.outcomes == ()
