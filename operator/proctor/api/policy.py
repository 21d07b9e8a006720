"""Policy and ClusterPolicy: what agents may do, at admission, at rollout and at run time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from proctor.api.agent import IndicatorType, OnInconclusive, Owner, Profile
from proctor.api.approval import Asking
from proctor.api.connector import Effect
from proctor.api.cron import CronSchedule, TimeZone
from proctor.api.fields import (
    ATOMIC,
    SET,
    Chance,
    Duration,
    Expression,
    Label,
    Name,
    Number,
    Ratio,
    Span,
    Text,
    Time,
    by,
    rules,
)
from proctor.api.meta import Object, OneOf, Report, Spec, Status
from proctor.api.selector import AgentSelector, ClusterAgentSelector, LabelKey, Labels

Glob = Annotated[str, Field(title="glob", pattern=r"^[-A-Za-z0-9_.:/*]+$", min_length=1, max_length=256)]
"""A name in which `*` stands for any characters."""


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
    """Where an argument's value may come from."""

    OPERATOR = "Operator"
    USER = "User"
    TRUSTED_TOOL = "TrustedTool"


class Sink(ToolPattern):
    """An argument that must not come from untrusted content: a recipient, an amount, a path, a URL."""

    argument: Annotated[
        str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", min_length=1, max_length=256)
    ]
    """The path of the argument."""
    origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=3, json_schema_extra=SET)]
    """Where its value may come from."""
    otherwise: Reaction = Reaction.REQUIRE_APPROVAL
    """What becomes of a call whose value comes from elsewhere."""


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


class Period(StrEnum):
    """How long a budget lasts until it is full again."""

    TASK = "Task"
    HOUR = "Hour"
    DAY = "Day"
    MONTH = "Month"


class BudgetScope(StrEnum):
    """Who shares a budget."""

    AGENT = "Agent"
    NAMESPACE = "Namespace"


class Overrun(StrEnum):
    """What becomes of a call that a budget cannot pay, mildest first."""

    WARN = "Warn"
    THROTTLE = "Throttle"
    REQUIRE_APPROVAL = "RequireApproval"
    PAUSE = "Pause"
    DENY = "Deny"


class Budget(Spec):
    """What may be spent in a period. Of several policies' budgets of one period and scope the smallest holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.cost) || has(self.tokens) || has(self.tasks)",
                "at least one of cost, tokens and tasks must be set",
            ),
            ("!has(self.tasks) || self.per != 'Task'", "tasks needs a period longer than Task", ".tasks"),
            (
                "!has(self.scope) || self.scope == 'Agent' || self.per != 'Task'",
                "a budget per Task cannot be shared: leave scope out",
                ".scope",
            ),
            (
                "(has(self.action) && self.action == 'RequireApproval') == has(self.approval)",
                "approval is needed for action RequireApproval, and for no other",
                ".approval",
            ),
        )
    )
    name: Name
    """Its name in findings and exceptions."""
    per: Period
    """The period."""
    scope: BudgetScope = BudgetScope.AGENT
    """Who shares it."""
    cost: Number | None = None
    """In the installation's currency."""
    tokens: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    """In and out."""
    tasks: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Tasks begun."""
    action: Overrun = Overrun.DENY
    """What becomes of what it cannot pay."""
    approval: Asking | None = None
    """Who may allow it."""
    time_zone: TimeZone = "Etc/UTC"
    """Where a day or a month begins."""


class SandboxBounds(Spec):
    """How strongly agents must at least be fenced in."""

    minimum_profile: Profile = Profile.STANDARD
    """The weakest profile that is allowed."""
    require_verified_isolation: bool = False
    """Refuse tasks while the network's isolation was not measured."""


class RequiredStep(StrEnum):
    """A kind of step that every upgrade must contain."""

    EVALS = "Evals"
    REPLAY = "Replay"
    MIRROR = "Mirror"
    WEIGHT = "Weight"
    APPROVAL = "Approval"


class OnceFreeze(Spec):
    """From one moment until another."""

    model_config = ConfigDict(
        json_schema_extra=rules(("timestamp(self.from) < timestamp(self.until)", "until must be after from", ".until"))
    )
    from_: Annotated[Time, Field(alias="from")]
    """Its beginning."""
    until: Time
    """Its end."""


class RecurringFreeze(Spec):
    """From each moment of a schedule, for a while."""

    schedule: CronSchedule
    """When each begins."""
    duration: Span
    """How long each lasts."""
    time_zone: TimeZone = "Etc/UTC"
    """Of the schedule."""


class FreezeWindow(OneOf):
    """A time in which no upgrade begins or moves on: once, or again and again. A rollback is always possible."""

    CHOICES = ("once", "recurring")
    name: Name
    """Its name in findings."""
    reason: Text
    """What those who wait are told."""
    once: OnceFreeze | None = None
    """One span of time."""
    recurring: RecurringFreeze | None = None
    """Spans of time by a schedule."""


class BudgetGate(Spec):
    """What the error budget that is left means for upgrades."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.freezeBelow) <= double(self.slowBelow)",
                "freezeBelow must not exceed slowBelow",
                ".freezeBelow",
            )
        )
    )
    freeze_below: Ratio
    """No new upgrade below this share."""
    slow_below: Ratio
    """Half the weights and twice the time below this share."""


class RolloutBounds(Spec):
    """How careful every upgrade must be."""

    require_steps: Annotated[tuple[RequiredStep, ...], Field(max_length=5, json_schema_extra=SET)] = ()
    """Kinds of steps that must be there."""
    max_initial_weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of the first step with a weight."""
    max_weight_step: Annotated[int, Field(ge=1, le=100)] | None = None
    """By how much a weight may rise."""
    min_duration: Duration | None = None
    """How long each weight must be held."""
    min_tasks: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Tasks seen at each weight."""
    max_alpha: Chance | None = None
    """The highest alpha of an analysis."""
    max_beta: Chance | None = None
    """The highest beta of an analysis."""
    max_margin: Chance | None = None
    """The highest margin of a metric."""
    on_inconclusive: Annotated[
        tuple[OnInconclusive, ...] | None, Field(min_length=1, max_length=4, json_schema_extra=SET)
    ] = None
    """What an Agent may choose. Absent: any."""
    approval: Asking | None = None
    """Who must approve the last step before promotion."""
    freeze: Annotated[tuple[FreezeWindow, ...], Field(max_length=32, json_schema_extra=by("name"))] = ()
    """When no upgrade begins or moves on."""
    budget_gate: BudgetGate | None = None
    """What the error budget that is left means for upgrades."""


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


class LimitBounds(Spec):
    """The highest limits of one task that an agent may declare."""

    max_timeout: Span | None = None
    """The highest timeout."""
    max_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """The highest maxSteps."""
    max_cost: Number | None = None
    """The highest maxCost; an agent must then declare one."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """The highest maxTokens; an agent must then declare one."""


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


def _known(part: str) -> tuple[str, str, str]:
    return (
        f"!has(self.exceptions) || self.exceptions.all(e, e.rules.all(r, !r.startsWith('{part}/') || "
        f"(has(self.{part}) && self.{part}.exists(b, '{part}/' + b.name == r))))",
        f"exceptions[].rules names an item of {part} that does not exist: correct its name",
        ".exceptions",
    )


class PolicySpec(Spec):
    """What is demanded of the agents that the selector selects. What several policies demand, all holds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                " || ".join(f"has(self.{part})" for part in _PARTS),
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
