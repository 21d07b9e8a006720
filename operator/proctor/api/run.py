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
    digest: Annotated[Digest | None, Field(description="Start only while the definition has this digest.")] = None


class RunTrigger(Spec):
    """What started the run."""

    name: Name
    at: Annotated[Time | None, Field(description="The time of the schedule, not that of the start.")] = None
    event: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None


class WorkflowRunSpec(OneOf):
    """What runs. It never changes: a repetition is another WorkflowRun."""

    CHOICES = ("workflow", "definition")
    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self == oldSelf", "a WorkflowRun's spec is immutable: create another run"),
        )
    )
    workflow: WorkflowReference | None = None
    definition: Annotated[WorkflowSpec | None, Field(description="For a run without a Workflow.")] = None
    params: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] = Field(default_factory=dict)
    trigger: RunTrigger | None = None
    requested_by: Annotated[Person | None, Field(description="On whose behalf it runs.")] = None
    priority: Annotated[int, Field(ge=-100, le=100, description="Higher ones leave the queue first.")] = 0
    deadline: Annotated[Span | None, Field(description="Instead of the definition's.")] = None


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
    epoch: Annotated[int, Field(description="Rises only when the step is deliberately done again.")] = 0
    attempt: int = 0
    key: Annotated[str | None, Field(description="The idempotency key: of run, step, item and epoch.")] = None
    claim: Annotated[str | None, Field(description="The fencing token of this attempt.")] = None
    effect: Effect | None = None
    task_id: str | None = None
    approval: str | None = None
    input_digest: str | None = None
    output_ref: str | None = None
    output: Annotated[Any, Field(json_schema_extra=OPEN)] = None
    confidence: Number | None = None
    confidence_from: str | None = None
    cost: Number | None = None
    reason: str | None = None
    message: str | None = None
    served_by: str | None = None
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
    snapshot_digest: str | None = None
    incarnation: Annotated[int | None, Field(description="Rises when the cluster was restored from a backup.")] = None
    retries: int | None = None
    steps: Annotated[dict[str, StepState], Field(max_length=1000)] = Field(default_factory=dict)
    counts: StepCounts | None = None
    progress: Annotated[str | None, Field(description="Steps that have ended, of all: `3/7`.")] = None
    spent: Spent | None = None
    outputs: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None
    locks: Annotated[tuple[str, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    failed_steps: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    audit: AuditHead | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    next_wake: Time | None = None


class WorkflowRun(Object):
    """One run of a workflow."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["WorkflowRun"] = "WorkflowRun"
    spec: WorkflowRunSpec
    status: WorkflowRunStatus = WorkflowRunStatus()
