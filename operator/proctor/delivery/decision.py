"""What the machine answers: where the rollout is now, what just happened to it, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proctor.api.progress import OutcomeType
from proctor.delivery.phases import Rollout


@dataclass(frozen=True)
class Outcome:
    """Something that happened to a rollout and that a person may want to know."""

    reason: str
    message: str
    is_warning: bool = False


@dataclass(frozen=True)
class Ended:
    """How an upgrade ended."""

    type: OutcomeType
    revision: str
    reason: str
    message: str
    metric: str | None = None
    """The metric that weighed most."""
    e: float | None = None
    """The evidence of harm, or of being no worse."""


@dataclass(frozen=True)
class Decision:
    """Where the rollout is now, what just happened to it, and when to look again."""

    rollout: Rollout
    outcomes: tuple[Outcome, ...] = ()
    wake_at: datetime | None = None
    ended: Ended | None = None
    """Set when an upgrade has just ended."""

    def then(self, further: Decision) -> Decision:
        """This one, and what followed from it at once."""
        return Decision(
            further.rollout, (*self.outcomes, *further.outcomes), further.wake_at, further.ended or self.ended
        )
