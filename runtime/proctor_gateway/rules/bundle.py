"""What a revision may do: the bundle in its ControllerRevision, which never changes.

A running task is bound to the revision that it began on, so it is this bundle, not the live Agent, that says which
model, which tools and which limits hold. What the live objects say can only narrow it: `suspend`, a removed
connector, a tool whose effect is now declared graver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from proctor.api import digest
from proctor.api.agent import Confidence, Fallback, Limits, Model, Output, ToolGrant
from proctor.api.connector import Connector, Effect

_GRAVITY = (Effect.READ, Effect.IDEMPOTENT, Effect.VERIFY, Effect.ONCE)


class BundleError(ValueError):
    """The recorded data is not the bundle of that revision."""


class Definition(BaseModel):
    """What was declared of a tool when the revision was made."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    effect: Effect = Effect.ONCE
    definition_digest: str | None = None


class Behaviour(BaseModel):
    """The part of an Agent's spec that the gateway enforces."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    instructions: str = ""
    model: Model
    tools: tuple[ToolGrant, ...] = ()
    output: Output | None = None
    limits: Limits = Limits()
    fallbacks: tuple[Fallback, ...] = ()
    confidence: Confidence | None = None


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    spec: Behaviour
    definitions: dict[str, dict[str, Definition]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Pinned:
    """What holds for one tool now: the graver of two effects, and every digest that must match."""

    effect: Effect
    digests: frozenset[str]


@dataclass(frozen=True)
class Bundle:
    """A revision and what it may do."""

    revision: str
    behaviour: Behaviour
    definitions: Mapping[str, Mapping[str, Definition]]

    @classmethod
    def parse(cls, revision: str, data: Mapping[str, Any]) -> Self:
        """The bundle in a ControllerRevision's data. Raises BundleError unless the data hashes to the revision.

        The name of a revision is the hash of its content: data that someone wrote under the name of another
        revision does not pass.
        """
        found = digest.short(data)
        if found != revision:
            raise BundleError(f"the data recorded for revision {revision} hashes to {found}")
        try:
            parsed = _Data.model_validate(data)
        except ValidationError as exc:
            faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors())
            raise BundleError(f"revision {revision}: {faults}") from exc
        return cls(revision=revision, behaviour=parsed.spec, definitions=parsed.definitions)

    def on_leg(self, leg: int) -> Bundle:
        """The bundle with the model of that fallback, counted from 1; as it is for 0 and for any other fallback."""
        model = self.behaviour.fallbacks[leg - 1].model if 0 < leg <= len(self.behaviour.fallbacks) else None
        if model is None:
            return self
        return replace(self, behaviour=self.behaviour.model_copy(update={"model": model}))

    def grant(self, connector: str) -> ToolGrant | None:
        """What the revision may call through the connector."""
        return next((grant for grant in self.behaviour.tools if grant.connector == connector), None)

    def pinned(self, connector: Connector, tool: str) -> Pinned:
        """What holds for the tool: as recorded with the revision, made stricter by what is declared now."""
        live = connector.spec.tool(tool)
        then = self.definitions.get(connector.metadata.name, {}).get(tool)
        effect = max((live.effect, then.effect if then else live.effect), key=_GRAVITY.index)
        digests = {live.definition_digest, then.definition_digest if then else None} - {None}
        return Pinned(effect=effect, digests=frozenset(each for each in digests if each))
