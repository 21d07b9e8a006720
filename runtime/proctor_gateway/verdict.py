"""An attempt is over: how does the task end, or may it be dispatched again?

The rule that everything here serves: the truth, never a blind repeat. A task is dispatched again only while nothing
that it did could be done twice; an effect whose outcome nobody knows makes the task Indeterminate, whatever else
happened to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from proctor_gateway.calls import Call, CallState
from proctor_gateway.reasons import ENDINGS, Reason
from proctor_gateway.tasks import Fault, Phase

_SHOWN = 8


@dataclass(frozen=True)
class Answered:
    """The agent gave an answer of the declared form."""

    output: Any


@dataclass(frozen=True)
class Broke:
    """This attempt gave no good answer, and another would not be a remedy. `output` is a refused answer, if any."""

    fault: Fault
    output: Any = None


@dataclass(frozen=True)
class Stopped:
    """Someone ended it: the caller, or the agent's `suspend`."""

    fault: Fault


@dataclass(frozen=True)
class Lost:
    """The pod or the gateway went away in the middle: nobody knows what the answer would have been."""

    fault: Fault


@dataclass(frozen=True)
class NotTaken:
    """The pod never took the task: nothing was sent, or it said that it takes none."""

    fault: Fault


AttemptEnd = Answered | Broke | Stopped | Lost | NotTaken


@dataclass(frozen=True)
class Again:
    """Dispatch the task again."""


@dataclass(frozen=True)
class End:
    """The task is over."""

    phase: Phase
    output: Any
    fault: Fault | None


@dataclass(frozen=True)
class Bounds:
    """How often a task may lose what works on it, and until when it may be dispatched. `losses` counts this end."""

    losses: int
    max_losses: int
    deadline: datetime
    now: datetime


def judge(end: AttemptEnd, calls: Sequence[Call], bounds: Bounds) -> Again | End:
    """What follows from the way in which the attempt ended. `calls` are those of all attempts."""
    effects = [call for call in calls if call.may_have_changed_something]
    if any(call.is_open for call in effects):
        return _indeterminate(end, effects)
    match end:
        case Answered(output=output):
            return End(Phase.SUCCEEDED, output, None)
        case Broke(fault=fault, output=output):
            return End(Phase.FAILED, output, _with(fault, effects))
        case Stopped(fault=fault):
            phase = Phase.CANCELLED if fault.reason is Reason.CANCELLED else Phase.FAILED
            return End(phase, None, _with(fault, effects))
        case Lost(fault=fault) | NotTaken(fault=fault):
            return _again_or_end(fault, effects, bounds)
        case _:
            assert_never(end)


def _again_or_end(fault: Fault, effects: Sequence[Call], bounds: Bounds) -> Again | End:
    if effects:
        message = f"{fault.message}; not dispatched again, because effects happened"
        return End(Phase.FAILED, None, _with(Fault(fault.reason, message), effects))
    if bounds.now >= bounds.deadline:
        return End(Phase.FAILED, None, Fault(Reason.TIMEOUT, f"{fault.message}; no time is left to dispatch it again"))
    if bounds.losses >= bounds.max_losses:
        return End(Phase.FAILED, None, Fault(fault.reason, f"{fault.message}; lost {bounds.losses} times"))
    return Again()


def _indeterminate(end: AttemptEnd, effects: Sequence[Call]) -> End:
    output = end.output if isinstance(end, Answered | Broke) else None
    if isinstance(end, Answered):
        said = Fault(Reason.OUTCOME_UNKNOWN, "the agent answered, but what became of an effect is not known")
    else:
        said = end.fault
    return End(Phase.INDETERMINATE, output, _with(said, effects))


def _with(fault: Fault, effects: Sequence[Call]) -> Fault:
    if not effects:
        return fault
    told = "; ".join(_told(call) for call in effects[:_SHOWN])
    more = f"; and {len(effects) - _SHOWN} more" if len(effects) > _SHOWN else ""
    return Fault(fault.reason, f"{fault.message}. Effects: {told}{more}")


def _told(call: Call) -> str:
    words = {
        CallState.SUCCEEDED: "succeeded",
        CallState.FAILED: "failed, as the system says",
        CallState.STARTED: "outcome unknown",
        CallState.UNKNOWN: "outcome unknown",
        CallState.DENIED: "denied",
    }
    return f"{call.intent.connector}/{call.intent.name} {words[call.outcome.state]} (call {call.id})"


def fault_of(said: Reason | None, detail: str, calls: Sequence[Call]) -> Fault:
    """Why an agent that answered with an error did so. What the gateway itself saw last is believed before the agent.

    An agent that is denied a call, or whose model is away, can only pass that on; its own word for it may differ.
    """
    last = max(calls, key=lambda call: call.sequence, default=None)
    seen = last.outcome.fault if last is not None else None
    if seen is not None and seen.reason in ENDINGS:
        return Fault(seen.reason, f"{detail} (last call: {seen.message})")
    if said is not None and said in ENDINGS:
        return Fault(said, detail)
    return Fault(Reason.AGENT_ERROR, detail)
