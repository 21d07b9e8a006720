"""Who answers when the agent cannot: another model or agent, people, a fixed reply, in the order of the spec. Pure.

A leg is tried once. After something was changed nobody begins anew: another model goes on only where the first did not
answer, so that what was asked before is answered from the journal; another agent does not know what was done, and so
is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from proctor.api.agent import Cause, Confidence, Fallback, Output
from proctor_gateway.rules.calls import Call
from proctor_gateway.rules.form import misfit
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault, Phase
from proctor_gateway.rules.verdict import End

_CAUSES: Final = {
    Reason.MODEL_UNAVAILABLE: Cause.MODEL_UNAVAILABLE,
    Reason.RATE_LIMITED: Cause.RATE_LIMITED,
    Reason.TIMEOUT: Cause.TIMEOUT,
    Reason.INVALID_OUTPUT: Cause.INVALID_OUTPUT,
    Reason.LOW_CONFIDENCE: Cause.LOW_CONFIDENCE,
    Reason.BUDGET_EXHAUSTED: Cause.BUDGET_EXHAUSTED,
    Reason.REFUSED: Cause.REFUSED,
}
_UNANSWERED: Final = {Reason.MODEL_UNAVAILABLE, Reason.RATE_LIMITED, Reason.BUDGET_EXHAUSTED}
"""The model said nothing: what it was asked can be asked of another, and the agent goes on as if nothing had been."""


@dataclass(frozen=True)
class Legs:
    """What the revision declares, how long a leg may take, and the agents that could answer, with their revisions."""

    fallbacks: Sequence[Fallback] = ()
    confidence: Confidence | None = None
    timeout: timedelta = timedelta(0)
    agents: Mapping[str, str] = field(default_factory=dict)
    output: Output | None = None
    """The form of an answer, whoever gives it."""


NONE: Final = Legs()


@dataclass(frozen=True)
class Hop:
    """The next leg, counted from 1. `continues`: what was asked before stays answered; else the leg begins anew."""

    leg: int
    fallback: Fallback
    continues: bool

    @property
    def name(self) -> str:
        """Who serves, as people read it."""
        if self.fallback.model is not None:
            return f"model/{self.fallback.model.connector}/{self.fallback.model.name}"
        if self.fallback.agent is not None:
            return f"agent/{self.fallback.agent}"
        return "human" if self.fallback.human is not None else "reply"


def checked(end: End, legs: Legs, *, is_another: bool) -> End:
    """The end, or why its answer is none: it is not as sure as it has to be, or does not say how sure it is.

    Another agent was held to what it declares itself; its answer must be of this one's form, too.
    """
    if end.phase is not Phase.SUCCEEDED:
        return end
    said = "the answer of the other agent"
    fault = misfit(end.output, legs.output, said) if is_another else _doubt(end.output, legs.confidence)
    return End(Phase.FAILED, end.output, fault) if fault else end


def _doubt(output: Any, confidence: Confidence | None) -> Fault | None:
    if confidence is None:
        return None
    value: Any = {"output": output}
    for step in confidence.from_.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value >= confidence.at_least:
        return None
    said = f"{confidence.from_} is {value:g}" if is_number else f"{confidence.from_} is not there"
    return Fault(Reason.LOW_CONFIDENCE, f"{said}; {confidence.at_least:g} is needed")


def next_hop(end: End, made: Sequence[Call], legs: Legs, tried: int) -> Hop | None:
    """The leg that is tried next after this end; None if the end stands. `tried` is the leg that ended so."""
    if end.phase is not Phase.FAILED or end.fault is None or end.fault.reason is Reason.SUSPENDED:
        return None
    reason = end.fault.reason
    is_changed = any(call.may_have_changed_something for call in made)
    continues = reason in _UNANSWERED
    for index, each in enumerate(legs.fallbacks[tried:], tried + 1):
        if Cause.ANY not in each.after and _CAUSES.get(reason) not in each.after:
            continue
        if each.agent is not None and (is_changed or each.agent not in legs.agents):
            continue
        if each.model is not None and is_changed and not continues:
            continue
        return Hop(index, each, continues and each.model is not None)
    return None
