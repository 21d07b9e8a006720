"""The steps of a workflow: what each kind of step does, and what is done when it fails or doubts.

Texts may hold CEL expressions in `$(…)`: one that is the whole text keeps its type, any other becomes text. A field
that is named an expression is CEL without `$(…)`.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

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
    form,
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
    """The Agent."""
    input: Value = None
    """What it is given."""
    conversation: Text | None = None
    """Tasks of one conversation stay on one revision."""


class ToolAction(Spec):
    """One call of a Connector's tool."""

    connector: Name
    """The Connector."""
    tool: ToolName
    """Its tool."""
    arguments: Values = Field(default_factory=dict)
    """What it is given."""


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
        Field(
            pattern=r"^[-A-Za-z0-9]+$",
            min_length=1,
            max_length=64,
            json_schema_extra=rules((f"!(self.lowerAscii() in {list(_CREDENTIALS)})", _HEADER_FAULT)),
        ),
        AfterValidator(_no_credential),
    ]
    """Its name."""
    value: Word
    """Its value."""


class HttpAction(Spec):
    """One request to a Connector of type HTTP."""

    connector: Name
    """The Connector."""
    method: Method = Method.GET
    """The method."""
    path: Annotated[str, Field(pattern="^/[ -~]*$", max_length=2048)] = "/"
    """Below the Connector's URL."""
    headers: Annotated[tuple[Header, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """Further headers."""
    body: Value = None
    """Sent as JSON."""


class HumanAction(Asking):
    """A question to people; the step's output is the option chosen and what was filled in."""

    question: Question
    """What the people read."""
    options: Options | None = None
    """The possible answers. Absent: Approve and Reject."""
    context: Value = None
    """What the people see beside the question."""
    answer_schema: Values | None = None
    """JSON Schema of what they fill in."""


class Voter(Spec):
    """An agent with a voice."""

    agent: Name
    """The Agent."""
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    """Its voices, for method Weighted."""


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
    """Who votes."""
    input: Value = None
    """What each is given."""
    answer: Expression = "output"
    """What is compared; CEL over output."""
    method: VoteMethod = VoteMethod.MAJORITY
    """How voices become an answer."""
    quorum: Annotated[int | None, Field(ge=1, le=16)] = None
    """Voices needed. Absent: all."""
    judge: Name | None = None
    """The Agent that decides."""
    tie: Tie = Tie.FAIL
    """What follows when no answer wins."""


class ContainerAction(Spec):
    """A program that runs once, as a Job without credentials; its output is what it writes to /dev/termination-log."""

    image: Image
    """The image."""
    command: Annotated[tuple[Word, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Instead of the image's entry point."""
    args: Annotated[tuple[Word, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Instead of the image's arguments."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=by("name"))] = ()
    """Plain settings."""
    resources: Resources = Resources()
    """Of its pod."""


class WorkflowAction(Spec):
    """A run of another Workflow of the same namespace."""

    name: Name
    """The Workflow."""
    params: Values = Field(default_factory=dict)
    """What its run is given."""


class EventWait(Spec):
    """An event that is awaited."""

    type: Annotated[str, Field(pattern="^[!-~]+$", min_length=1, max_length=256)]
    """CloudEvents type."""
    when: Expression | None = None
    """CEL over event, params and steps."""


class WaitAction(OneOf):
    """A wait: for a duration, until a moment, or for an event. The step's timeout bounds it."""

    CHOICES = ("duration", "until", "event")
    duration: Span | None = None
    """For so long."""
    until: Expression | None = None
    """CEL that gives a timestamp."""
    event: EventWait | None = None
    """For an event."""


class Hop(OneOf):
    """Who or what answers instead."""

    CHOICES = ("agent", "human", "value")
    agent: AgentAction | None = None
    """An agent."""
    human: HumanAction | None = None
    """People."""
    value: Values | None = None
    """A fixed output."""


class Compensation(OneOf):
    """What undoes a step that succeeded, when a later one fails. It is retried, and if it fails a person is asked."""

    CHOICES = ("agent", "tool", "http", "workflow", "human")
    agent: AgentAction | None = None
    """A task for an agent."""
    tool: ToolAction | None = None
    """A call of a tool."""
    http: HttpAction | None = None
    """A request."""
    workflow: WorkflowAction | None = None
    """A run of a Workflow."""
    human: HumanAction | None = None
    """A question to people."""


class Probe(OneOf):
    """How to find out whether an effect of unknown outcome was applied."""

    CHOICES = ("tool", "http")
    tool: ToolAction | None = None
    """A call of a tool of effect Read."""
    http: HttpAction | None = None
    """A request that changes nothing."""
    applied: Expression
    """CEL over output: true, false, or an error for not known."""


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
