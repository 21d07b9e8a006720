"""The steps of a workflow: in which order, how often, and what is done when one fails or is in doubt."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

from proctor.api.actions import (
    AgentAction,
    Compensation,
    ContainerAction,
    Hop,
    HttpAction,
    HumanAction,
    Probe,
    ToolAction,
    Value,
    Values,
    VoteAction,
    WaitAction,
    WorkflowAction,
)
from proctor.api.connector import Effect
from proctor.api.fields import (
    ATOMIC,
    SET,
    Expression,
    Name,
    Number,
    Ratio,
    Span,
    by,
    form,
    rules,
)
from proctor.api.meta import OneOf, Spec


class Failure(StrEnum):
    """A failure that another attempt may mend. A refusal is none, and nor is an unknown outcome."""

    TIMEOUT = "Timeout"
    RATE_LIMITED = "RateLimited"
    UNAVAILABLE = "Unavailable"
    INVALID_OUTPUT = "InvalidOutput"
    LOW_CONFIDENCE = "LowConfidence"


class Backoff(Spec):
    """How long to wait between attempts."""

    initial: Span = timedelta(seconds=1)
    """Before the second attempt."""
    factor: Annotated[
        Number,
        Field(ge=1, le=10),
        WithJsonSchema(form("decimal", r"^([1-9](\.[0-9]+)?|10(\.0+)?)$", 'must be a decimal from "1" to "10"', 32)),
    ] = Decimal(2)
    """By how much each wait is longer."""
    max: Span = timedelta(minutes=1)
    """The longest wait."""
    jitter: Ratio = Decimal("0.1")
    """The share by which a wait varies."""


class Retry(Spec):
    """How often to try again."""

    limit: Annotated[int, Field(ge=1, le=20)]
    """Attempts after the first."""
    after: Annotated[tuple[Failure, ...], Field(min_length=1, max_length=5, json_schema_extra=SET)] = (
        Failure.TIMEOUT,
        Failure.RATE_LIMITED,
        Failure.UNAVAILABLE,
    )
    """After which failures."""
    backoff: Backoff = Backoff()
    """How long to wait."""


class StepConfidence(OneOf):
    """Where a step's confidence comes from; the source is recorded."""

    CHOICES = ("output", "judge", "agreement", "validator")
    output: Expression | None = None
    """CEL over output that gives a number from 0 to 1."""
    judge: Name | None = None
    """An agent that judges the output."""
    agreement: Annotated[int | None, Field(ge=2, le=16)] = None
    """Equal answers among this many."""
    validator: Expression | None = None
    """CEL over output: true is 1, false is 0."""


class Uncertain(Spec):
    """Who is asked, in this order, while the answer is in doubt."""

    when: Expression
    """CEL over output and confidence, such as `confidence < 0.7`."""
    chain: Annotated[tuple[Hop, ...], Field(min_length=1, max_length=4, json_schema_extra=ATOMIC)]
    """Who is asked, in this order."""


