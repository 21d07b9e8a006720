"""The registry of the kinds: what each is called, where it lives, and which columns `kubectl get` shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proctor.api import approval
from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.meta import Object
from proctor.api.policy import ClusterPolicy, Policy
from proctor.api.run import WorkflowRun
from proctor.api.workflow import Workflow


class Scope(StrEnum):
    """Whether objects of a kind live in a namespace."""

    NAMESPACED = "Namespaced"
    CLUSTER = "Cluster"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; a wide one is shown only with `-o wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Scale:
    """Where the scale subresource finds its numbers. The field of the wish must have a default: HPAs start from it."""

    spec_replicas: str
    status_replicas: str
    selector: str


@dataclass(frozen=True)
class Kind:
    """One kind of proctor.dev/v1alpha1, described once for the schema, the operator and the command line."""

    model: type[Object]
    plural: str
    short: str
    columns: tuple[Column, ...]
    scope: Scope = Scope.NAMESPACED
    scale: Scale | None = None
    longest_name: int = 63
    rules: tuple[tuple[str, str] | tuple[str, str, str], ...] = ()
    """CEL rules that need more than the spec: the object's name, or its status."""

    @property
    def name(self) -> str:
        """The kind's name, as in a manifest."""
        return self.model.__name__

    @property
    def singular(self) -> str:
        """What `kubectl get` also accepts."""
        return self.name.lower()


