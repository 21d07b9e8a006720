"""The steps of a workflow: what each kind of step does, and what is done when it fails or doubts.

Texts may hold CEL expressions in `$(…)`: one that is the whole text keeps its type, any other becomes text. A field
that is named an expression is CEL without `$(…)`.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from proctor.api.agent import EnvVar, Resources, Word
from proctor.api.approval import Asking, Options, Question
from proctor.api.connector import Effect
from proctor.api.fields import (
    ATOMIC,
    OPEN,
    SET,
    Expression,
    Image,
    Name,
    Number,
    Ratio,
    Span,
    Text,
    ToolName,
    by,
    rules,
)
from proctor.api.meta import OneOf, Spec

Value = Annotated[Any, Field(json_schema_extra=OPEN)]
"""Any JSON, with expressions in its texts."""

Values = Annotated[dict[str, Any], Field(json_schema_extra=OPEN)]
"""A JSON object, with expressions in its texts."""


class AgentAction(Spec):
    """A task for an agent of the same namespace."""

    name: Name
    input: Value = None
    conversation: Annotated[Text | None, Field(description="Tasks of one conversation stay on one revision.")] = None


class ToolAction(Spec):
    """One call of a Connector's tool."""

    connector: Name
    tool: ToolName
    arguments: Values = Field(default_factory=dict)


class Method(StrEnum):
    """An HTTP method."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


_CREDENTIALS: Final = ("authorization", "cookie", "proxy-authorization")
_HEADER_FAULT: Final = "must not be Authorization or Cookie: the credential belongs into the Connector's auth"


def _no_credential(name: str) -> str:
    if name.lower() in _CREDENTIALS:
        raise ValueError(_HEADER_FAULT)
    return name


class Header(Spec):
    """A header of a request; its value may hold expressions."""

    name: Annotated[
        str,
        AfterValidator(_no_credential),
        Field(
            pattern=r"^[-A-Za-z0-9]+$",
            min_length=1,
            max_length=64,
            json_schema_extra=rules((f"!(self.lowerAscii() in {list(_CREDENTIALS)})", _HEADER_FAULT)),
        ),
    ]
    value: Word


class HttpAction(Spec):
    """One request to a Connector of type HTTP."""

    connector: Name
    method: Method = Method.GET
    path: Annotated[str, Field(pattern=r"^/[ -~]*$", max_length=2048, description="Below the Connector's URL.")] = "/"
    headers: Annotated[tuple[Header, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    body: Value = None


class HumanAction(Asking):
    """A question to people; the step's output is the option chosen and what was filled in."""

    question: Question
    options: Options | None = None
    context: Annotated[Value, Field(description="What the people see beside the question.")] = None
    answer_schema: Values | None = None


class Voter(Spec):
    """An agent with a voice."""

    agent: Name
    weight: Annotated[int, Field(ge=1, le=100)] = 1


class VoteMethod(StrEnum):
    """How voices become an answer."""

    MAJORITY = "Majority"
    WEIGHTED = "Weighted"
    JUDGE = "Judge"


class Tie(StrEnum):
    """What follows when no answer wins."""

    FAIL = "Fail"
    FIRST = "First"
    JUDGE = "Judge"


