"""How a task ends, and whether it may run again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from proctor.api.connector import Effect
from proctor_gateway.rules.calls import Call, CallState, Intent, Kind, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Phase
from proctor_gateway.rules.verdict import (
    Again,
    Answered,
    Bounds,
    Broke,
    End,
    Lost,
    NotTaken,
    Pause,
    Stopped,
    fault_of,
    judge,
)

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOST = Lost(Fault(Reason.INTERRUPTED, "pod one went away"))
NOT_TAKEN = NotTaken(Fault(Reason.AGENT_UNAVAILABLE, "pod one: no connection"))
CANCELLED = Stopped(Fault(Reason.CANCELLED, "the caller cancelled the task"))
SUSPENDED = Stopped(Fault(Reason.SUSPENDED, "the agent was suspended"))
BROKE = Broke(Fault(Reason.AGENT_ERROR, "the agent failed"))


def call(
    state: CallState,
    effect: Effect = Effect.ONCE,
    *,
    touched: bool = True,
    sequence: int = 1,
    fault: Fault | None = None,
) -> Call:
    """A call of a tool."""
    intent = Intent("t", 1, Kind.TOOL, "payments", "refund", effect, {"amount": 1})
    return Call(f"t.{sequence}", sequence, intent, Outcome(state, touched=touched, fault=fault), T0, None)


READ = call(CallState.SUCCEEDED, Effect.READ)
OPEN_READ = call(CallState.UNKNOWN, Effect.READ)
PAID = call(CallState.SUCCEEDED)
FAILED = call(CallState.FAILED)
UNSENT = call(CallState.FAILED, touched=False)
DENIED = call(CallState.DENIED)
STARTED = call(CallState.STARTED)
UNKNOWN = call(CallState.UNKNOWN)
UNKNOWN_IDEMPOTENT = call(CallState.UNKNOWN, Effect.IDEMPOTENT)
UNKNOWN_VERIFY = call(CallState.UNKNOWN, Effect.VERIFY)
WAITING = call(CallState.WAITING, touched=False)
ASKED_BEFORE = replace(WAITING, seen=0)
DIVERGED = call(CallState.DENIED, touched=False, fault=Fault(Reason.DIVERGED, "asks something else"))

CASES = {
    "an answer": (Answered(1), [], "Succeeded", None),
    "an answer after effects": (Answered(1), [PAID, READ], "Succeeded", None),
    "an answer, but nobody knows of an effect": (Answered(1), [UNKNOWN], "Indeterminate", "OutcomeUnknown"),
    "an answer while an effect is under way": (Answered(1), [STARTED], "Indeterminate", "OutcomeUnknown"),
    "an answer, and a read that nobody knows of": (Answered(1), [OPEN_READ], "Succeeded", None),
    "no good answer": (BROKE, [PAID], "Failed", "AgentError"),
    "no good answer, and an unknown effect": (BROKE, [UNKNOWN_IDEMPOTENT], "Indeterminate", "AgentError"),
    "lost before anything was done": (LOST, [], "again", None),
    "lost after reads": (LOST, [READ, OPEN_READ], "again", None),
    "lost after a denied effect": (LOST, [DENIED], "again", None),
    "lost after an effect that was never sent": (LOST, [UNSENT], "again", None),
    "lost after an effect": (LOST, [PAID], "again", None),
    "lost after an effect that failed": (LOST, [FAILED], "again", None),
    "lost while an effect was under way that carries a key": (LOST, [UNKNOWN_IDEMPOTENT], "again", None),
    "lost while an effect was under way that can be verified": (LOST, [UNKNOWN_VERIFY], "again", None),
    "lost while one that can be found out was under way, and one that cannot": (
        LOST,
        [UNKNOWN_VERIFY, UNKNOWN],
        "Indeterminate",
        "Interrupted",
    ),
    "lost while an effect was under way": (LOST, [STARTED], "Indeterminate", "Interrupted"),
    "lost after an unknown effect": (LOST, [READ, UNKNOWN], "Indeterminate", "Interrupted"),
    "not taken": (NOT_TAKEN, [], "again", None),
    "not taken after an effect of before": (NOT_TAKEN, [PAID], "again", None),
    "an answer without an effect of before": (Answered(1), [PAID], "Indeterminate", "Diverged"),
    "an error without an effect of before": (BROKE, [PAID], "Failed", "AgentError"),
    "another effect than before": (BROKE, [DIVERGED], "Indeterminate", "Diverged"),
    "lost after it went another way": (LOST, [DIVERGED], "Indeterminate", "Diverged"),
    "people are asked": (Stopped(Fault(Reason.INPUT_REQUIRED, "x")), [WAITING], "pause", None),
    "people are asked, and the agent says so": (BROKE, [WAITING], "pause", None),
    "people are asked, and the agent answers all the same": (Answered(1), [WAITING, PAID], "pause", None),
    "people are asked, and the pod dies": (LOST, [WAITING], "pause", None),
    "people are asked while an effect was under way": (BROKE, [WAITING, STARTED], "Indeterminate", "AgentError"),
    "people are asked while one that carries a key was": (BROKE, [WAITING, UNKNOWN_IDEMPOTENT], "pause", None),
    "people were asked by an attempt before": (Answered(1), [ASKED_BEFORE], "Succeeded", None),
    "lost after people were asked by an attempt before": (LOST, [ASKED_BEFORE], "again", None),
    "stopped for what an attempt before had asked": (
        Stopped(Fault(Reason.INPUT_REQUIRED, "x")),
        [ASKED_BEFORE],
        "again",
        None,
    ),
    "cancelled while people are asked": (CANCELLED, [WAITING], "Cancelled", "Cancelled"),
    "cancelled": (CANCELLED, [], "Cancelled", "Cancelled"),
    "cancelled after an effect": (CANCELLED, [PAID], "Cancelled", "Cancelled"),
    "cancelled while an effect was under way": (CANCELLED, [STARTED], "Indeterminate", "Cancelled"),
    "suspended": (SUSPENDED, [READ], "Failed", "Suspended"),
    "suspended while an effect was under way": (SUSPENDED, [UNKNOWN], "Indeterminate", "Suspended"),
}


def bounds(losses: int = 1, seconds: float = 30, attempt: int = 1) -> Bounds:
    """Three losses are too many; the deadline is in so many seconds."""
    return Bounds(losses, 3, T0 + timedelta(seconds=seconds), T0, attempt)


@pytest.mark.parametrize(("end", "calls", "phase", "reason"), CASES.values(), ids=CASES)
def test_the_truth_and_never_a_blind_repeat(end, calls, phase, reason):
    """A task runs again only while every effect is known or can be found out; an unknown one is said to be one."""
    attempt = 2 if reason == "Diverged" or phase == "Failed" else 1
    decision = judge(end, calls, bounds(attempt=attempt))
    if phase in {"again", "pause"}:
        assert decision == (Again() if phase == "again" else Pause())
        return
    assert isinstance(decision, End)
    assert (decision.phase, decision.fault.reason if decision.fault else None) == (phase, reason)


def test_the_message_says_which_effects_happened():
    """A person who reads the error knows what was done, and what nobody knows of."""
    end = judge(LOST, [PAID, call(CallState.UNKNOWN, sequence=2)], bounds())
    assert isinstance(end, End)
    assert end.fault is not None
    assert "payments/refund succeeded (call t.1)" in end.fault.message
    assert "payments/refund outcome unknown (call t.2)" in end.fault.message


def test_many_effects_are_counted():
    """The message stays readable."""
    end = judge(BROKE, [call(CallState.SUCCEEDED, sequence=number) for number in range(20)], bounds())
    assert isinstance(end, End)
    assert end.fault is not None
    assert "and 12 more" in end.fault.message


def test_an_answer_is_kept_although_it_is_not_good():
    """What the agent said is there to be read, whatever the phase."""
    end = judge(Broke(Fault(Reason.INVALID_OUTPUT, "no decision"), {"x": 1}), [], bounds())
    assert end == End(Phase.FAILED, {"x": 1}, Fault(Reason.INVALID_OUTPUT, "no decision"))
    assert judge(Answered({"x": 1}), [UNKNOWN], bounds()).output == {"x": 1}


def test_a_task_is_not_begun_again_for_ever():
    """A task that kills its pods is given up."""
    assert judge(LOST, [], bounds(losses=2)) == Again()
    end = judge(LOST, [], bounds(losses=3))
    assert isinstance(end, End)
    assert (end.phase, end.fault.reason) == (Phase.FAILED, Reason.INTERRUPTED)
    unknown = judge(LOST, [UNKNOWN_IDEMPOTENT], bounds(losses=3))
    assert isinstance(unknown, End)
    assert unknown.phase is Phase.INDETERMINATE


def test_a_task_is_not_begun_again_too_late():
    """After its deadline a task has failed for lack of time."""
    end = judge(NOT_TAKEN, [], bounds(seconds=0))
    assert isinstance(end, End)
    assert (end.phase, end.fault.reason) == (Phase.FAILED, Reason.TIMEOUT)


FAULTS = {
    "the agent's word": (Reason.REFUSED, None, "Refused"),
    "a word that only the gateway may use": (Reason.CANCELLED, None, "AgentError"),
    "no word": (None, None, "AgentError"),
    "the gateway saw the model away": (None, Reason.MODEL_UNAVAILABLE, "ModelUnavailable"),
    "the gateway saw something else than the agent says": (Reason.REFUSED, Reason.LIMIT_EXCEEDED, "LimitExceeded"),
    "the last call failed in a way of its own": (Reason.REFUSED, Reason.TOOL_ERROR, "Refused"),
}


@pytest.mark.parametrize(("said", "seen", "reason"), FAULTS.values(), ids=FAULTS)
def test_what_the_gateway_saw_is_believed_first(said, seen, reason):
    """An agent passes on why it was denied; the gateway knows it better."""
    last = [call(CallState.DENIED, fault=Fault(seen, "x"), sequence=2)] if seen else []
    assert fault_of(said, "it failed", [READ, *last]).reason == reason
