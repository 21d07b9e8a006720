"""How an agent stands with the policies that mean it, as its status says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proctor.api.fields import ATOMIC, SET, Time
from proctor.api.meta import Report


class EffectivePolicy(Report):
    """One policy that means the agent, and what of it holds."""

    policy: str
    """Its kind, perhaps its namespace, and its name, such as `Policy/support/payments`."""
    generation: int = 0
    mode: str
    """The mode that holds now: Audit, Warn or Enforce."""
    rules: Annotated[tuple[str, ...], Field(max_length=64, json_schema_extra=SET)] = ()
    """The parts that come from it, such as `tools` or `budgets/daily`."""
    excepted: Annotated[tuple[str, ...], Field(max_length=64, json_schema_extra=SET)] = ()
    """The rules from which somebody has freed this agent for a time."""


class EffectiveBound(Report):
    """What several policies say about one thing, together."""

    rule: str
    """Such as `limits/maxSteps` or `tools/deny`."""
    value: Annotated[str, Field(max_length=1024)]
    """The smallest maximum, the largest minimum, what all allow, or what any denies."""
    sources: Annotated[tuple[str, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """The policies that it comes from."""


class AgentViolation(Report):
    """One rule that the agent does not follow."""

    policy: str
    rule: str
    severity: str
    mode: str
    message: Annotated[str, Field(max_length=2048)]
    path: str | None = None
    """The field of the Agent that is at fault."""
    excepted_by: str | None = None
    """The exception that allows it for a time."""
    since: Time | None = None


class PolicyStanding(Report):
    """What holds for the agent, and how it stands."""

    effective: Annotated[tuple[EffectivePolicy, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """The policies that mean the agent."""
    bounds: Annotated[tuple[EffectiveBound, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """What they say together."""
    effective_hash: str | None = None
    """The digest of all rules that hold."""
    compliance: str
    """Compliant, Violating, Excepted or Unknown."""
    violations: Annotated[tuple[AgentViolation, ...], Field(max_length=50, json_schema_extra=ATOMIC)] = ()
    """The first fifty by policy and rule."""
    total_violations: int = 0
    """How many there are in all."""
