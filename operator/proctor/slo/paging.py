"""When the spending of an error budget is an alarm: fast over a long and a short window, and not by chance.

The rows are those of Google's SRE Workbook, chapter 5, and of Sloth for 28 days. That chapter says itself that they
break at low traffic: one failure in a night with two tasks would page. So a row also needs enough events, and evidence
that they fail more often than the row's rate allows. The evidence of a sliding window may be looked at once: by
Markov's inequality one look at an agent that just keeps to the rate alarms with a chance of at most 1 in 20.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from math import log

from proctor.api.fields import format_decimal, format_duration
from proctor.api.objectives import Objective, Severity
from proctor.evidence.breach import one_sample
from proctor.slo.budget import allowed, burn_rate
from proctor.slo.counts import NOTHING, Windows

SURE = log(20)
"""The evidence, as a logarithm, from which on something is not chance."""

_BASE = timedelta(days=28)
_SHORTEST = timedelta(minutes=1)
_USUAL = (
    ("page-quick", Severity.PAGE, timedelta(hours=1), Decimal("0.02")),
    ("page-slow", Severity.PAGE, timedelta(hours=6), Decimal("0.05")),
    ("ticket-quick", Severity.TICKET, timedelta(days=1), Decimal("0.10")),
    ("ticket-slow", Severity.TICKET, timedelta(days=3), Decimal("0.10")),
)
"""Name, severity, long window, and the share of the budget that is spent in it when the row becomes true."""


@dataclass(frozen=True)
class Row:
    """Both windows must burn faster than the rate."""

    id: str
    severity: Severity
    long: timedelta
    short: timedelta
    rate: Decimal


@dataclass(frozen=True)
class LeftOut:
    """A row that cannot say anything about this objective, and why."""

    row: Row
    why: str


@lru_cache(maxsize=4096)
def rows(objective: Objective) -> tuple[Row | LeftOut, ...]:
    """The rows of the objective's alerting table, in order; those that cannot be true are marked."""
    return tuple(_checked(row, objective) for row in _table(objective))


def usable(objective: Objective) -> tuple[Row, ...]:
    """The rows that can be true."""
    return tuple(row for row in rows(objective) if isinstance(row, Row))


def _table(objective: Objective) -> Iterator[Row]:
    if objective.alerting is not None:
        for number, each in enumerate(objective.alerting.burn_rates):
            yield Row(f"{each.severity.lower()}-{number + 1}", each.severity, each.long, each.short, each.rate)
        return
    # An objective of a week is at risk within hours, not days: its rows shrink with it.
    scale = min(1.0, objective.window / _BASE)
    for id_, severity, reference, share in _USUAL:
        long = timedelta(seconds=round((reference * scale).total_seconds()))
        rate = share * _seconds(objective.window) / max(_seconds(long), 1)
        yield Row(id_, severity, long, timedelta(seconds=round(long.total_seconds() / 12)), rate)


def _seconds(duration: timedelta) -> int:
    return round(duration.total_seconds())


def _checked(row: Row, objective: Objective) -> Row | LeftOut:
    share = row.rate * allowed(objective.target)
    if share >= 1:
        rate, target = f"{row.rate:.3g}", format_decimal(objective.target)
        return LeftOut(row, f"more than all events would have to be bad: {rate} times what {target} % allows")
    if row.long > objective.window:
        return LeftOut(row, f"looks at {format_duration(row.long)}, longer than the objective's own window")
    if row.long < _SHORTEST:
        return LeftOut(row, f"looks at {format_duration(row.long)}, too short to be measured")
    return row


def firing(objective: Objective, windows: Windows) -> tuple[Row, ...]:
    """The rows that are true now."""
    return tuple(row for row in usable(objective) if _fires(row, objective, windows))


def _fires(row: Row, objective: Objective, windows: Windows) -> bool:
    share = allowed(objective.target)
    long, short = windows.get(row.long, NOTHING), windows.get(row.short, NOTHING)
    burns = (burn_rate(long, share), burn_rate(short, share))
    if any(burn is None or burn <= row.rate for burn in burns) or long.total < objective.min_events:
        return False
    return one_sample(long.bad, long.total, float(row.rate * share)) >= SURE
