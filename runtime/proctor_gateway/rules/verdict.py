"""An attempt is over: how does the task end, or may it be dispatched again?

The rule that everything here serves: the truth, never a blind repeat. A task that lost its pod or its gateway is
dispatched again: what it asked before is answered from the journal. An effect of which nobody knows whether it
happened, and which nothing can find out, makes the task Indeterminate, whatever else happened to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from proctor.api.connector import Effect
from proctor_gateway.rules.calls import Call, CallState
from proctor_gateway.rules.reasons import ENDINGS, Reason
from proctor_gateway.rules.tasks import Fault, Phase

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
class Pause:
    """People are asked. The task holds no pod until they have answered."""


@dataclass(frozen=True)
class End:
    """The task is over."""

    phase: Phase
    output: Any
    fault: Fault | None


@dataclass(frozen=True)
class Bounds:
    """How often a task may lose what works on it, and until when it may be dispatched. `losses` counts this end.

    `attempt` is the one that is over.
    """

    losses: int
    max_losses: int
    deadline: datetime
    now: datetime
    attempt: int = 1


def judge(end: AttemptEnd, calls: Sequence[Call], bounds: Bounds) -> Again | Pause | End:
    """What follows from the way in which the attempt ended. `calls` are those of all attempts."""
    effects = [call for call in calls if call.may_have_changed_something]
    diverged = _divergence(end, calls, effects, bounds)
    if diverged is not None:
        return _indeterminate(end, effects, diverged)
    unknown = [call for call in effects if call.is_open]
    goes_on = isinstance(end, Lost | NotTaken) or _waits(end, calls, bounds)
    if unknown and not (goes_on and all(_can_be_found_out(call) for call in unknown)):
        return _indeterminate(end, effects)
    return Pause() if _waits(end, calls, bounds) else _known(end, effects, bounds)


def _known(end: AttemptEnd, effects: Sequence[Call], bounds: Bounds) -> Again | End:
    """What follows where nothing stands in the way."""
    match end:
        case Answered(output=output):
            return End(Phase.SUCCEEDED, output, None)
        case Broke(fault=fault, output=output):
            return End(Phase.FAILED, output, _with(fault, effects))
        case Stopped(fault=fault) if fault.reason is Reason.INPUT_REQUIRED:
            # It was stopped for what the attempt before had asked.
            return _again_or_end(fault, effects, bounds)
        case Stopped(fault=fault):
            phase = Phase.CANCELLED if fault.reason is Reason.CANCELLED else Phase.FAILED
            return End(phase, None, _with(fault, effects))
        case Lost(fault=fault) | NotTaken(fault=fault):
            return _again_or_end(fault, effects, bounds)
        case _:
            assert_never(end)


def _waits(end: AttemptEnd, calls: Sequence[Call], bounds: Bounds) -> bool:
    """Whether a call of this attempt waits for people. The agent was told so: what it said then is no answer.

    What an earlier attempt asked and this one did not is not waited for.
    """
    if isinstance(end, Stopped) and end.fault.reason is not Reason.INPUT_REQUIRED:
        return False
    return any(call.outcome.state is CallState.WAITING and call.seen == bounds.attempt for call in calls)


def _can_be_found_out(call: Call) -> bool:
    """Whether the next attempt can settle what became of it: by sending it again under its key, or by its probe."""
    return call.intent.effect in {Effect.IDEMPOTENT, Effect.VERIFY}


def _divergence(end: AttemptEnd, calls: Sequence[Call], effects: Sequence[Call], bounds: Bounds) -> Fault | None:
    """How the attempt went another way than the one before it, after something was done."""
    for call in calls:
        fault = call.outcome.fault
        if fault is not None and fault.reason is Reason.DIVERGED:
            return fault
    if not isinstance(end, Answered) or _waits(end, calls, bounds):
        return None
    left_out = next((call for call in effects if call.seen < bounds.attempt), None)
    if left_out is None:
        return None
    what = f"{left_out.intent.connector}/{left_out.intent.name} (call {left_out.id})"
    said = f"attempt {bounds.attempt} answered without asking {what} again, which an earlier attempt had asked"
    return Fault(Reason.DIVERGED, said)


def _again_or_end(fault: Fault, effects: Sequence[Call], bounds: Bounds) -> Again | End:
    if bounds.now < bounds.deadline and bounds.losses < bounds.max_losses:
        return Again()
    late = bounds.now >= bounds.deadline
    reason = Reason.TIMEOUT if late else fault.reason
    why = "no time is left to dispatch it again" if late else f"lost {bounds.losses} times"
    phase = Phase.INDETERMINATE if any(call.is_open for call in effects) else Phase.FAILED
    return End(phase, None, _with(Fault(reason, f"{fault.message}; {why}"), effects))


def _indeterminate(end: AttemptEnd, effects: Sequence[Call], diverged: Fault | None = None) -> End:
    output = end.output if isinstance(end, Answered | Broke) else None
    if diverged is not None:
        said = diverged
    elif isinstance(end, Answered):
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
        CallState.WAITING: "waits for people",
    }
    return f"{call.intent.connector}/{call.intent.name} {words[call.outcome.state]} (call {call.id})"


def fault_of(said: Reason | None, detail: str, calls: Sequence[Call]) -> Fault:
    """Why an agent that answered with an error did so. What the gateway itself saw last is believed before the agent.

    An agent that is denied a call, or whose model is away, can only pass that on; its own word for it may differ.
    """
    last = max(calls, key=lambda call: call.sequence, default=None)
    seen = last.outcome.fault if last is not None else None
    if seen is not None and seen.reason in ENDINGS:
        # An agent that passes on what it was told need not be told it twice.
        return Fault(seen.reason, detail if seen.message in detail else f"{detail} (last call: {seen.message})")
    if said is not None and said in ENDINGS:
        return Fault(said, detail)
    return Fault(Reason.AGENT_ERROR, detail)