class VoteAction(Spec):
    """The same task for several agents; one answer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.judge) == ((has(self.method) && self.method == 'Judge') || "
                "(has(self.tie) && self.tie == 'Judge'))",
                "judge is needed for method Judge and tie Judge, and for no other",
                ".judge",
            ),
            (
                "(has(self.method) && self.method == 'Weighted') || !self.voters.exists(v, has(v.weight))",
                "a weight needs method Weighted",
                ".voters",
            ),
            (
                "!has(self.quorum) || self.quorum <= self.voters.size()",
                "quorum must not exceed the number of voters",
                ".quorum",
            ),
        )
    )
    voters: Annotated[tuple[Voter, ...], Field(min_length=2, max_length=16, json_schema_extra=by("agent"))]
    input: Value = None
    answer: Annotated[Expression, Field(description="What is compared; CEL over output.")] = "output"
    method: VoteMethod = VoteMethod.MAJORITY
    quorum: Annotated[int | None, Field(ge=1, le=16, description="Voices needed. Absent: all.")] = None
    judge: Name | None = None
    tie: Tie = Tie.FAIL


class ContainerAction(Spec):
    """A program that runs once, as a Job without credentials; its output is what it writes to /dev/termination-log."""

    image: Image
    command: Annotated[tuple[Word, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    args: Annotated[tuple[Word, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=by("name"))] = ()
    resources: Resources = Resources()


class WorkflowAction(Spec):
    """A run of another Workflow of the same namespace."""

    name: Name
    params: Values = Field(default_factory=dict)


class EventWait(Spec):
    """An event that is awaited."""

    type: Annotated[str, Field(pattern=r"^[!-~]+$", min_length=1, max_length=256, description="CloudEvents type.")]
    when: Annotated[Expression | None, Field(description="CEL over event, params and steps.")] = None


class WaitAction(OneOf):
    """A wait: for a duration, until a moment, or for an event. The step's timeout bounds it."""

    CHOICES = ("duration", "until", "event")
    duration: Span | None = None
    until: Annotated[Expression | None, Field(description="CEL that gives a timestamp.")] = None
    event: EventWait | None = None


class Hop(OneOf):
    """Who or what answers instead."""

    CHOICES = ("agent", "human", "value")
    agent: AgentAction | None = None
    human: HumanAction | None = None
    value: Values | None = None


class Compensation(OneOf):
    """What undoes a step that succeeded, when a later one fails. It is retried, and if it fails a person is asked."""

    CHOICES = ("agent", "tool", "http", "workflow", "human")
    agent: AgentAction | None = None
    tool: ToolAction | None = None
    http: HttpAction | None = None
    workflow: WorkflowAction | None = None
    human: HumanAction | None = None


class Probe(OneOf):
    """How to find out whether an effect of unknown outcome was applied."""

    CHOICES = ("tool", "http")
    tool: ToolAction | None = None
    http: HttpAction | None = None
    applied: Annotated[Expression, Field(description="CEL over output: true, false, or an error for not known.")]


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
    factor: Annotated[
        Number,
        Field(ge=1, le=10),
        WithJsonSchema({"type": "string", "pattern": r"^([1-9](\.[0-9]+)?|10(\.0+)?)$", "maxLength": 32}),
    ] = Decimal(2)
    max: Span = timedelta(minutes=1)
    jitter: Ratio = Decimal("0.1")


class Retry(Spec):
    """How often to try again."""

    limit: Annotated[int, Field(ge=1, le=20)]
    after: Annotated[tuple[Failure, ...], Field(min_length=1, max_length=5, json_schema_extra=SET)] = (
        Failure.TIMEOUT,
        Failure.RATE_LIMITED,
        Failure.UNAVAILABLE,
    )
    backoff: Backoff = Backoff()


class StepConfidence(OneOf):
    """Where a step's confidence comes from; the source is recorded."""

    CHOICES = ("output", "judge", "agreement", "validator")
    output: Annotated[Expression | None, Field(description="CEL over output that gives a number from 0 to 1.")] = None
    judge: Annotated[Name | None, Field(description="An agent that judges the output.")] = None
    agreement: Annotated[int | None, Field(ge=2, le=16, description="Equal answers among this many.")] = None
    validator: Annotated[Expression | None, Field(description="CEL over output: true is 1, false is 0.")] = None


class Uncertain(Spec):
    """Who is asked, in this order, while the answer is in doubt."""

    when: Annotated[Expression, Field(description="CEL over output and confidence, such as `confidence < 0.7`.")]
    chain: Annotated[tuple[Hop, ...], Field(min_length=1, max_length=4, json_schema_extra=ATOMIC)]


