"""What follows from the votes on an Approval: the one place that counts them, for the operator and for the gateway.

That a vote is its user's own, and that the user may answer by name or by group, is held by admission when it is
written: only the API server knows who asks it. Everything else is looked at again here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctor.api import digest
from proctor.api.approval import Approval, ApprovalPhase, ApprovalSpec, OnTimeout, Vote


@dataclass(frozen=True)
class Pending:
    """Not enough people agree yet."""


@dataclass(frozen=True)
class Decided:
    """Enough people agree. `answer` is what all of them filled in, `at` when the last of them voted."""

    decision: str
    by: tuple[str, ...]
    at: datetime | None
    comment: str | None
    answer: dict[str, Any] | None


@dataclass(frozen=True)
class TimedOut:
    """The deadline has passed, and silence denies."""


@dataclass(frozen=True)
class Withdrawn:
    """Whoever asked does not want to know any more."""


Tally = Pending | Decided | TimedOut | Withdrawn


def tally(approval: Approval, now: datetime) -> Tally:
    """What the votes say. The first vote that makes a quorum decides; later ones change nothing."""
    spec = approval.spec
    if approval.status.phase is ApprovalPhase.WITHDRAWN:
        return Withdrawn()
    agreed: dict[str, list[Vote]] = {}
    for vote in _valid(spec, approval.status.votes, now):
        together = agreed.setdefault(digest.sha256([vote.decision, vote.answer]), [])
        together.append(vote)
        if len(together) >= spec.quorum:
            return _decided(together)
    if now > spec.deadline and spec.on_timeout is OnTimeout.DENY:
        return TimedOut()
    return Pending()


def _decided(votes: Sequence[Vote]) -> Decided:
    said = "; ".join(vote.comment for vote in votes if vote.comment)
    times = [vote.at for vote in votes if vote.at is not None]
    who = tuple(vote.user for vote in votes)
    return Decided(votes[0].decision, who, max(times, default=None), said or None, votes[0].answer)


def _valid(spec: ApprovalSpec, votes: Sequence[Vote], now: datetime) -> list[Vote]:
    choices = {option.name for option in spec.choices}
    barred = {*spec.not_by, *((spec.requested_by,) if spec.four_eyes and spec.requested_by else ())}
    found: dict[str, Vote] = {}
    for vote in votes:
        counts = vote.decision in choices and vote.digest == spec.subject.digest and vote.user not in barred
        if counts and _is_asked(spec, vote.user) and _in_time(spec, vote, now):
            found.setdefault(vote.user, vote)
    return list(found.values())


def _is_asked(spec: ApprovalSpec, user: str) -> bool:
    # Who is in a group only admission knows.
    return bool(spec.approvers.groups) or user in spec.approvers.users


def _in_time(spec: ApprovalSpec, vote: Vote, now: datetime) -> bool:
    if spec.on_timeout is OnTimeout.HOLD:
        return True
    return (vote.at if vote.at is not None else now) <= spec.deadline
