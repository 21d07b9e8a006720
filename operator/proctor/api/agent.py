"""Agent: what runs, who owns it, what it may do, how it is upgraded, what it must achieve."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from proctor.api.fields import (
    ATOMIC,
    DECIMAL,
    DURATION,
    OPEN,
    RATIO,
    SET,
    Chance,
    Duration,
    Expression,
    Image,
    Key,
    ModelName,
    Name,
    Number,
    ObjectName,
    Percent,
    Ratio,
    Span,
    Text,
    Time,
    ToolName,
    Window,
    by,
    rules,
)
from proctor.api.meta import Object, OneOf, Report, Spec, Status


class RiskTier(StrEnum):
    """How much harm a wrong answer can do, in the words of the EU AI Act's tiers."""

    MINIMAL = "Minimal"
    LIMITED = "Limited"
    HIGH = "High"


class Owner(Spec):
    """Who answers for the agent."""

    team: Text
    contact: Annotated[str, Field(min_length=3, max_length=256, description="An address that a person reads.")]


class KeyReference(Spec):
    """One key of a ConfigMap in the agent's namespace."""

    name: ObjectName
    key: Key


class InstructionsSource(Spec):
    """Where the instructions are, if not in the Agent itself."""

    config_map_key_ref: KeyReference


class Model(Spec):
    """The model that the agent thinks with, reached through a Connector of type Model."""

    connector: Name
    name: ModelName
    parameters: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] = Field(default_factory=dict)


class Outcome(StrEnum):
    """What a rule makes of a call that it matches."""

    DENY = "Deny"
    REQUIRE_APPROVAL = "RequireApproval"


class ToolRule(Spec):
    """A CEL expression over `args` and `tool`; when it is true, `then` happens instead of the call."""

    when: Expression
    then: Outcome
    message: Annotated[str, Field(max_length=1024)] = ""


