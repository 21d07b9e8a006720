"""Connector: one outside system, the credential for it, its tools, their effects and what they disclose."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from proctor.api.fields import SET, Digest, Key, Label, ModelName, Number, ObjectName, Span, Time, ToolName, by, rules
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
    key: Key = "token"


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
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$", min_length=1, max_length=64)] = "Authorization"
    prefix: Annotated[str, Field(pattern=r"^[ -~]*$", max_length=32, description="What stands before it.")] = "Bearer "


class Tool(Spec):
    """What is known of one tool. A tool that is not declared has effect Once and is not trusted."""

    name: ToolName
    effect: Effect = Effect.ONCE
    trusted: Annotated[bool, Field(description="Whether what it returns may be taken for the operator's words.")] = (
        False
    )
    data: Annotated[tuple[Label, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    definition_digest: Annotated[Digest | None, Field(description="Refuse the tool when its definition differs.")] = (
        None
    )


class Price(Spec):
    """What a model costs, in the installation's currency, for a million tokens."""

    model: ModelName
    input_per_million: Number
    output_per_million: Number
    cached_input_per_million: Number | None = None


class ConnectorLimits(Spec):
    """What the system can bear."""

    rps: Annotated[int, Field(ge=1, le=1_000_000, description="Calls per second.")] | None = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    timeout: Span = timedelta(seconds=30)


class ConnectorSpec(Spec):
    """What a platform team declares about a system."""

    model_config = ConfigDict(
        json_schema_extra=rules(
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
    url: Annotated[
        str,
        Field(
            pattern=r"^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
            r"(/[-A-Za-z0-9._~!$&'()*+,;=:@%/]*)?$",
            max_length=2048,
            description="Without user, password, query or fragment: credentials belong into auth.",
        ),
    ]
    auth: Auth | None = None
    tools: Annotated[tuple[Tool, ...], Field(max_length=256, json_schema_extra=by("name"))] = ()
    prices: Annotated[tuple[Price, ...], Field(max_length=128, json_schema_extra=by("model"))] = ()
    limits: ConnectorLimits = ConnectorLimits()

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
    declared: bool = False
    drifted: bool = False


class ConnectorStatus(Status):
    """What the last probe measured."""

    reachable: bool | None = None
    tools: Annotated[tuple[FoundTool, ...], Field(max_length=256, json_schema_extra=by("name"))] = ()
    models: Annotated[tuple[str, ...], Field(max_length=256, json_schema_extra=SET)] = ()
    summary: str | None = None
    last_probe: Time | None = None


class Connector(Object):
    """One outside system."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Connector"] = "Connector"
    spec: ConnectorSpec
    status: ConnectorStatus = ConnectorStatus()
