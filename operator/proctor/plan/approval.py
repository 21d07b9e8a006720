"""An Approval: what its votes say becomes its status. The votes are the people's; everything else in it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, assert_never

from proctor.api.approval import Approval, ApprovalPhase, ApprovalStatus, OnTimeout
from proctor.plan import conditions
from proctor.plan.conditions import Finding
from proctor.plan.world import Event, Plan
from proctor.policy.votes import Decided, Pending, Tally, TimedOut, Withdrawn, tally

_RESYNC = timedelta(hours=1)
_AFTER = timedelta(seconds=1)
_LONGEST = 1024


def plan_approval(approval: Approval, now: datetime) -> Plan:
    """The Approval's status, and when to look again: at its deadline, if silence decides then."""
    before = approval.status
    if before.decision is not None or before.phase is ApprovalPhase.TIMED_OUT or _is_told(before):
        # What was once decided stays so, whatever is found out later.
        return Plan(now + _RESYNC)
    if approval.spec.subject.upgrade is not None and not approval.metadata.owner_references:
        # Its Agent was deleted, and what it owned was spared.
        before = _withdrawn(before, "the Agent that asked is gone")
        approval = approval.model_copy(update={"status": before})
    found = tally(approval, now)
    status = _status(approval, found, now)
    report = _ours(status)
    events = tuple(_events(before, found))
    return Plan(_wake_at(approval, found, now), status=report if report != _ours(before) else None, events=events)


def withdrawn(approval: Approval, why: str) -> dict[str, Any]:
    """The status of a question that nobody waits for any more. Its conditions follow from it, and people are told."""
    return _ours(_withdrawn(approval.status, why))


def _withdrawn(status: ApprovalStatus, why: str) -> ApprovalStatus:
    return status.model_copy(update={"phase": ApprovalPhase.WITHDRAWN, "withdrawn": why[:_LONGEST]})


def _is_told(status: ApprovalStatus) -> bool:
    """Whether the conditions say already that nobody is asked any more: whoever asked writes only that it is so."""
    reason = ApprovalPhase.WITHDRAWN.value
    return status.phase is ApprovalPhase.WITHDRAWN and any(each.reason == reason for each in status.conditions)


def _ours(status: ApprovalStatus) -> dict[str, Any]:
    # Votes are left out: to apply them would make them ours, and nobody could take them for their voter's any more.
    return status.model_copy(update={"votes": ()}).dump()


def _wake_at(approval: Approval, found: Tally, now: datetime) -> datetime:
    if isinstance(found, Pending) and approval.spec.on_timeout is OnTimeout.DENY:
        return min(approval.spec.deadline + _AFTER, now + _RESYNC)
    return now + _RESYNC


def _status(approval: Approval, found: Tally, now: datetime) -> ApprovalStatus:
    generation, before = approval.metadata.generation, approval.status
    merged = conditions.merge(before.conditions, _findings(approval, found, now), generation, now)
    changes: dict[str, Any] = {"observed_generation": generation, "conditions": merged, "phase": _phase(found)}
    if isinstance(found, Decided):
        changes |= {
            "decision": found.decision,
            "decided_by": found.by,
            "decided_at": found.at or now,
            "comment": found.comment,
            "answer": found.answer,
        }
    return before.model_copy(update=changes)


def _phase(found: Tally) -> ApprovalPhase:
    match found:
        case Pending():
            return ApprovalPhase.PENDING
        case Decided():
            return ApprovalPhase.DECIDED
        case TimedOut():
            return ApprovalPhase.TIMED_OUT
        case Withdrawn():
            return ApprovalPhase.WITHDRAWN
        case _:
            assert_never(found)


def _findings(approval: Approval, found: Tally, now: datetime) -> Iterator[Finding]:
    waits = isinstance(found, Pending)
    if waits:
        late = now > approval.spec.deadline
        said = f"{len(approval.status.votes)} votes; {approval.spec.quorum} that agree are needed"
        reason, message = ("HeldPastDeadline", f"{said}; nobody answered in time") if late else ("Asked", said)
        yield conditions.false("Ready", reason, message)
    else:
        yield conditions.true("Ready", _phase(found).value, _words(found, approval.status.withdrawn))
    # kstatus: an object that waits for people is neither broken nor being worked on.
    yield conditions.false("Reconciling", "Waiting" if waits else "Done")
    yield conditions.false("Stalled", "Waiting" if waits else "Done")


def _words(found: Tally, withdrawn: str | None = None) -> str:
    match found:
        case Decided(decision=decision, by=by):
            return f"{decision} by {', '.join(by)}"
        case TimedOut():
            return "nobody answered in time: that denies"
        case Withdrawn():
            return withdrawn or "whoever asked does not ask any more"
        case Pending():
            return "people are asked"
        case _:
            assert_never(found)


def _events(before: ApprovalStatus, found: Tally) -> Iterator[Event]:
    if before.phase is None and isinstance(found, Pending):
        yield Event("Asked", "people are asked")
    if not isinstance(found, Pending):
        kind = "Normal" if isinstance(found, Decided) else "Warning"
        yield Event(_phase(found).value, _words(found, before.withdrawn), kind)  # type: ignore[arg-type]
