"""Policy and ClusterPolicy: what agents may do, at admission, at rollout and at run time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from proctor.api.agent import Owner
from proctor.api.bounds import Budget, LimitBounds, RolloutBounds, SandboxBounds
from proctor.api.fields import (
    ATOMIC,
    SET,
    Expression,
    Name,
    Text,
    Time,
    by,
    rules,
)
from proctor.api.meta import Object, Report, Spec, Status
from proctor.api.objectives import IndicatorType
from proctor.api.permissions import DataRules, Glob, ModelRules, ToolRules
from proctor.api.selector import AgentSelector, ClusterAgentSelector, LabelKey


class Mode(StrEnum):
    """What a finding leads to, mildest first. Of several policies the strictest mode holds."""

    AUDIT = "Audit"
    WARN = "Warn"
    ENFORCE = "Enforce"


class Declaration(StrEnum):
    """Something optional that an agent must declare nevertheless."""

    EVALS = "Evals"
    OUTPUT_SCHEMA = "OutputSchema"
    CONFIDENCE = "Confidence"
    HUMAN_FALLBACK = "HumanFallback"
    MAX_COST = "MaxCost"
    MAX_TOKENS = "MaxTokens"
    PINNED_TOOLS = "PinnedTools"
    IMAGE_DIGEST = "ImageDigest"


class Require(Spec):
    """What an agent must declare, beyond what its schema demands."""

    fields: Annotated[tuple[Declaration, ...], Field(max_length=8, json_schema_extra=SET)] = ()
    """Optional fields that must be set."""
    labels: Annotated[tuple[LabelKey, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """Labels that an Agent must have."""
    slos: Annotated[tuple[IndicatorType, ...], Field(max_length=7, json_schema_extra=SET)] = ()
    """An SLO of each of these indicators."""


class Images(Spec):
    """Which images a bring-your-own agent may run."""

    registries: Annotated[tuple[Glob, ...] | None, Field(min_length=1, max_length=32, json_schema_extra=SET)] = None
    """Absent: any."""


class Egress(Spec):
    """Which hosts the Connectors that an agent uses may name: the gateway is the only way out."""

    hosts: Annotated[tuple[Glob, ...] | None, Field(min_length=1, max_length=128, json_schema_extra=SET)] = None
    """Absent: any."""


class CheckedAt(StrEnum):
    """When an expression is evaluated, and so which variables it has."""

    ADMISSION = "Admission"
    ROLLOUT = "Rollout"
    MODEL_CALL = "ModelCall"
    TOOL_CALL = "ToolCall"


class Severity(StrEnum):
    """How bad a finding is, as in a PolicyReport."""

    INFO = "Info"
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"


class PolicyExpression(Spec):
    """A demand in CEL: it must be true. One that fails to evaluate counts as false."""

    name: Name
    """Its name in findings and exceptions."""
    at: CheckedAt = CheckedAt.ADMISSION
    """When it is evaluated."""
    expression: Expression
    """Its variables are `agent`, the whole object, and `connectors` at Admission, and also `rollout` at Rollout;
    `agent`, `task` and `call` at ModelCall and ToolCall.
    """
    message: Text
    """What is wrong and what to do, for the one whose change is refused."""
    severity: Severity = Severity.MEDIUM
    """How bad a finding is."""


Rule = Annotated[
    str,
    Field(
        pattern=r"^(require|images|egress|models|tools|data|limits|budgets|sandbox|rollout|expressions)(/[-A-Za-z0-9]+)?$",
        min_length=1,
        max_length=96,
    ),
]
"""A rule's name in findings, reports and exceptions: a part of the spec, and an item of it such as `budgets/daily`."""


def _selects(more: str = "") -> dict[str, Any]:
    fields = ("names", "riskTiers", "matchLabels", "matchExpressions")
    sizes = " || ".join(f"(has(self.selector.{each}) && self.selector.{each}.size() > 0)" for each in fields)
    return rules((sizes + more, "selector must not be empty: an exception from a rule names its agents", ".selector"))


class Exemption(Spec):
    """Someone's permission not to follow some rules, for a reason and for a time."""

    model_config = ConfigDict(json_schema_extra=_selects())
    name: Name
    """Its name in status."""
    selector: AgentSelector
    """Which agents."""
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=16, json_schema_extra=SET)]
    """From which rules, such as `sandbox` or `budgets/daily`."""
    reason: Annotated[str, Field(min_length=10, max_length=1024)]
    """Why."""
    approved_by: Text
    """Who allowed it."""
    expires_at: Time
    """At most 90 days ahead; a later one makes the policy not Ready."""


class ClusterExemption(Exemption):
    """Someone's permission not to follow some rules, for a reason and for a time, in some namespaces."""

    model_config = ConfigDict(json_schema_extra=_selects(" || has(self.selector.namespaces)"))
    selector: ClusterAgentSelector
    """Which agents."""