class OnFailure(Spec):
    """What follows when a step has failed for good."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.fallback) || has(self.__continue__)", "at least one of fallback and continue must be set")
        )
    )
    fallback: Hop | None = None
    """Who or what answers instead."""
    continue_: Annotated[bool | None, Field(alias="continue")] = None
    """Go on as if the step had not been needed."""


def _join(value: object) -> object:
    if value in {"All", "Any"} or (isinstance(value, int) and 1 <= value <= _MOST_NEEDS):
        return value
    raise ValueError(_JOIN_FAULT)


_MOST_NEEDS: Final = 16
_JOIN_FAULT: Final = "must be All, Any, or how many of needs, from 1 to 16"
Join = Annotated[
    StrictInt | StrictStr,
    AfterValidator(_join),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "maxLength": 3}
        | rules(("type(self) == int ? self >= 1 && self <= 16 : self in ['All', 'Any']", _JOIN_FAULT))
    ),
]


class BodyStep(OneOf):
    """A step that contains no others. Exactly one of its kinds is set."""

    CHOICES: ClassVar[tuple[str, ...]] = ("agent", "tool", "http", "human", "vote", "container", "workflow", "wait")
    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.effect) || has(self.agent) || has(self.tool) || has(self.http) || has(self.container)",
                "effect needs a step of kind agent, tool, http or container",
                ".effect",
            ),
            (
                "(has(self.effect) && self.effect == 'Verify') == has(self.verify)",
                "verify is needed for effect Verify, and for no other",
                ".verify",
            ),
            (
                "!has(self.retry) || !has(self.effect) || self.effect != 'Once' || "
                "(has(self.retry.after) && !('Timeout' in self.retry.after))",
                "a step of effect Once is never sent again after a timeout: set retry.after without Timeout",
                ".retry",
            ),
            ("!has(self.join) || has(self.needs)", "join needs needs", ".join"),
            (
                "!has(self.join) || !has(self.needs) || type(self.join) != int || self.join <= self.needs.size()",
                "join must not exceed the number of needs",
                ".join",
            ),
            (
                "!has(self.uncertain) || has(self.agent) || has(self.vote)",
                "uncertain needs a step of kind agent or vote",
                ".uncertain",
            ),
        )
    )
    name: Name
    """Its name in expressions and needs."""
    description: Annotated[str, Field(max_length=1024)] = ""
    """What it is for."""
    needs: Annotated[tuple[Name, ...] | None, Field(min_length=1, max_length=16, json_schema_extra=SET)] = None
    """Steps above this one."""
    join: Join = "All"
    """How many of needs must have succeeded: All, Any, or a number."""
    when: Expression | None = None
    """The step is skipped when this is false."""
    timeout: Span | None = None
    """Of one attempt. A timeout is an unknown outcome, not a failure."""
    agent: AgentAction | None = None
    """A task for an agent."""
    tool: ToolAction | None = None
    """A call of a tool."""
    http: HttpAction | None = None
    """A request."""
    human: HumanAction | None = None
    """A question to people."""
    vote: VoteAction | None = None
    """The same task for several agents."""
    container: ContainerAction | None = None
    """A program that runs once."""
    workflow: WorkflowAction | None = None
    """A run of another Workflow."""
    wait: WaitAction | None = None
    """A wait."""
    effect: Effect | None = None
    """Absent: what the Connector says of a tool, Read for GET and HEAD, Idempotent for an agent, else Once."""
    verify: Probe | None = None
    """How to find out whether an effect of unknown outcome was applied."""
    retry: Retry | None = None
    """How often to try again."""
    confidence: StepConfidence | None = None
    """Where its confidence comes from."""
    uncertain: Uncertain | None = None
    """Who is asked when the answer is in doubt."""
    on_failure: OnFailure | None = None
    """What follows when it has failed for good."""
    compensate: Compensation | None = None
    """What undoes it when a later step fails."""
    output_schema: Values | None = None
    """JSON Schema of its output; another output is `InvalidOutput`."""


def in_order(steps: str, owner: str) -> tuple[str, str, str]:
    """The CEL rule that a step of this list needs only steps above it: so nobody can write a cycle."""
    return (
        f"!has(self.{steps}) || [self.{steps}.map(s, s.name)].all(names, self.{steps}.all(s, !has(s.needs) || "
        "s.needs.all(n, names.indexOf(n) >= 0 && names.indexOf(n) < names.indexOf(s.name))))",
        f"needs must name steps above the step itself in {owner}: correct the name or move the step down",
        f".{steps}",
    )


_Body = Annotated[tuple[BodyStep, ...], Field(min_length=1, max_length=16, json_schema_extra=by("name"))]


class LoopAction(Spec):
    """The same steps again and again, until an expression is true; always bounded."""

    model_config = ConfigDict(json_schema_extra=rules(in_order("steps", "loop.steps")))
    steps: _Body
    """What is done each time."""
    until: Expression
    """CEL over steps and loop (`i`, `last`)."""
    max: Annotated[int, Field(ge=1, le=100)]
    """After so many times the step fails."""


class ForEachAction(Spec):
    """The same steps for each item of a list; the output is the list of the last step's outputs, or reduce."""

    model_config = ConfigDict(json_schema_extra=rules(in_order("steps", "forEach.steps")))
    items: Expression
    """CEL that gives a list; `item` is the variable."""
    steps: _Body
    """What is done for each item."""
    max_items: Annotated[int, Field(ge=1, le=10000)] = 1000
    """The run fails when there are more."""
    max_parallel: Annotated[int, Field(ge=1, le=1000)] = 10
    """Items at the same time."""
    min_success: Ratio = Decimal(1)
    """The share of items that must succeed."""
    reduce: Expression | None = None
    """CEL over outputs."""


class Case(Spec):
    """One way to go on."""

    name: Name
    """The output when the case is the first that is true."""
    when: Expression
    """CEL over params and steps."""


class SwitchAction(Spec):
    """A decision; its output is the name of the first case that is true. Later steps ask for it in `when`."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=16, json_schema_extra=by("name"))]
    """Asked in this order."""
    otherwise: Name | None = None
    """The output when no case is true. Absent: the step fails."""


class Worker(Spec):
    """An agent to which a supervisor may hand work."""

    agent: Name
    """The Agent."""
    description: Annotated[str, Field(max_length=1024)] = ""
    """What it is good at, for the supervisor to read."""


class SupervisorAction(Spec):
    """An agent that hands work to others, turn by turn; each turn is a step of its own, durable and checked."""

    agent: Name
    """The Agent that hands out work."""
    workers: Annotated[tuple[Worker, ...], Field(min_length=1, max_length=32, json_schema_extra=by("agent"))]
    """Those to whom it may hand work."""
    input: Value = None
    """What it is given."""
    max_turns: Annotated[int, Field(ge=1, le=100)]
    """After so many turns the step fails."""


class Step(BodyStep):
    """A step of a workflow. Exactly one of its kinds is set."""

    CHOICES = (*BodyStep.CHOICES, "loop", "for_each", "switch", "supervisor")
    loop: LoopAction | None = None
    """Steps again and again."""
    for_each: ForEachAction | None = None
    """Steps for each item of a list."""
    switch: SwitchAction | None = None
    """A decision."""
    supervisor: SupervisorAction | None = None
    """An agent that hands work to others."""
