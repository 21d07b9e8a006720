"""Two revisions on the same suite: which cases are lost, and whether chance alone would explain it.

A case that is asked several times is a table of its own: so many answers of each revision, so many of them wrong. If
the candidate is no worse, the wrong ones fall on either side as drawn from one urn. The exact conditional test over all
cases is Cochran's and Mantel's; with one answer to each case it is McNemar's. So one unsteady answer says little, and
a case that passed every time and now fails every time says much.
Sources: McNemar, Psychometrika 12 (1947); Birch, J. R. Statist. Soc. B 26 (1964).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import comb

from proctor.delivery.exam.grade import CaseReport, Report

_ROUNDING = 1e-9
_NAMED = 8


@dataclass(frozen=True)
class Comparison:
    """What changed from one revision to the other, on the same suite."""

    broken: tuple[str, ...]
    """Cases that pass on stable and not on the candidate."""
    fixed: tuple[str, ...]
    before: Decimal
    """The share of cases that stable passes."""
    after: Decimal
    chance: float
    """How likely so many wrong answers, or more, fall on a candidate that is no worse."""

    @property
    def drop(self) -> Decimal:
        """By how much the share of cases is lower; negative if it is higher."""
        return self.before - self.after

    def is_worse(self, margin: Decimal, alpha: float) -> bool:
        """Whether the share fell by more than the margin, and chance is no explanation."""
        return self.drop > margin and self.chance <= alpha + _ROUNDING

    @property
    def words(self) -> str:
        """In a sentence."""
        broken = f"; no longer passed: {named(self.broken)}" if self.broken else ""
        fixed = f"; now passed: {named(self.fixed)}" if self.fixed else ""
        return f"{self.before:.1%} on stable, {self.after:.1%} now{broken}{fixed}"

    def verdict(self, margin: Decimal, alpha: float) -> str:
        """The arithmetic, in a sentence: by how much it fell, and how likely that is by chance."""
        fell = f"a drop of {self.drop:.1%}, {margin:.1%} are allowed"
        chance = f"by chance alone in {_percent(self.chance)} of exams"
        return f"{fell}; {chance}, refused up to {_percent(alpha)}"


def compare(report: Report, baseline: Report) -> Comparison | None:
    """The candidate's report beside the stable one's; None if they are of different suites, or one is not whole."""
    if report.digest != baseline.digest or not (report.is_complete and baseline.is_complete):
        return None
    before = {case.name: case for case in baseline.cases}
    pairs = [(before[case.name], case) for case in report.cases if case.name in before]
    if len(pairs) != len(report.cases):
        return None
    return Comparison(
        tuple(now.name for was, now in pairs if was.is_passed and not now.is_passed),
        tuple(now.name for was, now in pairs if now.is_passed and not was.is_passed),
        baseline.share,
        report.share,
        chance_of(pairs),
    )


def chance_of(pairs: Iterable[tuple[CaseReport, CaseReport]]) -> float:
    """The one-sided exact p-value of stable's and the candidate's answers, case by case.

    Given how many answers to a case are wrong in all, those of the candidate among them are hypergeometric if both
    revisions are alike, and no more than that if the candidate is better.
    """
    observed, ways = 0, [1.0]
    for stable, candidate in pairs:
        wrong = candidate.repeats - candidate.passed
        observed += wrong
        ways = _convolved(ways, _drawn(stable.repeats, candidate.repeats, stable.repeats - stable.passed + wrong))
    return min(1.0, sum(ways[observed:]))


def _drawn(stable: int, candidate: int, wrong: int) -> list[float]:
    """The chance of 0, 1, 2… wrong answers on the candidate, of so many in all."""
    every = comb(stable + candidate, wrong)
    return [comb(candidate, x) * comb(stable, wrong - x) / every for x in range(min(candidate, wrong) + 1)]


def _convolved(one: list[float], other: list[float]) -> list[float]:
    found = [0.0] * (len(one) + len(other) - 1)
    for shift, weight in enumerate(other):
        if weight:
            for index, each in enumerate(one):
                found[index + shift] += weight * each
    return found


def named(cases: tuple[str, ...]) -> str:
    """The first cases by name, and how many more there are."""
    more = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
    return f"{', '.join(cases[:_NAMED])}{more}"


def _percent(chance: float) -> str:
    return f"{100 * chance:.2g} %"