class ToolGrant(Spec):
    """Which tools of one Connector the agent may call. What is not listed is denied."""

    connector: Name
    allow: Annotated[tuple[ToolName, ...], Field(min_length=1, max_length=128, json_schema_extra=SET)]
    rules: Annotated[tuple[ToolRule, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()


class Output(Spec):
    """The form that an answer must have."""

    schema_: Annotated[dict[str, Any], Field(alias="schema", json_schema_extra=OPEN)]


class Limits(Spec):
    """What one task may take at most; the task fails when it needs more."""

    timeout: Span = timedelta(seconds=60)
    max_steps: Annotated[int, Field(ge=1, le=1000, description="Model calls.")] = 12
    max_cost: Number | None = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None


class Cause(StrEnum):
    """Why a task goes to a fallback."""

    MODEL_UNAVAILABLE = "ModelUnavailable"
    RATE_LIMITED = "RateLimited"
    TIMEOUT = "Timeout"
    INVALID_OUTPUT = "InvalidOutput"
    LOW_CONFIDENCE = "LowConfidence"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    REFUSED = "Refused"
    ANY = "Any"


class Human(Spec):
    """People who are asked, and for how long."""

    groups: Annotated[tuple[Text, ...], Field(min_length=1, max_length=16, json_schema_extra=SET)]
    timeout: Span = timedelta(hours=4)


class Fallback(OneOf):
    """Who answers when the agent cannot: another model, another agent, a person, or a fixed reply."""

    CHOICES = ("model", "agent", "human", "reply")

    after: Annotated[
        tuple[Cause, ...], Field(min_length=1, max_length=8, json_schema_extra=SET, description="Why it came so far.")
    ]
    model: Model | None = None
    agent: Name | None = None
    human: Human | None = None
    reply: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] | None = None


class Confidence(Spec):
    """Where an answer's confidence comes from, and how much is enough."""

    from_: Annotated[
        str,
        Field(alias="from", pattern=r"^output(\.[A-Za-z_][A-Za-z0-9_]*)+$", max_length=256),
    ]
    at_least: Annotated[float, Field(ge=0, le=1)]


class EnvVar(Spec):
    """A plain setting of a bring-your-own program: no reference, for secrets have no place in an agent's pod."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    value: Annotated[str, Field(max_length=4096)]


Word = Annotated[str, Field(max_length=4096)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$", max_length=32)]


class Amounts(Spec):
    """CPU, memory and scratch space, as Kubernetes quantities."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Annotated[Quantity | None, Field(alias="ephemeral-storage")] = None


def _fits(amount: str) -> tuple[str, str]:
    field = amount.replace("-", "__dash__")
    return (
        f"!has(self.requests) || !has(self.requests.{field}) || !has(self.limits) || !has(self.limits.{field}) || "
        f"quantity(self.requests.{field}).compareTo(quantity(self.limits.{field})) <= 0",
        f"requests.{amount} must not exceed limits.{amount}",
    )


class Resources(Spec):
    """What an agent's pod asks for and what it can have at most."""

    model_config = ConfigDict(json_schema_extra=rules(_fits("cpu"), _fits("memory"), _fits("ephemeral-storage")))
    requests: Amounts = Amounts()
    limits: Amounts = Amounts()


class Runtime(Spec):
    """The program and its pods. Without an image the default agent runs."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.image) || !(has(self.command) || has(self.args))", "command and args need an image"),
            (
                "!has(self.env) || self.env.all(e, !e.name.startsWith('PROCTOR_') && e.name != 'OPENAI_BASE_URL')",
                "env may not set PROCTOR_* or OPENAI_BASE_URL: proctor sets them",
            ),
        )
    )
    image: Image | None = None
    command: Annotated[tuple[Word, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    args: Annotated[tuple[Word, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=by("name"))] = ()
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    concurrency: Annotated[int, Field(ge=1, le=1000, description="Tasks that one pod works on at the same time.")] = 8
    resources: Resources = Resources()


class Profile(StrEnum):
    """How strongly a pod is fenced in, weakest first."""

    STANDARD = "Standard"
    HARDENED = "Hardened"
    ISOLATED = "Isolated"


class Sandbox(Spec):
    """Standard: Pod Security restricted. Hardened: also a user namespace. Isolated: also another RuntimeClass."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.runtimeClassName) || self.profile == 'Isolated'",
                "runtimeClassName needs profile Isolated",
            )
        )
    )
    profile: Profile = Profile.STANDARD
    runtime_class_name: Annotated[ObjectName | None, Field(description="Default: the installation's own.")] = None


class ServiceAccountReference(Spec):
    """A ServiceAccount in any namespace."""

    namespace: Name
    name: ObjectName


class Caller(OneOf):
    """One who may send tasks."""

    CHOICES = ("service_account", "user", "group")

    service_account: ServiceAccountReference | None = None
    user: Text | None = None
    group: Text | None = None


