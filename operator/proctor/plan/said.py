"""What the gateway says when it is asked of an agent's tasks, and what it is asked to run.

Each answer is a `Report`: fields of a later gateway are ignored. Whatever keeps an answer from coming is a `NoAnswer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import Field

from proctor.api.fields import Time
from proctor.api.meta import Report


@dataclass(frozen=True)
class NoAnswer:
    """The gateway could not be asked, or what it said cannot be used. `is_refused`: to ask again is no use."""

    reason: str
    is_refused: bool = False
    is_missing: bool = False
    """Whether the gateway does not know what it was asked about."""


class OutcomeItem(Report):
    """One live task of a rollout. One that still runs has no `finished_at`."""

    assignment: int = 0
    task: str
    revision: str
    arm: str | None = None
    propensity: Decimal | None = None
    assigned_at: Time
    deadline: Time | None = None
    finished_at: Time | None = None
    phase: str
    reason: str | None = None
    seconds: float | None = None
    cost: Decimal | None = None
    tool_calls: int = 0
    tool_errors: int = 0
    escalated: bool = False
    success: bool | None = None
    """Whether it is a success, by its phase or by what somebody said of it later."""
    quality: float | None = None
    confidence: float | None = None
    conversation: bool = False


class FinishedItem(OutcomeItem):
    """One live task of a revision that has ended; `cursor` orders them by their ends."""

    cursor: str
    assigned_at: Time | None = None  # type: ignore[assignment] # it does not matter when it began


class Finished(Report):
    """Live tasks of a revision in the order in which they ended."""

    items: tuple[FinishedItem, ...] = ()
    as_of: Time


class Outcomes(Report):
    """Tasks of a rollout in the order in which their arms were drawn."""

    items: tuple[OutcomeItem, ...] = ()
    as_of: Time


class Traffic(Report):
    """What the gateways do now."""

    as_of: Time
    gateways: int = 0
    rollout: str | None = None
    stable: str | None = None
    """The revision that has all tasks which are not the candidate's."""
    weight: int = 0
    agreed: bool = False
    """Whether every live gateway has seen this rollout, this stable revision and this weight."""
    in_flight: dict[str, int] = Field(default_factory=dict)
    begun: dict[str, int] = Field(default_factory=dict)
    """Tasks that each revision began under this rollout."""


class TrialCall(Report):
    """One call that a trial made."""

    connector: str = ""
    name: str = ""
    arguments: Any = None
    state: str = ""


_ENDED = frozenset({"Succeeded", "Failed", "Cancelled", "Indeterminate"})


class TrialItem(Report):
    """What came of one trial on one revision."""

    key: str
    revision: str
    task: str | None = None
    phase: str = ""
    reason: str | None = None
    output: Any = None
    confidence: float | None = None
    seconds: float | None = None
    cost: Decimal | None = None
    tokens: int | None = None
    calls: tuple[TrialCall, ...] = ()
    unanswered: int = 0
    """Calls for which a replay had no recorded answer."""
    original: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.phase in _ENDED


class Trials(Report):
    """A batch of trials, as far as it is."""

    batch: str
    purpose: str
    done: bool = False
    items: tuple[TrialItem, ...] = ()


@dataclass(frozen=True)
class Watched:
    """Of which live tasks to hear: of a revision, ended since then, after the one that the cursor names."""

    revision: str
    since: datetime
    cursor: str = ""


class Judged(Report):
    """What a judging model said."""

    text: str
    cost: Decimal | None = None


Judgements = dict[tuple[str, str, int], str]
"""What judging models said: by suite, trial and number of the check."""


@dataclass(frozen=True)
class Sitting:
    """What is heard of one revision's exam: its answers, and what judging models said of them."""

    trials: Trials | NoAnswer | None = None
    judgements: Judgements | NoAnswer | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether the gateway was never told what to ask."""
        return isinstance(self.trials, NoAnswer) and self.trials.is_missing


@dataclass(frozen=True)
class Batch:
    """Trials to run. The same name with the same body is the same batch, however often it is sent."""

    name: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """All that was asked of the gateway for one look at an agent, and what it said; None where nothing was asked."""

    outcomes: Outcomes | NoAnswer | None = None
    traffic: Traffic | NoAnswer | None = None
    finished: Finished | NoAnswer | None = None
    trials: Trials | NoAnswer | None = None
    exam: Sitting = Sitting()
    """Of the candidate."""
    baseline: Sitting = Sitting()
    """Of the stable revision, where it is asked the same."""

    @property
    def silence(self) -> NoAnswer | None:
        """The first question that was not answered. That a batch is not known yet is an answer."""
        sittings = (said for each in (self.exam, self.baseline) for said in (each.trials, each.judgements))
        answers = (self.outcomes, self.traffic, self.finished, self.trials, *sittings)
        silent = (each for each in answers if isinstance(each, NoAnswer) and not each.is_missing)
        return next(silent, None)
