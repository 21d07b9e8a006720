"""Which cases of an exam passed, and why the others did not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from proctor.delivery.exam.answers import Result, complaint, ended
from proctor.delivery.exam.checks import EndsAs, LLMJudge, MustNotCall
from proctor.delivery.exam.judging import Judgement
from proctor.delivery.exam.suite import Case, Suite

_MOST_REASONS = 5
_LINE, _TOLD, _NAMED = 100, 2, 8
"""Of a sentence about a suite: the characters for one case, how many cases with a reason, how many at least named."""


@dataclass(frozen=True)
class CaseReport:
    """What came of one case."""

    name: str
    repeats: int
    passed: int
    """Answers that passed."""
    ran: int
    """Answers that there are."""
    reasons: tuple[str, ...] = ()
    """Why the others did not, each once."""

    @property
    def is_passed(self) -> bool:
        """Whether every answer passed (pass^k)."""
        return self.passed == self.repeats

    @property
    def words(self) -> str:
        """The case in one line."""
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        times = f" ({self.passed} of {self.repeats})" if self.repeats > 1 else ""
        return f"{self.name}{times}{why}"


@dataclass(frozen=True)
class Report:
    """What came of a suite."""

    suite: str
    digest: str
    """Of the suite's text."""
    cases: tuple[CaseReport, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every trial ran."""
        return all(case.ran == case.repeats for case in self.cases)

    @property
    def passed(self) -> int:
        """Cases of which every answer passed."""
        return sum(case.is_passed for case in self.cases)

    @property
    def share(self) -> Decimal:
        """The share of cases that passed (pass^k)."""
        return Decimal(self.passed) / len(self.cases)

    @property
    def share_of_answers(self) -> Decimal:
        """The share of single answers that passed; a wide gap to `share` is an agent that is not steady."""
        return Decimal(sum(case.passed for case in self.cases)) / sum(case.repeats for case in self.cases)

    def is_passed(self, least: Decimal) -> bool:
        """Whether it ran whole and at least this share of cases passed."""
        return self.is_complete and self.passed >= least * len(self.cases)

    def words(self, least: Decimal) -> str:
        """What came of it, in a sentence that names the first cases that failed."""
        count = f"{self.suite}: {self.passed} of {len(self.cases)} cases passed, at least {least:%} must"
        if not self.is_complete:
            open_ = sum(case.repeats - case.ran for case in self.cases)
            count = f"{count}; {open_} answers are missing"
        failed = [case for case in self.cases if not case.is_passed]
        told = [case.words if len(case.words) <= _LINE else f"{case.words[: _LINE - 1]}…" for case in failed[:_TOLD]]
        told += [case.name for case in failed[_TOLD:_NAMED]]
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        return f"{count}; {'; '.join(told)}{more}" if failed else count


def grade(
    suite: Suite, results: Iterable[Result], judgements: Mapping[tuple[str, int], Judgement] | None = None
) -> Report:
    """Every case of the suite with what came of it. A trial without a result, or a rubric without a judgement, fails.

    `judgements` are by trial and number of the check, as `judging.questions` has them. Of two results of one trial the
    first counts: a second chance is none of the candidate's business.
    """
    found: dict[str, Result] = {}
    for result in results:
        found.setdefault(result.key, result)
    return Report(suite.name, suite.digest, tuple(_case(case, found, judgements or {}) for case in suite.cases))


def _case(case: Case, found: Mapping[str, Result], judgements: Mapping[tuple[str, int], Judgement]) -> CaseReport:
    reasons: list[str] = []
    passed = 0
    for key in case.keys:
        complaints = [f"{key} did not run"] if key not in found else _complaints(case, found[key], judgements)
        passed += not complaints
        reasons += [each for each in complaints if each not in reasons]
    ran = sum(key in found for key in case.keys)
    return CaseReport(case.name, case.repeats, passed, ran, tuple(reasons[:_MOST_REASONS]))


def _complaints(case: Case, result: Result, judgements: Mapping[tuple[str, int], Judgement]) -> list[str]:
    if result.phase != "Succeeded" and not any(isinstance(check, EndsAs) for check in case.checks):
        # What a task that broke off left behind is no answer, but what it did on the way it did.
        forbidden = (complaint(check, result, case) for check in case.checks if isinstance(check, MustNotCall))
        return [f"the task ended as {ended(result)}", *(words for words in forbidden if words)]
    found = []
    for number, check in enumerate(case.checks):
        if isinstance(check, LLMJudge):
            judgement = judgements.get((result.key, number))
            words = "no judge has looked at it" if judgement is None else judgement.complaint
        else:
            words = complaint(check, result, case)
        if words:
            found.append(words)
    return found
