"""Measures the errors and the cost of the evidence, prints the tables, and writes docs/evidence.md when asked to."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.evidence import trials
from tests.bench.evidence.trials import Row

PAGE = Path(__file__).parents[3] / "docs" / "evidence.md"
INTRODUCTION = Path(__file__).with_name("introduction.md")


@dataclass(frozen=True)
class Table:
    """One simulation, and what to say of it."""

    title: str
    words: str
    header: tuple[str, ...]
    rows: Callable[[int], Iterator[Row]]
    part: float = 1.0
    """The part of the runs that it is worth."""


TABLES = (
    Table(
        "A candidate that is no worse is rolled back",
        "Promised: in at most 5 % of all upgrades, however often one looks, whatever becomes of the tasks' difficulty "
        "and of the weights. 400 tasks each (the last row 300); failure rates of stable / candidate.",
        ("world", "failure rates", "looked at", "rolled back"),
        trials.false_rollbacks,
    ),
    Table(
        "A candidate that is worse is rolled back",
        "Harm alone, at a fixed split. Expected: the figures of an independent simulation of the same formulas.",
        ("failure rates", "split", "at most tasks", "rolled back", "expected", "median tasks"),
        trials.detections,
        0.4,
    ),
    Table(
        "Whole upgrades",
        "By weights of 10, 25 and 50 % (from tasks 0, 60 and 160), margin 10 points, at least 20 tasks of the "
        "candidate, at most 800 tasks.",
        (
            "failure rates",
            "rolled back",
            "expected",
            "promoted",
            "expected",
            "median tasks",
            "median tasks of the candidate",
        ),
        trials.policies,
        0.4,
    ),
    Table(
        "The margin of a step",
        "By weights of 10, 25 and 50 %, each left after 20 tasks of the candidate; margin 10 points, at most 800. "
        "With `stepMargin` a weight is raised only once the candidate is shown to be worse by less than that.",
        ("failure rates", "stepMargin", "rolled back", "promoted", "median tasks", "median tasks of the candidate"),
        trials.steps,
        0.2,
    ),
    Table(
        "Replayed pairs",
        "The same tasks on both revisions, up to 200 pairs; seven of ten go by the same chance on both. No user sees "
        "any of them.",
        ("failure rates", "refused", "expected", "median pairs"),
        trials.replays,
        2,
    ),
    Table(
        "A replay in place of live tasks",
        "`onInconclusive: Replay` runs 200 finished tasks on both revisions. What is neither shown worse nor shown no "
        "worse by ten points holds.",
        ("failure rates", "refused", "shown no worse"),
        trials.substitutes,
        2,
    ),
    Table(
        "An exam beside the stable revision's",
        "Both take the same suite. Each answer is wrong by chance with the given share, on both; so many cases the "
        "candidate has lost for good. Refused at `maxRegression` 0.05; without a lost case in at most 5 % of exams.",
        ("cases", "repeats", "wrong by chance", "lost cases", "refused"),
        trials.exams,
    ),
    Table(
        "The same candidate again and again",
        "A candidate that is worse by the whole margin, retried 20 times. Every retry goes on with the evidence there "
        "is, so the chance that one of them promotes it stays what it was for one.",
        ("failure rates", "retries", "promoted by any of them", "promised"),
        trials.retries,
        0.4,
    ),
    Table(
        "An objective is missed",
        "The one-sample test against a bound of 5 % bad events, looked at after each of 1000.",
        ("failure rate", "alarm", "expected", "median events"),
        trials.breaches,
    ),
    Table(
        "The watch after a promotion",
        "A bound of 5 % and a run length of 1000: while the bound is kept, false alarms come at least 1000 tasks apart "
        "on average.",
        ("failure rate", "runs", "mean tasks to the alarm"),
        trials.watches,
        0.4,
    ),
)


def main() -> int:
    """0 if everything is as promised within three standard errors, 1 if not."""
    options = _options()
    begun, kept, pages = time.monotonic(), True, []
    for table in TABLES:
        rows = list(table.rows(max(int(options.runs * table.part), 20)))
        kept = kept and all(row.is_kept for row in rows)
        page = _page(table, rows)
        print(page, flush=True)  # noqa: T201 - what it is run for
        pages.append(page)
    print(f"{time.monotonic() - begun:.0f} s; {'all as promised' if kept else 'NOT AS PROMISED'}")  # noqa: T201 - as above
    if options.write:
        PAGE.write_text(INTRODUCTION.read_text().replace("{runs}", str(options.runs)) + "\n" + "\n".join(pages))
    return 0 if kept else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.evidence", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="upgrades simulated for each row (some rows: a part)")
    parser.add_argument("--write", action="store_true", help="write docs/evidence.md")
    return parser.parse_args()


def _page(table: Table, rows: Iterable[Row]) -> str:
    lines = [
        f"### {table.title}",
        table.words,
        "",
        _line((*table.header, "")),
        _line(("---",) * (len(table.header) + 1)),
    ]
    lines += [_line((*row.cells, "as promised" if row.is_kept else "**not as promised**")) for row in rows]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
