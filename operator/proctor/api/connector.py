"""Connector: one outside system, the credential for it, its tools, their effects and what they disclose."""

from __future__ import annotations

import json
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from proctor.api.fields import (
    ATOMIC,
    SET,
    Digest,
    Expression,
    Key,
    Label,
    ModelName,
    Number,
    ObjectName,
    Span,
    Text,
    Time,
    ToolName,
    by,
    rules,
)
from proctor.api.meta import Object, Report, Spec, Status


class ConnectorType(StrEnum):
    """The protocol that the system speaks."""

    MODEL = "Model"
    MCP = "MCP"
    HTTP = "HTTP"
    A2A = "A2A"


class Effect(StrEnum):
    """What a repeated call does, and so what may be done when its outcome is unknown."""

    READ = "Read"
    IDEMPOTENT = "Idempotent"
    VERIFY = "Verify"
    ONCE = "Once"


class SecretKeyReference(Spec):
    """One key of a Secret in the connector's namespace."""

    name: ObjectName
    """The Secret; the gateway must be allowed to read it."""
    key: Key = "token"
    """The key in it."""


class Auth(Spec):
    """The credential and the header that carries it. Only the gateway ever reads the Secret."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(self.header.lowerAscii() in "
                "['connection', 'content-length', 'content-type', 'host', 'te', 'transfer-encoding', 'upgrade'])",
                "header must not be one that the connection itself needs: use Authorization or the system's own",
                ".header",
            )
        )
    )
    secret_ref: SecretKeyReference
    """Where the credential is."""
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$", min_length=1, max_length=64)] = "Authorization"
    """The header that carries it."""
    prefix: Annotated[str, Field(pattern="^[ -~]*$", max_length=32)] = "Bearer "
    """What stands before it."""


ArgumentPath = Annotated[str, Field(pattern=r"^(key|args(\.[A-Za-z_][A-Za-z0-9_-]*)+)$", max_length=256)]
"""`key`, which is the call's idempotency key, or a path into its arguments such as `args.order_id`."""


class VerifyArgument(Spec):
    """One argument of the tool that is asked."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=63)]
    """Its name."""
    from_: Annotated[ArgumentPath, Field(alias="from")]
    """Where its value comes from."""


class Verification(Spec):
    """How to find out whether a call of unknown outcome was applied: another tool of the system is asked."""

    tool: ToolName
    """A tool of the same Connector that is declared with effect Read."""
    arguments: Annotated[tuple[VerifyArgument, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """What it is asked."""
    applied: Expression
    """CEL over `result` (what it answers), `args` and `key`: true, false, or an error for not known."""


FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", min_length=1, max_length=128)]


class RecordCondition(Spec):
    """Which records are meant: by the value of a field that nobody outside can write."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.values) && self.values.size() > 0) != (has(self.named) && self.named)",
                "set either values or named: which records are meant otherwise?",
            )
        )
    )
    field: FieldName
    """A field of the same record, such as `sender` or `title`."""
    values: Annotated[tuple[Text, ...], Field(max_length=128, json_schema_extra=SET)] = ()
    """The record is meant if the field is one of these, such as one's own colleagues."""
    named: bool = False
    """The record is meant if the field's value stands, as whole words, in what the caller said or the instructions."""


class TrustedPart(Spec):
    """A part of what a tool returns that nobody outside can write, though they can write the rest."""

    path: Annotated[
        str,
        Field(
            pattern=r"^(\[\]\.)*[A-Za-z_][A-Za-z0-9_-]*((\[\])?\.[A-Za-z_][A-Za-z0-9_-]*)*$",
            min_length=1,
            max_length=256,
        ),
    ]
    """Where it is in the tool's JSON: names with dots between, `[]` for each item of a list, such as `[].sender`."""
    when: RecordCondition | None = None
    """In which records. Absent: in all."""


