"""The plan of a task: which tools it will call, said by a model that has seen nothing but trusted words.

Whoever wrote what a task reads later had no part in its plan. So a call that is in the plan was wanted before, and one
that is not may be somebody else's wish. The plan says which tools, how often, and which arguments stand from the
beginning; the other arguments are filled in later, and are held to the sinks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proctor.api import digest
from proctor.api.connector import Effect
from proctor.api.permissions import PlannedCalls, PlanRule
from proctor.policy import forms

_MOST_STEPS: Final = 64
_MOST_TIMES: Final = 100
_TASK: Final = (
    "You plan the calls of an assistant before it begins. You see who it is, what it is asked, and which tools it has; "
    'you call nothing yourself. Answer with JSON alone: {"steps": [{"tool": …, "times": …, "fixed": {…}}]}. Name every '
    "tool that it will need, as it is listed, and how often at most. Under fixed put the arguments whose values are "
    "known already from what it is asked; leave out those that it has to find out. What is not in the plan is not done."
)


@dataclass(frozen=True)
class Step:
    """Calls of one tool."""

    tool: str
    """As `connector/tool`."""
    times: int = 1
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a task will do. Without a plan, which `fault` explains, it will do nothing."""

    steps: tuple[Step, ...] = ()
    fault: str | None = None

    @property
    def text(self) -> str:
        """The plan in one line."""
        if self.fault is not None:
            return f"there is no plan, because {self.fault}"
        said = ", ".join(f"{each.tool} x{each.times}" if each.times > 1 else each.tool for each in self.steps)
        return f"the plan is {said or 'to call nothing'}"


def messages(instructions: str, asked: str, tools: Sequence[tuple[str, Effect]]) -> list[dict[str, str]]:
    """What the model is asked. Nothing in it was written by a stranger, not even a description of a tool."""
    listed = "\n".join(f"- {name} ({'reads' if effect is Effect.READ else 'writes'})" for name, effect in tools)
    who = f"Who it is:\n{instructions}\n\nIts tools:\n{listed}\n\nWhat it is asked:\n{asked}"
    return [{"role": "system", "content": _TASK}, {"role": "user", "content": who}]


def parse(text: str, tools: Sequence[str]) -> Plan:
    """The plan that the model's answer is. One that cannot be read is no plan, and a tool that is not there no step."""
    try:
        said = forms.said(text)
        steps = tuple(_step(each) for each in said["steps"][:_MOST_STEPS])
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        return Plan(fault=f"the answer is no plan ({type(exc).__name__})")
    return Plan(tuple(each for each in steps if each.tool in tools))


def _step(said: Mapping[str, Any]) -> Step:
    fixed = said.get("fixed") or {}
    if not isinstance(fixed, Mapping):
        raise TypeError("fixed is no object")
    return Step(str(said["tool"]), min(max(int(said.get("times") or 1), 1), _MOST_TIMES), dict(fixed))


def dump(plan: Plan) -> dict[str, Any]:
    """The plan as JSON."""
    steps = [{"tool": each.tool, "times": each.times, "fixed": dict(each.fixed)} for each in plan.steps]
    return {"steps": steps, "fault": plan.fault}


def load(said: Mapping[str, Any]) -> Plan:
    """The plan that `dump` wrote."""
    return Plan(tuple(Step(each["tool"], each["times"], each["fixed"]) for each in said["steps"]), said["fault"])


def covers(rule: PlanRule, effect: Effect) -> bool:
    """Whether calls of that effect have to be in the plan."""
    return rule.covers is PlannedCalls.ALL or effect is not Effect.READ


def is_within(plan: Plan, tool: str, arguments: Mapping[str, Any], made: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Whether the plan still has this call, after calls of the same tool with these arguments were made.

    Each call takes up one of the times of a step that it fits, of the step that says most first.
    """
    steps = sorted((each for each in plan.steps if each.tool == tool), key=lambda each: -len(each.fixed))
    left = [each.times for each in steps]
    fits = False
    for call in (*made, arguments):
        place = next((at for at, step in enumerate(steps) if left[at] and _fits(step, call)), None)
        fits = place is not None
        if place is not None:
            left[place] -= 1
    return fits


def _fits(step: Step, arguments: Mapping[str, Any]) -> bool:
    return all(_same(arguments.get(name), value) for name, value in step.fixed.items())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return digest.canonical(one) == digest.canonical(other)
