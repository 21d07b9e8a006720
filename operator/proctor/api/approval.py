"""Approval: one question to people, bound to the digest of what is approved."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from proctor.api.fields import ATOMIC, OPEN, SET, Digest, Name, Span, Time, ToolName, by, rules
from proctor.api.meta import Object, OneOf, Report, Spec, Status

Person = Annotated[str, Field(min_length=1, max_length=256)]
"""A user or a group, as the API server names it."""

People = Annotated[tuple[Person, ...], Field(max_length=32, json_schema_extra=SET)]
Question = Annotated[str, Field(min_length=1, max_length=4096)]
RevisionHash = Annotated[str, Field(pattern=r"^[0-9a-f]{10}$", max_length=10)]


class OnTimeout(StrEnum):
    """What follows when nobody answered in time. Silence never approves."""

    DENY = "Deny"
    HOLD = "Hold"


class Approvers(Spec):
    """Who may answer: any of these users, and every member of these groups."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.users) && self.users.size() > 0) || (has(self.groups) && self.groups.size() > 0)",
                "name at least one of users or groups: else nobody could answer",
            )
        )
    )
    users: People = ()
    """Users who may answer."""
    groups: People = ()
    """Groups whose members may answer."""


class Asking(Approvers):
    """Whom to ask, how many must agree, and how long to wait for them."""

    quorum: Annotated[int, Field(ge=1, le=16)] = 1
    """Answers that must agree."""
    four_eyes: bool = True
    """Whether the one who asks may not answer."""
    timeout: Span = timedelta(hours=24)
    """How long an answer is waited for."""
    on_timeout: OnTimeout = OnTimeout.DENY
    """What follows then."""


class Option(Spec):
    """One possible answer."""

    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", min_length=1, max_length=63)]
    """The answer in a word."""
    description: Annotated[str, Field(max_length=1024)] = ""
    """What it means."""


Options = Annotated[tuple[Option, ...], Field(min_length=2, max_length=8, json_schema_extra=by("name"))]
APPROVE: Final = Option(name="Approve")
REJECT: Final = Option(name="Reject")


class ToolCallSubject(Spec):
    """One call of a tool, with exactly these arguments."""

    agent: Name
    """Who wants to call."""
    revision: RevisionHash
    """Its revision."""
    task: Annotated[str, Field(min_length=1, max_length=64)]
    """For which task."""
    connector: Name
    """Which system."""
    tool: ToolName
    """Which tool of it."""
    arguments: Annotated[dict[str, Any], Field(json_schema_extra=OPEN)] = Field(default_factory=dict)
    """With what."""


class RolloutSubject(Spec):
    """One step of an upgrade to exactly this revision."""

    agent: Name
    """Which agent is upgraded."""
    revision: RevisionHash
    """To which revision."""
    step: Annotated[int, Field(ge=0, le=31)]
    """The index of the step that would begin."""
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """The share of tasks that the candidate would get."""


class OverrideSubject(Spec):
    """An upgrade to exactly this revision, although the agent's error budget is spent."""

    agent: Name
    """Which agent is upgraded."""
    revision: RevisionHash
    """To which revision."""
    for_: Annotated[Span, Field(alias="for")]
    """How long it goes on from the answer on."""


class StepSubject(Spec):
    """A human step of a workflow's run."""

    run: Name
    """Which run."""
    step: Name
    """Which step of it."""
    epoch: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Which execution of the step."""
    input: Annotated[Any, Field(json_schema_extra=OPEN)] = None
    """What the step was given."""


class Subject(OneOf):
    """What is approved. The digest covers all of it: a changed argument needs another Approval."""

    CHOICES = ("tool_call", "rollout", "override", "step")
    digest: Digest
    """Of the whole subject."""
    tool_call: ToolCallSubject | None = None
    """A call of a tool."""
    rollout: RolloutSubject | None = None
    """A step of an upgrade."""
    override: OverrideSubject | None = None
    """An upgrade without error budget."""
    step: StepSubject | None = None
    """A human step of a workflow's run."""

    @property
    def upgrade(self) -> RolloutSubject | OverrideSubject | None:
        """What is asked about an upgrade: its agent and revision."""
        return self.rollout or self.override