class OnFailure(Spec):
    """What follows when a step has failed for good."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.fallback) || has(self.__continue__)", "at least one of fallback and continue must be set")
        )
    )
    fallback: Hop | None = None
    continue_: Annotated[
        bool | None, Field(alias="continue", description="Go on as if the step had not been needed.")
    ] = None


def _join(value: object) -> object:
    if value in {"All", "Any"} or (
        isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_NEEDS
    ):
        return value
    raise ValueError(_JOIN_FAULT)


_MOST_NEEDS: Final = 16
_JOIN_FAULT: Final = "must be All, Any, or how many of needs, from 1 to 16"
Join = Annotated[
    int | str,
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
    description: Annotated[str, Field(max_length=1024)] = ""
    needs: Annotated[
        tuple[Name, ...] | None,
        Field(min_length=1, max_length=16, json_schema_extra=SET, description="Steps above this one."),
    ] = None
    join: Annotated[Join, Field(description="How many of needs must have succeeded: All, Any, or a number.")] = "All"
    when: Annotated[Expression | None, Field(description="The step is skipped when this is false.")] = None
    timeout: Span | None = None
    agent: AgentAction | None = None
    tool: ToolAction | None = None
    http: HttpAction | None = None
    human: HumanAction | None = None
    vote: VoteAction | None = None
    container: ContainerAction | None = None
    workflow: WorkflowAction | None = None
    wait: WaitAction | None = None
    effect: Annotated[
        Effect | None,
        Field(
            description="Absent: what the Connector says of a tool, Read for GET and HEAD, Idempotent for an agent, "
            "else Once."
        ),
    ] = None
    verify: Probe | None = None
    retry: Retry | None = None
    confidence: StepConfidence | None = None
    uncertain: Uncertain | None = None
    on_failure: OnFailure | None = None
    compensate: Compensation | None = None
    output_schema: Values | None = None


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
    until: Annotated[Expression, Field(description="CEL over steps and loop (`i`, `last`).")]
    max: Annotated[int, Field(ge=1, le=100)]


class ForEachAction(Spec):
    """The same steps for each item of a list; the output is the list of the last step's outputs, or reduce."""

    model_config = ConfigDict(json_schema_extra=rules(in_order("steps", "forEach.steps")))
    items: Annotated[Expression, Field(description="CEL that gives a list; `item` is the variable.")]
    steps: _Body
    max_items: Annotated[int, Field(ge=1, le=10_000, description="The run fails when there are more.")] = 1000
    max_parallel: Annotated[int, Field(ge=1, le=1000)] = 10
    min_success: Annotated[Ratio, Field(description="The share of items that must succeed.")] = Decimal(1)
    reduce: Annotated[Expression | None, Field(description="CEL over outputs.")] = None


class Case(Spec):
    """One way to go on."""

    name: Name
    when: Expression


class SwitchAction(Spec):
    """A decision; its output is the name of the first case that is true. Later steps ask for it in `when`."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=16, json_schema_extra=by("name"))]
    otherwise: Annotated[Name | None, Field(description="The output when no case is true. Absent: the step fails.")] = (
        None
    )


class Worker(Spec):
    """An agent to which a supervisor may hand work."""

    agent: Name
    description: Annotated[str, Field(max_length=1024)] = ""


class SupervisorAction(Spec):
    """An agent that hands work to others, turn by turn; each turn is a step of its own, durable and checked."""

    agent: Name
    workers: Annotated[tuple[Worker, ...], Field(min_length=1, max_length=32, json_schema_extra=by("agent"))]
    input: Value = None
    max_turns: Annotated[int, Field(ge=1, le=100)]


class Step(BodyStep):
    """A step of a workflow. Exactly one of its kinds is set."""

    CHOICES = (*BodyStep.CHOICES, "loop", "for_each", "switch", "supervisor")
    loop: LoopAction | None = None
    for_each: ForEachAction | None = None
    switch: SwitchAction | None = None
    supervisor: SupervisorAction | None = None