class Tool(Spec):
    """What is known of one tool. A tool that is not declared has effect Once and is not trusted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.verify) || (has(self.effect) && self.effect == 'Verify')",
                "verify needs effect Verify: tools of any other effect are not probed",
                ".verify",
            ),
            (
                "!has(self.trustedParts) || self.trustedParts.size() == 0 || !has(self.trusted) || !self.trusted",
                "trustedParts need trusted: false: of a trusted tool every part is",
                ".trustedParts",
            ),
        )
    )

    name: ToolName
    """The tool's name, as the system knows it."""
    effect: Effect = Effect.ONCE
    """What a repeated call does."""
    verify: Verification | None = None
    """For effect Verify: how to find out whether a call was applied. Absent: nobody can, and a person is asked."""
    trusted: bool = False
    """Whether what it returns may be taken for the operator's words."""
    trusted_parts: Annotated[tuple[TrustedPart, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """Of a tool that is not trusted: what of its answers nobody outside can write. The answer still taints."""
    data: Annotated[tuple[Label, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """The data classes that it discloses."""
    price: Number | None = None
    """What one call costs, in the installation's currency. Absent: nothing."""
    definition_digest: Digest | None = None
    """Refuse the tool when its definition differs."""


class Price(Spec):
    """What a model costs, in the installation's currency, for a million tokens."""

    model: ModelName
    """The model's name, as in the Agent."""
    input_per_million: Number
    """For a million tokens read."""
    output_per_million: Number
    """For a million tokens written."""
    cached_input_per_million: Number | None = None
    """For a million tokens read from the endpoint's cache. Absent: as any token read."""
    max_input_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """What the model reads at most in one call. Absent: no less than the request has bytes is reserved."""
    max_output_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """What the model writes at most in one call. Absent: calls that budgets bound, and that say no limit, get one."""


class ConnectorLimits(Spec):
    """What the system can bear."""

    rps: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Calls per second."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Calls at the same time."""
    timeout: Span = timedelta(seconds=30)
    """Of one call."""


_URL: Final = (
    r"^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
    r"(/[-A-Za-z0-9._~!$&'()*+,;=:@%/]*)?$"
)


class ConnectorSpec(Spec):
    """What a platform team declares about a system."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            # A rule of the object, for one of the field itself would repeat a password in its refusal.
            (
                f"self.url.matches({json.dumps(_URL)})",
                "url must be http:// or https://, a host, perhaps a port and a path, without user, password, query or "
                "fragment: a credential belongs into auth.secretRef",
                ".url",
            ),
            (
                "self.type != 'Model' || !has(self.tools) || self.tools.size() == 0",
                "tools need type MCP, HTTP or A2A",
                ".tools",
            ),
            (
                "self.type == 'Model' || !has(self.prices) || self.prices.size() == 0",
                "prices need type Model",
                ".prices",
            ),
        )
    )
    type: ConnectorType
    """The protocol that the system speaks."""
    url: Annotated[
        str, Field(pattern=_URL, max_length=2048), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 2048})
    ]
    """Without user, password, query or fragment."""
    auth: Auth | None = None
    """The credential. Absent: the system asks for none."""
    tools: Annotated[tuple[Tool, ...], Field(max_length=256, json_schema_extra=by("name"))] = ()
    """What is known of the tools."""
    prices: Annotated[tuple[Price, ...], Field(max_length=128, json_schema_extra=by("model"))] = ()
    """What the models cost."""
    limits: ConnectorLimits = ConnectorLimits()
    """What the system can bear."""

    def tool(self, name: str) -> Tool:
        """What is declared of the tool, or the most careful assumption."""
        return next((tool for tool in self.tools if tool.name == name), Tool(name=name))

    def price(self, model: str) -> Price | None:
        """The price of the model, if one is declared."""
        return next((price for price in self.prices if price.model == model), None)


class FoundTool(Report):
    """A tool that the system offers."""

    name: str
    digest: str
    """Of its definition, to be pinned by `definitionDigest`."""
    declared: bool = False
    """Whether spec.tools names it."""
    drifted: bool = False
    """Whether its definition is no longer the pinned one."""


class ConnectorStatus(Status):
    """What the last probe measured."""

    reachable: bool | None = None
    """Whether the system answered the last probe."""
    tools: Annotated[tuple[FoundTool, ...], Field(max_length=256, json_schema_extra=by("name"))] = ()
    models: Annotated[tuple[str, ...], Field(max_length=256, json_schema_extra=SET)] = ()
    """The models that it offers."""
    summary: str | None = None
    """What the last probe found, in a few words."""
    last_probe: Time | None = None
    """When the system was last asked."""


class Connector(Object):
    """One outside system."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Connector"] = "Connector"
    spec: ConnectorSpec
    status: ConnectorStatus = ConnectorStatus()
