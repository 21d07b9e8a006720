"""What a policy permits: models, tools, and which data may go where."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from proctor.api.approval import Asking
from proctor.api.connector import Effect
from proctor.api.fields import (
    ATOMIC,
    OPEN,
    SET,
    Expression,
    Label,
    Text,
)
from proctor.api.meta import Spec
from proctor.api.selector import Labels

Glob = Annotated[str, Field(title="glob", pattern=r"^[-A-Za-z0-9_.:/*]+$", min_length=1, max_length=256)]
"""A name in which `*` stands for any characters."""


class ModelPattern(Spec):
    """Models, by their names, their Connectors and the labels of these, such as a provider or a region."""

    connector: Glob = "*"
    """The Connector's name."""
    name: Glob = "*"
    """The model's name."""
    connector_labels: Labels = Field(default_factory=dict)
    """The Connector's labels, such as a provider or a region."""


class ModelRules(Spec):
    """Which models may be used, also by a fallback."""

    allow: Annotated[tuple[ModelPattern, ...] | None, Field(min_length=1, max_length=64, json_schema_extra=ATOMIC)] = (
        None
    )
    """Absent: every model."""
    deny: Annotated[tuple[ModelPattern, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Never these, whatever is allowed."""


class ToolPattern(Spec):
    """Tools, by name, Connector, effect and the data that they disclose; all demands must hold."""

    connector: Glob = "*"
    """The Connector's name."""
    tool: Glob = "*"
    """The tool's name."""
    effects: Annotated[tuple[Effect, ...], Field(max_length=4, json_schema_extra=SET)] = ()
    """Any of these effects. Empty: any."""
    data: Annotated[tuple[Label, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """Any of these data classes."""


class ToolApproval(ToolPattern):
    """Calls that a person must approve."""

    when: Expression | None = None
    """CEL over args, tool and connector. Absent: always."""
    approval: Asking
    """Who is asked."""


class Reaction(StrEnum):
    """What becomes of a call, mildest first."""

    ALLOW = "Allow"
    REQUIRE_APPROVAL = "RequireApproval"
    DENY = "Deny"


class TaintRule(ToolPattern):
    """What becomes of a call once untrusted content is in the conversation. Of several the strictest holds."""

    then: Reaction
    """What becomes of the call."""


class Origin(StrEnum):
    """Where an argument's value may come from.

    NamedSource is what was found where the caller or a trusted tool said to look, such as a page whose address the
    caller gave: strangers may have written it, but only those whom the caller pointed to.
    """

    OPERATOR = "Operator"
    USER = "User"
    TRUSTED_TOOL = "TrustedTool"
    NAMED_SOURCE = "NamedSource"


class Sink(ToolPattern):
    """An argument that must not come from untrusted content: a recipient, an amount, a path, a URL."""

    argument: Annotated[
        str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", min_length=1, max_length=256)
    ]
    """The path of the argument."""
    origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=4, json_schema_extra=SET)]
    """Where its value may come from."""
    values: Annotated[tuple[Text, ...], Field(max_length=128, json_schema_extra=SET)] = ()
    """Values that may come from anywhere, such as the channels of one's own company."""
    pattern: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    """RE2: a value that it matches as a whole may come from anywhere, such as an address of one's own domain."""
    links: bool = False
    """Look only at the links and e-mail addresses in the value, not at the value as a whole: for texts."""
    otherwise: Reaction = Reaction.REQUIRE_APPROVAL
    """What becomes of a call whose value comes from elsewhere."""


class PlannedCalls(StrEnum):
    """Which calls have to be in the plan."""

    WRITES = "Writes"
    ALL = "All"


class PlanRule(Spec):
    """planThenExecute: a plan of the task's calls, made from the caller's words alone; the rest is held to it.

    The gateway has the agent's own model make it, which sees the instructions, what the caller said, and the names of
    the granted tools: nothing that strangers wrote. It holds from the first untrusted content on.
    """

    covers: PlannedCalls = PlannedCalls.WRITES
    """Which calls have to be in the plan: those that change something, or those that read, too."""
    otherwise: Reaction = Reaction.REQUIRE_APPROVAL
    """What becomes of a call that is not in the plan."""


class Quarantine(ToolPattern):
    """Tools whose answers the agent never sees: a model without tools fills in a form from each, and that is shown.

    Such an answer does not taint, for it cannot say what to do. Its values are a stranger's all the same: sinks hold.
    """

    schema_: Annotated[dict[str, Any], Field(alias="schema", json_schema_extra=OPEN)]
    """JSON Schema of the form. A text needs an enum, a known format or a maxLength of at most 64, a list an end."""


class ToolRules(Spec):
    """Which tools may be called, and under which conditions."""

    allow: Annotated[tuple[ToolPattern, ...] | None, Field(min_length=1, max_length=64, json_schema_extra=ATOMIC)] = (
        None
    )
    """Absent: every tool."""
    deny: Annotated[tuple[ToolPattern, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Never these, whatever is allowed."""
    approval: Annotated[tuple[ToolApproval, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Those that a person must approve."""
    when_tainted: Annotated[tuple[TaintRule, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """What becomes of calls once untrusted content is in the conversation.

    Absent: reading is allowed, all else needs approval.
    """
    sinks: Annotated[tuple[Sink, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Arguments that must not come from untrusted content."""
    plan: PlanRule | None = None
    """planThenExecute: what a task calls after untrusted content must have been planned before."""
    quarantine: Annotated[tuple[Quarantine, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """Tools that are not trusted and whose answers the agent gets only as values of a declared form."""
    trifecta: Reaction | None = None
    """What becomes of an agent that may read private data, take in untrusted content, and write to the outside."""


class Detector(StrEnum):
    """Personal data that is recognised and replaced before it reaches a model."""

    EMAIL = "Email"
    PHONE = "Phone"
    IBAN = "IBAN"
    PAYMENT_CARD = "PaymentCard"
    NATIONAL_ID = "NationalId"
    IP_ADDRESS = "IPAddress"
    PERSON = "Person"
    LOCATION = "Location"


class Flow(Spec):
    """Data of these classes must not reach these Connectors, whether as a model's input or a tool's argument."""

    data: Annotated[tuple[Label, ...], Field(min_length=1, max_length=16, json_schema_extra=SET)]
    """The data classes."""
    to: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=32, json_schema_extra=SET)]
    """Connectors."""


class DataRules(Spec):
    """What data may go where."""

    redact: Annotated[tuple[Detector, ...], Field(max_length=8, json_schema_extra=SET)] = ()
    """What is replaced before it reaches a model."""
    block_secrets: bool = False
    """Refuse calls whose arguments or results hold a key."""
    deny_flows: Annotated[tuple[Flow, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Where data must not go."""
