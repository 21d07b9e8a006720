"""Paired replay: the same recorded tasks on both revisions. The tool for agents with little traffic.

Only pairs that differ speak: if the candidate is no worse, at most every second of them is a failure of the candidate
alone. `log_replay_harm` is the McNemar test as a mixture over a uniform prior, so one may look after every pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import log, log1p

from proctor.delivery.evidence.betting import STAKES
from proctor.delivery.evidence.figures import written
from proctor.delivery.evidence.mixture import log_mean
from proctor.evidence.beta import log_above, log_beta


@dataclass(frozen=True)
class Run:
    """One recorded task on one revision. Late is bad, as with live tasks; it is the same for both revisions."""

    bad: bool
    finished_at: datetime | None
    deadline: datetime

    def outcome(self, now: datetime) -> bool | None:
        """Whether it was bad; None while it still has time."""
        if self.finished_at is not None and self.finished_at <= self.deadline:
            return self.bad
        return True if now >= self.deadline else None


@dataclass(frozen=True)
class Pair:
    """One recorded task, run on both revisions."""

    stable: Run
    candidate: Run


@dataclass(frozen=True)
class Replay:
    """What the pairs have come to."""

    pairs: int = 0
    both_bad: int = 0
    candidate_only: int = 0
    """Pairs in which only the candidate was bad."""
    stable_only: int = 0
    peak: float = 0.0
    """The most that the evidence of harm came to, as a logarithm, looking after every pair."""

    def after(self, *, stable: bool, candidate: bool) -> Replay:
        """With one more pair, of which these were bad."""
        candidate_only = self.candidate_only + (candidate and not stable)
        stable_only = self.stable_only + (stable and not candidate)
        peak = max(self.peak, log_replay_harm(candidate_only, stable_only))
        return Replay(self.pairs + 1, self.both_bad + (stable and candidate), candidate_only, stable_only, peak)

    @property
    def log_harm(self) -> float:
        """The evidence that the candidate is worse."""
        return log_replay_harm(self.candidate_only, self.stable_only)

    def is_worse(self, alpha: float) -> bool:
        """Whether the candidate was shown to be worse, at any time."""
        return self.peak >= -log(alpha)

    def log_no_worse(self, margin: float) -> float:
        """The evidence that the candidate does not fail more of the same tasks by the margin or more."""
        return log_no_worse(self.pairs, self.candidate_only, self.stable_only, margin)

    def words(self, alpha: float) -> str:
        """What it says, in a sentence."""
        return (
            f"{self.pairs} pairs: {self.candidate_only} failed by the candidate alone, {self.stable_only} by stable "
            f"alone, {self.both_bad} by both; evidence of harm {written(self.peak)}, refused from {1 / alpha:.3g}"
        )


def replayed(pairs: Iterable[Pair], now: datetime) -> Replay:
    """The pairs up to the first that is still open, in their order: those that end first are not the typical ones."""
    replay = Replay()
    for pair in pairs:
        stable, candidate = pair.stable.outcome(now), pair.candidate.outcome(now)
        if stable is None or candidate is None:
            break
        replay = replay.after(stable=stable, candidate=candidate)
    return replay


def log_no_worse(pairs: int, candidate_only: int, stable_only: int, margin: float) -> float:
    """The logarithm of the evidence against "the candidate fails more of the same tasks, by the margin or more".

    The bets of live tasks, on pairs: the difference of a pair is 1, 0 or -1, and known without any weighing. An
    e-process, whose value does not depend on the order of the pairs. Source: as of `betting`.
    """
    alike, most = pairs - candidate_only - stable_only, 1 - margin
    return log_mean(
        [
            candidate_only * log1p(-stake)
            + stable_only * log1p(stake * (margin + 1) / most)
            + alike * log1p(stake * margin / most)
            for stake in STAKES
        ]
    )


def log_replay_harm(candidate_only: int, stable_only: int) -> float:
    """The logarithm of the evidence that the candidate fails more of the same tasks, from the pairs that differ.

    An e-process: the mean likelihood ratio, over a uniform prior on (1/2, 1), of the chance that a pair that differs
    was the candidate's failure, against one half. Source: McNemar, Psychometrika 12 (1947), with Robbins' mixture.
    """
    n = candidate_only + stable_only
    a, b = candidate_only + 1, stable_only + 1
    return (n + 1) * log(2) + log_beta(a, b) + log_above(0.5, a, b)