class ApprovalSpec(Spec):
    """The question. It never changes: another question is another Approval."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self == oldSelf", "an Approval's spec is immutable: delete it, or create another one"),
            (
                "(!has(self.options) && !has(self.answerSchema)) || has(self.subject.step)",
                "options and answerSchema need subject.step: everything else is answered by Approve or Reject",
            ),
            (
                "(has(self.approvers.groups) && self.approvers.groups.size() > 0) || "
                "(has(self.approvers.users) ? self.approvers.users : []).filter(u, "
                "!(has(self.notBy) && u in self.notBy) && "
                "!(self.fourEyes && has(self.requestedBy) && u == self.requestedBy)).size() >= self.quorum",
                "quorum cannot be reached: too few of approvers.users may answer after fourEyes and notBy; "
                "name more users or a group",
                ".quorum",
            ),
        )
    )
    subject: Subject
    """What is approved."""
    question: Question
    """What the people read."""
    options: Options | None = None
    """The possible answers. Absent: Approve and Reject."""
    answer_schema: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None
    """JSON Schema of what an answer must contain."""
    approvers: Approvers
    """Who may answer."""
    quorum: Annotated[int, Field(ge=1, le=16)] = 1
    """Answers that must agree."""
    requested_by: Person | None = None
    """On whose behalf the question is asked."""
    four_eyes: bool = True
    """Whether requestedBy may not answer."""
    not_by: People = ()
    """Users who may not answer."""
    deadline: Time
    """Until when an answer counts."""
    on_timeout: OnTimeout = OnTimeout.DENY
    """What follows when nobody answered in time."""

    @property
    def choices(self) -> tuple[Option, ...]:
        """The answers that are possible."""
        return self.options or (APPROVE, REJECT)


class ApprovalPhase(StrEnum):
    """How far the question is."""

    PENDING = "Pending"
    DECIDED = "Decided"
    TIMED_OUT = "TimedOut"
    WITHDRAWN = "Withdrawn"


class Vote(Report):
    """One person's answer. Admission holds that `user` is the one who wrote it."""

    user: Annotated[str, Field(max_length=256)]
    """Who."""
    decision: Annotated[str, Field(max_length=63)]
    """One of the options."""
    digest: Annotated[str, Field(max_length=71)]
    """The digest of what the person saw: that of spec.subject."""
    at: Time | None = None
    comment: Annotated[str, Field(max_length=4096)] = ""
    answer: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None


class ApprovalStatus(Status):
    """What people said, and what follows from it."""

    phase: ApprovalPhase | None = None
    votes: Annotated[tuple[Vote, ...], Field(max_length=32, json_schema_extra=by("user"))] = ()
    """What each person answered."""
    decision: Annotated[str | None, Field(max_length=63)] = None
    """The answer, once enough agree."""
    decided_by: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """Those whose votes made it."""
    decided_at: Time | None = None
    """When the last of them voted."""
    comment: Annotated[str | None, Field(max_length=4096)] = None
    """What they said."""
    answer: Annotated[dict[str, Any] | None, Field(json_schema_extra=OPEN)] = None
    """What they filled in."""
    withdrawn: Annotated[str | None, Field(max_length=1024)] = None
    """Why nobody is asked any more."""


class Approval(Object):
    """One question to people."""

    api_version: Literal["proctor.dev/v1alpha1"] = "proctor.dev/v1alpha1"
    kind: Literal["Approval"] = "Approval"
    spec: ApprovalSpec
    status: ApprovalStatus = ApprovalStatus()


_OPTIONS = "(has(self.spec.options) ? self.spec.options.map(o, o.name) : ['Approve', 'Reject'])"
OBJECT_RULES: Final = (
    (
        f"!has(self.status) || !has(self.status.decision) || self.status.decision in {_OPTIONS}",
        "status.decision must be one of spec.options (Approve or Reject when there are none)",
    ),
    (
        f"!has(self.status) || !has(self.status.votes) || self.status.votes.all(v, v.decision in {_OPTIONS})",
        "status.votes[].decision must be one of spec.options (Approve or Reject when there are none)",
    ),
    (
        "!has(self.status) || !has(self.status.votes) || "
        "self.status.votes.all(v, v.digest == self.spec.subject.digest)",
        "status.votes[].digest must be spec.subject.digest: look at the question again",
    ),
    (
        "!has(self.status) || !has(self.status.votes) || !has(self.spec.notBy) || "
        "!self.status.votes.exists(v, v.user in self.spec.notBy)",
        "status.votes[].user must not be one of spec.notBy",
    ),
    (
        "!has(self.status) || !has(self.status.votes) || !self.spec.fourEyes || !has(self.spec.requestedBy) || "
        "!self.status.votes.exists(v, v.user == self.spec.requestedBy)",
        "status.votes[].user must not be spec.requestedBy: another person has to answer (fourEyes)",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.decision) || "
        "(has(self.status) && has(self.status.decision) && self.status.decision == oldSelf.status.decision)",
        "status.decision is final: create another Approval",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase != 'Withdrawn' || "
        "(has(self.status) && has(self.status.phase) && self.status.phase == 'Withdrawn')",
        "status.phase Withdrawn is final: create another Approval",
    ),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.votes) || (has(self.status) && has(self.status.votes) && "
        "oldSelf.status.votes.all(o, self.status.votes.exists(v, v.user == o.user && v.decision == o.decision)))",
        "status.votes are final: a vote is neither changed nor taken back",
    ),
)
"""What the API server holds across spec and status."""
