"""Agent: what runs, who owns it, what it may do, how it is upgraded, what it must achieve."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from proctor.api.approval import Asking
from proctor.api.compliance import PolicyStanding
from proctor.api.fields import (
    ATOMIC,
    OPEN,
    SET,
    Expression,
    Image,
    Key,
    ModelName,
    Name,
    Number,
    ObjectName,
    Ratio,
    Span,
    Text,
    Time,
    ToolName,
    by,
    rules,
)
from proctor.api.meta import Object, OneOf, Report, Spec, Status
from proctor.api.objectives import Objective, ObjectiveStatus, ReleaseGate
from proctor.api.progress import RevisionStatus, RolloutStatus
from proctor.api.rollout import Rollout
from proctor.api.usage import UsageStatus


class RiskTier(StrEnum):
    """How much harm a wrong answer can do, in the words of the EU AI Act's tiers."""

    MINIMAL = "Minimal"
    LIMITED = "Limited"
    HIGH = "High"


class Owner(Spec):
    """Who answers for the agent."""

    team: Text
    """The team that answers for it."""
    contact: Annotated[str, Field(min_length=3, max_length=256)]
    """An address that a person reads."""


class KeyReference(Spec):
    """One key of a ConfigMap in the agent's namespace."""

    name: ObjectName
    """The ConfigMap."""
    key: Key
    """The key in it."""


class InstructionsSource(Spec):
    """Where the instructions are, if not in the Agent itself."""

    config_map_key_ref: KeyReference
    """The key of a ConfigMap that holds the instructions; a change of it is a new revision."""


class Model(Spec):
    """The model that the agent thinks with, reached through a Connector of type Model."""

    connector: Name
    """A Connector of type Model in the same namespace."""
    name: ModelName
    """The model's name, as its endpoint knows it."""
    parameters: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] = Field(default_factory=dict)
    """What is sent along with each request, such as `temperature`."""


class Outcome(StrEnum):
    """What a rule makes of a call that it matches."""

    DENY = "Deny"
    REQUIRE_APPROVAL = "RequireApproval"


class ToolRule(Spec):
    """A CEL expression over `args` and `tool`; when it is true, `then` happens instead of the call."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.approval) || self.then == 'RequireApproval'",
                "approval needs then: RequireApproval",
                ".approval",
            ),
        )
    )
    when: Expression
    """CEL over `args`, `tool` and `connector`."""
    then: Outcome
    """What happens instead of the call."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What the agent is told when its call is refused, and people when they are asked."""
    approval: Asking | None = None
    """Whom to ask. Absent: the group `proctor:approvers`, for a day."""