def _condition(type_: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{part}'


_READY: Final = Column("Ready", _condition("Ready", "status"), "Whether it does what its spec says.")
_REASON: Final = Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.")
_MESSAGE: Final = Column("Message", _condition("Ready", "message"), "The reason in full.", wide=True)
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Since when it exists.", type="date")

AGENT: Final = Kind(
    model=Agent,
    plural="agents",
    short="ag",
    scale=Scale(".spec.runtime.replicas", ".status.replicas", ".status.selector"),
    rules=(
        (
            "!has(self.spec.fallbacks) || self.spec.fallbacks.all(f, !has(f.agent) || f.agent != self.metadata.name)",
            "an agent must not be its own fallback: name another agent",
            ".spec.fallbacks",
        ),
    ),
    columns=(
        _READY,
        _REASON,
        Column("Phase", ".status.rollout.phase", "Where the upgrade is."),
        Column("Stable", ".status.revision.stable", "The revision that serves."),
        Column("Candidate", ".status.revision.candidate", "The revision that is tried."),
        Column("Weight", ".status.rollout.weight", "Percent of new tasks that begin on the candidate.", type="integer"),
        Column("Verdict", ".status.rollout.verdict.text", "What the evidence says so far."),
        Column("Pods", ".status.readyReplicas", "Pods that are ready for tasks.", type="integer"),
        Column("SLO", ".status.sloCompliance", "Objectives that are not missed, of all."),
        Column("Budget", ".status.errorBudget", "The smallest share of an error budget that is left."),
        Column("Isolation", ".status.sandbox.networkIsolation", "Whether the pods' network was seen to be closed."),
        _AGE,
        Column("Model", ".spec.model.name", "What the agent thinks with.", wide=True),
        Column("Owner", ".spec.owner.team", "Who answers for the agent.", wide=True),
        Column("Risk", ".spec.riskTier", "How much harm a wrong answer can do.", wide=True),
        Column("Spent", ".status.usage.costToday", "What calls have cost since midnight UTC.", wide=True),
        Column("Left", ".status.usage.budgetRemaining", "What policies' budgets have left.", wide=True),
        Column("Suspended", ".spec.suspend", "Whether the agent is stopped.", type="boolean", wide=True),
        _MESSAGE,
    ),
)

CONNECTOR: Final = Kind(
    model=Connector,
    plural="connectors",
    short="conn",
    columns=(
        _READY,
        _REASON,
        Column("Type", ".spec.type", "The protocol that the system speaks."),
        Column("Found", ".status.summary", "What the last probe found."),
        Column("Probed", ".status.lastProbe", "When the system was last asked.", type="date"),
        _AGE,
        Column("URL", ".spec.url", "Where the system is.", wide=True),
        Column("Secret", ".spec.auth.secretRef.name", "Where its credential is kept.", wide=True),
        _MESSAGE,
    ),
)

_POLICY_COLUMNS: Final = (
    Column("Mode", ".spec.mode", "What a finding leads to."),
    _READY,
    _REASON,
    Column("Agents", ".status.agents.matched", "Agents that the policy selects.", type="integer"),
    Column("Violating", ".status.agents.violating", "Agents that do not follow it.", type="integer"),
    Column("Excepted", ".status.agents.excepted", "Agents that need not follow it, for a while.", type="integer"),
    _AGE,
    Column("Owner", ".spec.owner.team", "Who answers for the policy.", wide=True),
    Column("Scanned", ".status.lastScan", "When the agents were last looked at.", type="date", wide=True),
    _MESSAGE,
)
POLICY: Final = Kind(model=Policy, plural="policies", short="agpol", columns=_POLICY_COLUMNS)
CLUSTER_POLICY: Final = Kind(
    model=ClusterPolicy, plural="clusterpolicies", short="cagpol", columns=_POLICY_COLUMNS, scope=Scope.CLUSTER
)

APPROVAL: Final = Kind(
    model=approval.Approval,
    plural="approvals",
    short="apr",
    rules=approval.OBJECT_RULES,
    columns=(
        Column("Phase", ".status.phase", "Whether an answer is awaited."),
        Column("Decision", ".status.decision", "The answer."),
        Column("Question", ".spec.question", "What is asked."),
        Column("Groups", ".spec.approvers.groups", "Groups whose members may answer."),
        Column("Deadline", ".spec.deadline", "Until when an answer counts."),
        _AGE,
        Column("Users", ".spec.approvers.users", "Users who may answer.", wide=True),
        Column("Decided by", ".status.decidedBy", "Who answered.", wide=True),
        Column("Requested by", ".spec.requestedBy", "On whose behalf the question is asked.", wide=True),
        Column("Digest", ".spec.subject.digest", "Of exactly what is approved.", wide=True),
    ),
)

WORKFLOW: Final = Kind(
    model=Workflow,
    plural="workflows",
    short="agwf",
    # A run started by a schedule is called `<workflow>-<minute since 1970>`, and its name becomes a label, too.
    longest_name=52,
    columns=(
        _READY,
        _REASON,
        Column("Version", ".spec.version", "The version of the definition."),
        Column("Active", ".status.active", "Runs that have not ended.", type="integer"),
        Column("Last", ".status.lastRun.phase", "How the latest run stands."),
        Column("Started", ".status.lastRun.at", "When the latest run began.", type="date"),
        _AGE,
        Column("Owner", ".spec.owner.team", "Who answers for the workflow.", wide=True),
        Column("Suspended", ".spec.suspend", "Whether no run is started.", type="boolean", wide=True),
        Column("Next", ".status.nextRuns[0].at", "When the next run starts.", wide=True),
        _MESSAGE,
    ),
)

WORKFLOW_RUN: Final = Kind(
    model=WorkflowRun,
    plural="workflowruns",
    short="agrun",
    columns=(
        Column("Workflow", ".spec.workflow.name", "What runs."),
        Column("Phase", ".status.phase", "How far it is."),
        Column("Progress", ".status.progress", "Steps that have ended, of all."),
        Column("Failed", ".status.failedSteps", "Steps that failed."),
        Column("Cost", ".status.spent.cost", "What it has cost so far."),
        _AGE,
        Column("Trigger", ".spec.trigger.name", "What started it.", wide=True),
        Column("By", ".spec.requestedBy", "On whose behalf it runs.", wide=True),
        Column("Finished", ".status.finishedAt", "When it ended.", type="date", wide=True),
        Column("Message", ".status.message", "What it waits for, or why it failed.", wide=True),
    ),
)

ALL: Final = (AGENT, CONNECTOR, POLICY, CLUSTER_POLICY, APPROVAL, WORKFLOW, WORKFLOW_RUN)


def named(word: str) -> Kind:
    """The kind that a person means by a kind's name, plural, singular or short name. Raises KeyError."""
    wanted = word.lower()
    for kind in ALL:
        if wanted in {kind.singular, kind.plural, kind.short}:
            return kind
    raise KeyError(word)