class Access(Spec):
    """Who may send tasks. An empty list lets nobody in."""

    callers: Annotated[tuple[Caller, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()


class IndicatorType(StrEnum):
    """What an SLO counts as good."""

    TASK_SUCCESS = "TaskSuccess"
    LATENCY = "Latency"
    TOOL_SUCCESS = "ToolSuccess"
    QUALITY = "Quality"
    COST_PER_TASK = "CostPerTask"
    ESCALATION = "Escalation"
    CUSTOM = "Custom"


class Indicator(Spec):
    """A service-level indicator; its threshold is a duration, an amount or a ratio, as the type says."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.threshold) == (self.type in ['Latency', 'Quality', 'CostPerTask'])",
                "threshold is needed for Latency, Quality and CostPerTask, and for no other type",
            ),
            (
                "self.type != 'Latency' || !has(self.threshold) || "
                f"self.threshold.matches('{DURATION}') && self.threshold.matches('[1-9]')",
                "threshold of Latency must be a duration such as 10s",
            ),
            (
                f"self.type != 'CostPerTask' || !has(self.threshold) || self.threshold.matches(r'{DECIMAL}')",
                'threshold of CostPerTask must be a decimal in quotes such as "0.05"',
            ),
            (
                f"self.type != 'Quality' || !has(self.threshold) || self.threshold.matches(r'{RATIO}')",
                'threshold of Quality must be a decimal in quotes from "0" to "1"',
            ),
            (
                "(has(self.good) && has(self.total)) == (self.type == 'Custom')",
                "good and total are needed for Custom, and for no other type",
            ),
        )
    )
    type: IndicatorType
    threshold: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    good: Expression | None = None
    total: Expression | None = None


class Objective(Spec):
    """A service-level objective: which share of events must be good within the window."""

    name: Name
    indicator: Indicator
    target: Percent
    window: Window = timedelta(days=28)
    min_events: Annotated[int, Field(ge=1, le=1_000_000)] = 20


class ConfigMapReference(Spec):
    """A ConfigMap in the agent's namespace."""

    name: ObjectName


class Eval(Spec):
    """A suite of cases that a revision must pass."""

    name: Name
    config_map_ref: ConfigMapReference
    min_pass: Ratio = Decimal(1)
    required: bool = True


class EvalStep(Spec):
    """All required suites of `spec.evals`, before any traffic."""


class ReplayStep(Spec):
    """Finished tasks run again on both revisions."""

    tasks: Annotated[int, Field(ge=1, le=100_000)] = 100


class MirrorStep(Spec):
    """Copies of live tasks whose effects are stubbed and whose answers are dropped."""

    percent: Annotated[int, Field(ge=1, le=100)] = 100
    min_tasks: Annotated[int, Field(ge=1, le=1_000_000)] = 20


class Until(Spec):
    """What must have been seen at a weight before the next step."""

    min_tasks: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    min_duration: Duration = timedelta(minutes=10)


class PauseStep(Spec):
    """A wait: for a duration, or without one until a person promotes."""

    duration: Span | None = None


class ApprovalStep(Spec):
    """A question to people before the step begins."""

    groups: Annotated[tuple[Text, ...], Field(min_length=1, max_length=16, json_schema_extra=SET)]
    timeout: Span = timedelta(hours=24)


class Step(Spec):
    """One step of an upgrade. A weight may be combined with an approval; every other step stands alone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.evals), has(self.replay), has(self.mirror), has(self.weight), has(self.pause)]"
                ".filter(x, x).size() == (has(self.approval) && !has(self.weight) ? 0 : 1)",
                "exactly one of evals, replay, mirror, weight, pause and approval must be set; "
                "approval may accompany weight",
            ),
            ("!has(self.until) || has(self.weight)", "until needs weight"),
        )
    )
    evals: EvalStep | None = None
    replay: ReplayStep | None = None
    mirror: MirrorStep | None = None
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    until: Until | None = None
    pause: PauseStep | None = None
    approval: ApprovalStep | None = None


class RolloutMetric(Spec):
    """An SLO whose worsening counts against a candidate, and by how much it may be worse."""

    name: Name
    margin: Chance


class OnInconclusive(StrEnum):
    """What happens when the evidence runs out undecided."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"
    PROMOTE = "Promote"
    REQUIRE_APPROVAL = "RequireApproval"


class Analysis(Spec):
    """The errors that are accepted: alpha of rolling back a good candidate, beta of promoting a worse one."""

    alpha: Chance = Decimal("0.05")
    beta: Chance = Decimal("0.10")
    metrics: Annotated[tuple[RolloutMetric, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    max_tasks: Annotated[int, Field(ge=1, le=10_000_000)] = 2000
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD


class Rollout(Spec):
    """How a change becomes the stable revision."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.steps) || self.steps.filter(s, has(s.weight)).map(s, s.weight).isSorted()",
                "weights must not fall from one step to the next: sort the steps",
                ".steps",
            )
        )
    )
    steps: Annotated[tuple[Step, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    analysis: Analysis = Analysis()
    progress_deadline: Span = timedelta(minutes=10)
    history_limit: Annotated[int, Field(ge=1, le=100)] = 10


class AgentSpec(OneOf):
    """What a team declares about its agent."""

    CHOICES = ("instructions", "instructions_from")
    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.rollout) || !has(self.rollout.analysis) || !has(self.rollout.analysis.metrics) || "
                "self.rollout.analysis.metrics.all(m, has(self.slos) && self.slos.exists(s, s.name == m.name))",
                "every name in rollout.analysis.metrics must be the name of one of slos",
                ".rollout.analysis.metrics",
            ),
            (
                "!has(self.rollout) || !has(self.rollout.steps) || "
                "!self.rollout.steps.exists(s, has(s.evals)) || (has(self.evals) && self.evals.size() > 0)",
                "a rollout step evals needs at least one of spec.evals",
                ".rollout.steps",
            ),
            (
                "!has(self.confidence) || has(self.output)",
                "confidence needs output.schema, so that every answer has the field it is read from",
                ".confidence",
            ),
            (
                "!has(self.fallbacks) || has(self.confidence) || !self.fallbacks.exists(f, 'LowConfidence' in f.after)",
                "a fallback after LowConfidence needs spec.confidence",
                ".fallbacks",
            ),
            (
                "!has(self.fallbacks) || self.fallbacks.size() == 0 || !self.fallbacks.exists(f, 'Any' in f.after) || "
                "(self.fallbacks.filter(f, 'Any' in f.after).size() == 1 && "
                "'Any' in self.fallbacks[self.fallbacks.size() - 1].after)",
                "the fallback after Any must be the last: those after it would never be reached",
                ".fallbacks",
            ),
        )
    )
    owner: Owner
    purpose: Annotated[str, Field(min_length=1, max_length=4096, description="The intended use.")]
    risk_tier: RiskTier = RiskTier.LIMITED
    suspend: bool = False
    instructions: Annotated[str, Field(min_length=1, max_length=262_144)] | None = None
    instructions_from: InstructionsSource | None = None
    model: Model
    tools: Annotated[tuple[ToolGrant, ...], Field(max_length=32, json_schema_extra=by("connector"))] = ()
    output: Output | None = None
    limits: Limits = Limits()
    fallbacks: Annotated[tuple[Fallback, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    confidence: Confidence | None = None
    runtime: Runtime = Runtime()
    sandbox: Sandbox = Sandbox()
    access: Access = Access()
    slos: Annotated[tuple[Objective, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    evals: Annotated[tuple[Eval, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    rollout: Rollout = Rollout()


class RevisionStatus(Report):
    """Which revisions serve, are tried, and are refused until the spec changes."""

    stable: str | None = None
    candidate: str | None = None
    blocked: Annotated[tuple[str, ...], Field(max_length=16, json_schema_extra=SET)] = ()


class RolloutStatus(Report):
    """Where the upgrade is. The facts here are all that a restarted operator needs to go on."""

    phase: Literal["Initial", "Settled", "Progressing", "Failed"]
    started_at: Annotated[Time | None, Field(description="When the phase began.")] = None
    reason: str | None = None
    message: str | None = None


class NetworkIsolation(StrEnum):
    """What a probe measured, or that none has."""

    VERIFIED = "Verified"
    NOT_ENFORCED = "NotEnforced"
    UNKNOWN = "Unknown"


class SandboxStatus(Report):
    """What really fences the pods in, as measured."""

    profile: Profile
    network_isolation: NetworkIsolation = NetworkIsolation.UNKNOWN
    probed_at: Time | None = None
    message: str | None = None


class Endpoints(Report):
    """Where callers send tasks."""

    invoke: str
    tasks: str


class AgentStatus(Status):
    """What is, as measured."""

    revision: RevisionStatus = RevisionStatus()
    rollout: RolloutStatus | None = None
    replicas: int = 0
    ready_replicas: int = 0
    selector: str = ""
    sandbox: SandboxStatus | None = None
    endpoints: Endpoints | None = None


class Agent(Object):
    """One agent: a first-class, governed asset."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Agent"] = "Agent"
    spec: AgentSpec
    status: AgentStatus = AgentStatus()
