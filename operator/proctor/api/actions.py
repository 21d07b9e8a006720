"""What a step of a workflow does: a task, a call, a question, a vote, a program, a run, a wait.

Texts may hold CEL expressions in `$(…)`: one that is the whole text keeps its type, any other becomes text. A field
that is named an expression is CEL without `$(…)`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field

from proctor.api.agent import EnvVar, Resources, Word
from proctor.api.approval import Asking, Options, Question
from proctor.api.fields import (
    ATOMIC,
    OPEN,
    Expression,
    Image,
    Name,
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
