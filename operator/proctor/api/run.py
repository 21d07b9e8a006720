"""WorkflowRun: one run of a workflow, and its state machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from proctor.api.approval import Person
from proctor.api.connector import Effect
from proctor.api.fields import ATOMIC, OPEN, SET, Digest, Name, Number, Span, Time, rules
from proctor.api.meta import Object, OneOf, Report, Spec, Status
from proctor.api.workflow import WorkflowSpec


class WorkflowReference(Spec):
    """A Workflow of the same namespace. The run copies its definition when it starts."""

    name: Name
    """The Workflow."""
    digest: Digest | None = None
    """Start only while the definition has this digest."""


class RunTrigger(Spec):
    """What started the run."""

    name: Name
    """The trigger of the Workflow."""
    at: Time | None = None
    """The time of the schedule, not that of the start."""
    event: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None
    """The event that started it."""


class WorkflowRunSpec(OneOf):
    """What runs. It never changes: a repetition is another WorkflowRun."""

    CHOICES = ("workflow", "definition")
    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self == oldSelf", "a WorkflowRun's spec is immutable: create another run"),
        )
    )
    workflow: WorkflowReference | None = None
    """The Workflow that runs."""
    definition: WorkflowSpec | None = None
    """For a run without a Workflow."""
    params: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] = Field(default_factory=dict)
    """What the run is given."""
    trigger: RunTrigger | None = None
    """What started it. Absent: a person."""
    requested_by: Person | None = None
    """On whose behalf it runs."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher ones leave the queue first."""
    deadline: Span | None = None
    """Instead of the definition's."""


class RunPhase(StrEnum):
    """How far a run is."""

    QUEUED = "Queued"
    RUNNING = "Running"
    WAITING_APPROVAL = "WaitingApproval"
    COMPENSATING = "Compensating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    TIMED_OUT = "TimedOut"
    STALLED = "Stalled"
    INDETERMINATE = "Indeterminate"


class StepPhase(StrEnum):
    """How far a step of a run is."""

    PENDING = "Pending"
    READY = "Ready"
    DISPATCHED = "Dispatched"
    WAITING = "Waiting"
    AWAITING_APPROVAL = "AwaitingApproval"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    OMITTED = "Omitted"
    CANCELLED = "Cancelled"
    UNCERTAIN = "Uncertain"
    INDETERMINATE = "Indeterminate"
    COMPENSATED = "Compensated"


class StepState(Report):
    """All that a restarted runner needs to go on with a step."""

    phase: StepPhase
    epoch: int = 0
    """Rises only when the step is deliberately done again."""
    attempt: int = 0
    """Rises with every dispatch."""
    key: str | None = None
    """The idempotency key: of run, step, item and epoch."""
    claim: str | None = None
    """The fencing token of this attempt."""
    effect: Effect | None = None
    task_id: str | None = None
    """The task at the gateway."""
    approval: str | None = None
    """The Approval that is awaited."""
    input_digest: str | None = None
    output_ref: str | None = None
    output: Annotated[Any, Field(json_schema_extra=OPEN)] = None
    """Up to 2 KiB; a larger one is at outputRef."""
    confidence: Number | None = None
    confidence_from: str | None = None
    cost: Number | None = None
    reason: str | None = None
    message: str | None = None
    served_by: str | None = None
    """Who answered in the end: the agent, a fallback, a person."""
    started_at: Time | None = None
    finished_at: Time | None = None
    deadline: Time | None = None
    wake_at: Time | None = None


class StepCounts(Report):
    """How many steps there are, and how they stand."""

    total: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0


class Spent(Report):
    """What a run has cost so far."""

    cost: Number | None = None
    tokens: int = 0


class AuditHead(Report):
    """The latest record of the run in the audit log; it moves in the same write as the state."""

    seq: int
    head_hash: str


class WorkflowRunStatus(Status):
    """The state machine. A run that has ended does not change; only a failed one can be taken up again by a retry."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(oldSelf.phase) || !(oldSelf.phase in ['Succeeded', 'Cancelled', 'Failed', 'TimedOut']) || "
                "(has(self.phase) && self.phase == oldSelf.phase) || "
                "(oldSelf.phase in ['Failed', 'TimedOut'] && has(self.retries) && "
                "self.retries > (has(oldSelf.retries) ? oldSelf.retries : 0))",
                "phase is final: only a failed run goes on, by a retry that raises retries",
            ),
        )
    )
    phase: RunPhase | None = None
    message: str | None = None
    """What it waits for, or why it failed."""
    snapshot_digest: str | None = None
    """Of the definition that the run copied when it began."""
    incarnation: int | None = None
    """Rises when the cluster was restored from a backup."""
    retries: int | None = None
    """How often a failed run was taken up again."""
    steps: Annotated[dict[str, StepState], Field(max_length=1000)] = Field(default_factory=dict)
    """The state of each step, by its path."""
    counts: StepCounts | None = None
    progress: str | None = None
    """Steps that have ended, of all: `3/7`."""
    spent: Spent | None = None
    outputs: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None
    """What the run gave back."""
    locks: Annotated[tuple[str, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """The locks that it holds."""
    failed_steps: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Steps that failed."""
    audit: AuditHead | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    next_wake: Time | None = None
    """When it is looked at again at the latest."""


class WorkflowRun(Object):
    """One run of a workflow."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["WorkflowRun"] = "WorkflowRun"
    spec: WorkflowRunSpec
    status: WorkflowRunStatus = WorkflowRunStatus()