class ToolGrant(Spec):
    """Which tools of one Connector the agent may call. What is not listed is denied."""

    connector: Name
    """A Connector in the same namespace."""
    allow: Annotated[tuple[ToolName, ...], Field(min_length=1, max_length=128, json_schema_extra=SET)]
    """The tools that may be called."""
    rules: Annotated[tuple[ToolRule, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Calls that are refused nevertheless, or need an approval."""


class Output(Spec):
    """The form that an answer must have."""

    schema_: Annotated[dict[str, Any], Field(alias="schema", json_schema_extra=OPEN)]
    """JSON Schema of the answer; another answer is `InvalidOutput`."""


class Limits(Spec):
    """What one task may take at most; the task fails when it needs more."""

    timeout: Span = timedelta(seconds=60)
    """From the start of an attempt to its answer."""
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 12
    """Model calls."""
    max_cost: Number | None = None
    """In the installation's currency."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Of all model calls, in and out."""


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
    """Any member of one of these groups may answer."""
    timeout: Span = timedelta(hours=4)
    """How long an answer is waited for."""


class Fallback(OneOf):
    """Who answers when the agent cannot: another model, another agent, a person, or a fixed reply."""

    CHOICES = ("model", "agent", "human", "reply")

    after: Annotated[tuple[Cause, ...], Field(min_length=1, max_length=8, json_schema_extra=SET)]
    """Why it came so far."""
    model: Model | None = None
    """Another model for the same agent."""
    agent: Name | None = None
    """Another Agent of the same namespace."""
    human: Human | None = None
    """People who answer."""
    reply: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] | None = None
    """A fixed answer, of the form of `output.schema`."""


class Confidence(Spec):
    """Where an answer's confidence comes from, and how much is enough."""

    from_: Annotated[
        str,
        Field(alias="from", pattern=r"^output(\.[A-Za-z_][A-Za-z0-9_]*)+$", max_length=256),
    ]
    """Where in the answer the confidence is."""
    at_least: Annotated[float, Field(ge=0, le=1)]
    """An answer below is `LowConfidence`."""


class EnvVar(Spec):
    """A plain setting of a bring-your-own program: no reference, for secrets have no place in an agent's pod."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """The name of the variable."""
    value: Annotated[str, Field(max_length=4096)]
    """Its value, in plain text."""


Word = Annotated[str, Field(max_length=4096)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$", max_length=32)]


class Amounts(Spec):
    """CPU, memory and scratch space, as Kubernetes quantities."""

    cpu: Quantity | None = None
    """Such as `500m` or `2`."""
    memory: Quantity | None = None
    """Such as `256Mi`."""
    ephemeral_storage: Annotated[Quantity | None, Field(alias="ephemeral-storage")] = None
    """Scratch space such as `1Gi`."""


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
    """What is reserved for it."""
    limits: Amounts = Amounts()
    """What it can have at most."""


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
    """The image of a program of one's own that honours the agent contract. Absent: the default agent."""
    command: Annotated[tuple[Word, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Instead of the image's entry point."""
    args: Annotated[tuple[Word, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Instead of the image's arguments."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=by("name"))] = ()
    """Plain settings of the program."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Pods of the stable revision; leave it out when an autoscaler sets it."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 8
    """Tasks that one pod works on at the same time."""
    resources: Resources = Resources()
    """Of each pod."""


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
    """How strongly the pods are fenced in."""
    runtime_class_name: ObjectName | None = None
    """Default: the installation's own."""


class ServiceAccountReference(Spec):
    """A ServiceAccount in any namespace."""

    namespace: Name
    """Where the ServiceAccount is."""
    name: ObjectName
    """Its name."""


class Caller(OneOf):
    """One who may send tasks."""

    CHOICES = ("service_account", "user", "group")

    service_account: ServiceAccountReference | None = None
    """A ServiceAccount."""
    user: Text | None = None
    """A user, as the API server names it."""
    group: Text | None = None
    """All members of a group."""


class Access(Spec):
    """Who may send tasks. An empty list lets nobody in."""

    callers: Annotated[tuple[Caller, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Who may send tasks. Empty: nobody."""


class AgentAccess(Access):
    """Who may send tasks, and who may also choose the revision that gets them."""

    testers: Annotated[tuple[Caller, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Callers who may choose a task's revision by the header X-Proctor-Revision; such a task is no evidence."""
    resolvers: Annotated[tuple[Caller, ...], Field(max_length=64, json_schema_extra=ATOMIC)] = ()
    """Who may say what became of an effect of unknown outcome, in tasks of any caller. Empty: nobody."""


class ConfigMapReference(Spec):
    """A ConfigMap in the agent's namespace."""

    name: ObjectName
    """Its name."""


class Eval(Spec):
    """A suite of cases that a revision must pass."""

    name: Name
    """Its name in status."""
    config_map_ref: ConfigMapReference
    """Where the cases are."""
    min_pass: Ratio = Decimal(1)
    """The share of cases that must pass."""
    max_regression: Ratio = Decimal("0.05")
    """By how much the share of passed cases may be lower than the stable revision's on the same suite; 1: any."""
    required: bool = True
    """Whether a rollout step `evals` demands it."""


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
    """Who answers for the agent."""
    purpose: Annotated[str, Field(min_length=1, max_length=4096)]
    """The intended use."""
    risk_tier: RiskTier = RiskTier.LIMITED
    """How much harm a wrong answer can do."""
    suspend: bool = False
    """The stop button: no new task, no call out."""
    instructions: Annotated[str, Field(min_length=1, max_length=262_144)] | None = None
    """What the agent is told to do: its system prompt."""
    instructions_from: InstructionsSource | None = None
    """Where the instructions are."""
    model: Model
    """What the agent thinks with."""
    tools: Annotated[tuple[ToolGrant, ...], Field(max_length=32, json_schema_extra=by("connector"))] = ()
    """What the agent may call. Empty: nothing."""
    output: Output | None = None
    """The form that an answer must have. Absent: any."""
    limits: Limits = Limits()
    """What one task may take at most."""
    fallbacks: Annotated[tuple[Fallback, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    """Who answers instead, in this order; each is checked and budgeted anew."""
    confidence: Confidence | None = None
    """Where an answer's confidence comes from, and how much is enough."""
    runtime: Runtime = Runtime()
    """The program and its pods."""
    sandbox: Sandbox = Sandbox()
    """How the pods are fenced in."""
    access: AgentAccess = AgentAccess()
    """Who may send tasks."""
    slos: Annotated[tuple[Objective, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """What the agent must achieve."""
    evals: Annotated[tuple[Eval, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """The exam that a revision must pass."""
    rollout: Rollout = Rollout()
    """How a change becomes the stable revision."""


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
    """When the network was measured."""
    message: str | None = None


class Endpoints(Report):
    """Where callers send tasks."""

    invoke: str
    """For a task and its answer in one request."""
    tasks: str
    """For tasks that are asked for later."""


class AgentStatus(Status):
    """What is, as measured."""

    revision: RevisionStatus = RevisionStatus()
    rollout: RolloutStatus | None = None
    last_handled_command: str | None = None
    """The last value of the annotation proctor.dev/command that was acted on, or refused."""
    replicas: int = 0
    """Pods of the stable revision."""
    ready_replicas: int = 0
    """Those that are ready for tasks."""
    selector: str = ""
    """The label selector of the stable pods, for autoscalers."""
    sandbox: SandboxStatus | None = None
    slos: Annotated[tuple[ObjectiveStatus, ...], Field(max_length=16, json_schema_extra=by("name"))] = ()
    """How each of spec.slos stands."""
    slo_compliance: str | None = None
    """How many objectives are not missed, of all, such as 4/5."""
    error_budget: str | None = None
    """The smallest share of an error budget that is left, such as 62%."""
    release_gate: ReleaseGate | None = None
    """What the error budgets mean for upgrades."""
    policy: PolicyStanding | None = None
    """Which policies hold for the agent, and how it stands with them."""
    usage: UsageStatus | None = None
    """What was used today, and what budgets have left."""
    endpoints: Endpoints | None = None


class Agent(Object):
    """One agent: a first-class, governed asset."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Agent"] = "Agent"
    spec: AgentSpec
    status: AgentStatus = AgentStatus()
