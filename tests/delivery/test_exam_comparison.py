"""Two revisions on one suite: how likely chance alone makes such a difference."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations, product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.delivery.exam import CaseReport, Report, compare
from proctor.delivery.exam.comparison import chance_of

ALPHA = 0.05


def case(name: str, repeats: int, passed: int) -> CaseReport:
    """A case that was asked so often."""
    return CaseReport(name, repeats, passed, repeats)


def pair(repeats: int, stable: int, candidate: int, name: str = "c") -> tuple[CaseReport, CaseReport]:
    """How often a case passed on either revision."""
    return case(name, repeats, stable), case(name, repeats, candidate)


KNOWN: dict[str, tuple[list[tuple[CaseReport, CaseReport]], float]] = {
    "nothing was wrong": ([pair(1, 1, 1)] * 9, 1.0),
    "everything was wrong on both": ([pair(2, 0, 0)] * 9, 1.0),
    "one case lost": ([pair(1, 1, 0)], 0.5),
    "one of many lost": ([pair(1, 1, 0)] + [pair(1, 1, 1)] * 40, 0.5),
    "five lost": ([pair(1, 1, 0)] * 5, 1 / 32),
    "five lost, one won": ([pair(1, 1, 0)] * 5 + [pair(1, 0, 1)], 7 / 64),
    "one won": ([pair(1, 0, 1)], 1.0),
    "one answer of three lost": ([pair(3, 3, 2)], 0.5),
    "all three answers lost": ([pair(3, 3, 0)], 1 / 20),
    "all five answers lost": ([pair(5, 5, 0)], 1 / 252),
    "all three lost, all three won": ([pair(3, 3, 0), pair(3, 0, 3)], 282 / 400),
}


@pytest.mark.parametrize(("pairs", "chance"), KNOWN.values(), ids=list(KNOWN))
def test_the_chance_of_a_difference(pairs: list[tuple[CaseReport, CaseReport]], chance: float) -> None:
    """McNemar's with one answer to each case; one that is steadily lost in several answers speaks by itself."""
    assert chance_of(pairs) == pytest.approx(chance)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3))
def test_the_chance_is_that_of_all_ways_to_mix_the_answers(cases: list[tuple[int, int, int]]) -> None:
    """Counted one by one: of all ways to deal the answers of each case out again, those that look as bad or worse."""
    pairs = [pair(k, min(a, k), min(b, k)) for k, a, b in cases]
    observed = sum(each.repeats - each.passed for _, each in pairs)
    dealt = []
    for stable, candidate in pairs:
        answers = [0] * (stable.passed + candidate.passed)
        answers += [1] * (stable.repeats + candidate.repeats - len(answers))
        dealt.append([sum(hand) for hand in combinations(answers, candidate.repeats)])
    ways = [sum(hands) >= observed for hands in product(*dealt)]
    assert chance_of(pairs) == pytest.approx(sum(ways) / len(ways))


@pytest.mark.parametrize("fails", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize(("cases", "repeats"), [(1, 3), (6, 1), (3, 2)])
def test_a_candidate_that_is_alike_is_seldom_called_worse(fails: float, cases: int, repeats: int) -> None:
    """Every outcome of two revisions that fail equally often, weighed by how likely it is."""
    outcomes = list(product(range(repeats + 1), repeat=cases))
    weight = [comb(repeats, right) * (1 - fails) ** right * fails ** (repeats - right) for right in range(repeats + 1)]
    worse = 0.0
    for stable, candidate in product(outcomes, repeat=2):
        pairs = [pair(repeats, a, b) for a, b in zip(stable, candidate, strict=True)]
        if chance_of(pairs) <= ALPHA + 1e-9:
            likely = 1.0
            for right in (*stable, *candidate):
                likely *= weight[right]
            worse += likely
    assert worse <= ALPHA + 1e-9


def test_the_largest_suite_is_reckoned_at_once() -> None:
    """Two thousand answers, a third of them wrong on either side."""
    pairs = [pair(4, 3, 2, f"c{number}") for number in range(500)]
    assert chance_of(pairs) < 1e-9


MARGINS = [("0", True), ("0.49", True), ("0.5", False), ("1", False)]


@pytest.mark.parametrize(("margin", "is_worse"), MARGINS)
def test_a_loss_within_the_margin_is_allowed(margin: str, is_worse: bool) -> None:
    """Five of ten cases are lost, which is no chance; whether it matters, the margin says."""
    before = Report("s", "d", tuple(case(str(n), 1, 1) for n in range(10)))
    after = Report("s", "d", tuple(case(str(n), 1, int(n < 5)) for n in range(10)))
    found = compare(after, before)
    assert found is not None
    assert found.is_worse(Decimal(margin), ALPHA) is is_worse


def test_no_margin_makes_one_unsteady_answer_a_loss() -> None:
    """Of a suite of four: without a margin, the share fell, but half of all exams would show that."""
    before = Report("s", "d", tuple(case(str(n), 1, 1) for n in range(4)))
    after = Report("s", "d", tuple(case(str(n), 1, int(n > 0)) for n in range(4)))
    found = compare(after, before)
    assert found is not None
    assert found.broken == ("0",)
    assert not found.is_worse(Decimal(0), ALPHA)
