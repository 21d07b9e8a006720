"""Objectives to judge; tests say only what is special about theirs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from proctor.api.objectives import Objective
from proctor.slo.counts import Counts
from proctor.slo.standing import windows_of


def objective(name: str = "answered", target: str = "99", window: str = "28d", **more: Any) -> Objective:
    """An objective of the share of successful tasks."""
    indicator = more.pop("indicator", {"type": "TaskSuccess"})
    return Objective.model_validate({"name": name, "indicator": indicator, "target": target, "window": window, **more})


def counted(wanted: Objective, bad: int, total: int, *, within: timedelta | None = None) -> dict[timedelta, Counts]:
    """So many bad of so many events, all of them just now; or all of them so long ago, and nothing since."""
    counts = Counts(total - bad, total)
    return {each: counts for each in windows_of([wanted]) if within is None or each >= within}