class StaleReads(StrEnum):
    """What becomes of reading calls when the gateway's policies are older than they may be. Writing is refused."""

    ALLOW = "Allow"
    DENY = "Deny"


_PARTS: Final = (
    "require",
    "images",
    "egress",
    "models",
    "tools",
    "data",
    "limits",
    "budgets",
    "sandbox",
    "rollout",
    "expressions",
)
_LISTS: Final = {"budgets", "expressions"}


def _known(part: str) -> tuple[str, str, str]:
    return (
        f"!has(self.exceptions) || self.exceptions.all(e, e.rules.all(r, !r.startsWith('{part}/') || "
        f"(has(self.{part}) && self.{part}.exists(b, '{part}/' + b.name == r))))",
        f"exceptions[].rules names an item of {part} that does not exist: correct its name",
        ".exceptions",
    )


def _is_set(part: str) -> str:
    """CEL: whether the part demands anything. A list that is empty does not, and is there by default."""
    return f"(has(self.{part}) && self.{part}.size() > 0)" if part in _LISTS else f"has(self.{part})"


class PolicySpec(Spec):
    """What is demanded of the agents that the selector selects. What several policies demand, all holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                " || ".join(_is_set(part) for part in _PARTS),
                f"a policy must demand something: set at least one of {', '.join(_PARTS)}",
            ),
            (
                "!has(self.enforceFrom) || self.mode != 'Enforce'",
                "enforceFrom needs mode Audit or Warn: Enforce holds already",
                ".enforceFrom",
            ),
            _known("budgets"),
            _known("expressions"),
        )
    )
    owner: Owner
    """Who answers for the policy."""
    description: Annotated[str, Field(max_length=4096)] = ""
    """What it is for."""
    mode: Mode
    """What a finding leads to."""
    enforce_from: Time | None = None
    """When the mode becomes Enforce by itself."""
    selector: AgentSelector = AgentSelector()
    """Which agents are meant. Absent: all."""
    require: Require | None = None
    """What an agent must declare."""
    images: Images | None = None
    """Which images it may run."""
    egress: Egress | None = None
    """Which hosts it may reach."""
    models: ModelRules | None = None
    """Which models it may use."""
    tools: ToolRules | None = None
    """Which tools it may call."""
    data: DataRules | None = None
    """What data may go where."""
    limits: LimitBounds | None = None
    """What one task may take."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """What may be spent."""
    sandbox: SandboxBounds | None = None
    """How it must be fenced in."""
    rollout: RolloutBounds | None = None
    """How careful its upgrades must be."""
    expressions: Annotated[tuple[PolicyExpression, ...], Field(max_length=32, json_schema_extra=by("name"))] = ()
    """Demands in CEL."""
    exceptions: Annotated[tuple[Exemption, ...], Field(max_length=32, json_schema_extra=by("name"))] = ()
    """Who need not follow which rules, until when."""
    stale_reads: StaleReads = StaleReads.DENY
    """What becomes of reading calls while the gateway's policies are older than they may be."""


class ClusterPolicySpec(PolicySpec):
    """What is demanded of the agents that the selector selects, in all namespaces."""

    selector: ClusterAgentSelector = ClusterAgentSelector()
    """Which agents are meant. Absent: all."""
    exceptions: Annotated[tuple[ClusterExemption, ...], Field(max_length=32, json_schema_extra=by("name"))] = ()
    """Who need not follow which rules, until when."""


class AgentCounts(Report):
    """How many agents the policy selects, and how they stand."""

    matched: int = 0
    compliant: int = 0
    violating: int = 0
    excepted: int = 0
    unknown: int = 0


class Violation(Report):
    """One agent that does not follow one rule."""

    namespace: str
    name: str
    rule: str
    severity: Severity = Severity.MEDIUM
    message: str
    path: str | None = None
    """The field of the Agent that is at fault."""
    since: Time | None = None


class PolicyStatus(Status):
    """What the last scan found. The violations are the first fifty by namespace, name and rule."""

    agents: AgentCounts | None = None
    """How the agents stand."""
    violations: Annotated[tuple[Violation, ...], Field(max_length=50, json_schema_extra=ATOMIC)] = ()
    """The first fifty by namespace, name and rule."""
    total_violations: int | None = None
    """How many there are in all."""
    exceptions_expiring_soon: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=SET)] = ()
    """Exceptions that end within fourteen days."""
    last_scan: Time | None = None
    """When the agents were last looked at."""


class Policy(Object):
    """What the agents of one namespace may do."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Policy"] = "Policy"
    spec: PolicySpec
    status: PolicyStatus = PolicyStatus()


class ClusterPolicy(Object):
    """What the agents of the cluster may do."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["ClusterPolicy"] = "ClusterPolicy"
    spec: ClusterPolicySpec
    status: PolicyStatus = PolicyStatus()
