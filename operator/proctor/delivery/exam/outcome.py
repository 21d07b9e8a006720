"""Whether a revision has passed its exam: it reached what is asked of it, and is no worse than what serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from proctor.delivery.exam.comparison import Comparison, compare
from proctor.delivery.exam.grade import Report

_ANY = Decimal(1)


@dataclass(frozen=True)
class Required:
    """A suite that an agent names, and what came of it."""

    name: str
    least: Decimal
    is_required: bool
    report: Report | None
    """None: it did not run, or could not be read."""
    problem: str | None = None
    """Why there is no report."""
    baseline: Report | None = None
    """What the stable revision did; None if that is not known."""
    margin: Decimal = _ANY
    """By how much the share of cases may be lower than the stable revision's; 1: it is not compared."""
    alpha: float = 0.05
    """The accepted chance to refuse a revision that is no worse."""

    @property
    def is_compared(self) -> bool:
        """Whether it counts how the stable revision did."""
        return self.is_required and self.margin < _ANY

    @property
    def reaches(self) -> bool:
        """Whether it ran whole, and enough cases passed."""
        return self.report is not None and self.report.is_passed(self.least)

    @property
    def comparison(self) -> Comparison | None:
        """Beside the stable revision's; None if the two cannot be compared."""
        return compare(self.report, self.baseline) if self.report and self.baseline else None

    @property
    def is_worse(self) -> bool:
        """Whether it is worse than stable by more than the margin, and not by chance."""
        comparison = self.comparison if self.is_compared else None
        return comparison is not None and comparison.is_worse(self.margin, self.alpha)

    @property
    def words(self) -> str:
        """What came of it, in a sentence."""
        if self.report is None:
            return f"{self.name}: did not run ({self.problem or 'no report'})"
        told, comparison = self.report.words(self.least), self.comparison
        if comparison is None:
            return told
        if not self.is_worse:
            return f"{told}; {comparison.words}"
        return f"{told}; worse than stable: {comparison.words}; {comparison.verdict(self.margin, self.alpha)}"


@dataclass(frozen=True)
class Exam:
    """What came of all suites of an agent."""

    is_passed: bool
    message: str


def examined(suites: Iterable[Required]) -> Exam:
    """Whether a revision may go on. A required suite without a whole report is never a pass, nor is no suite at all.

    A baseline that is not there refuses nobody: where the stable revision cannot be examined there is none to be worse
    than.
    """
    asked = list(suites)
    if not any(each.is_required for each in asked):
        return Exam(is_passed=False, message="no required suite is declared in spec.evals: nothing was examined")
    # What is missing first.
    told = sorted(asked, key=lambda each: each.report is not None)
    passed = all(each.reaches and not each.is_worse for each in asked if each.is_required)
    return Exam(passed, "; ".join(each.words for each in told))
