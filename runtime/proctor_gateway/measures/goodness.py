"""Whether one ended task was good for an objective. The same rules as `store.indicators` has for many at once."""

from __future__ import annotations

from typing import Any

from proctor.api.objectives import IndicatorType
from proctor_gateway.rules.tasks import Phase
from proctor_gateway.store.indicators import Counted, Sums


def judged(row: Any, indicator: Counted) -> Sums:
    """Good events of all events in this row of `outcomes`. Raises ValueError for Custom, which CEL decides."""
    late = row.deadline is not None and row.deadline < row.finished_at
    counts = row.phase != Phase.CANCELLED or late
    threshold = indicator.threshold or 0.0
    match indicator.type:
        case IndicatorType.TASK_SUCCESS:
            itself = row.phase == Phase.SUCCEEDED and not late and not row.escalated
            return _event(itself if row.feedback is None else row.feedback, counts=counts)
        case IndicatorType.LATENCY:
            return _event(row.seconds <= threshold, counts=counts)
        case IndicatorType.TOOL_SUCCESS:
            return row.tool_calls - row.tool_errors, row.tool_calls
        case IndicatorType.QUALITY:
            return _event((row.quality or 0.0) >= threshold, counts=row.quality is not None)
        case IndicatorType.COST_PER_TASK:
            return _event(float(row.cost or 0) <= threshold, counts=row.cost is not None)
        case IndicatorType.ESCALATION:
            return _event(not row.escalated, counts=row.phase != Phase.CANCELLED)
        case IndicatorType.CUSTOM:
            raise ValueError("an indicator of one's own is judged by its expressions")


def _event(is_good: bool, *, counts: bool) -> Sums:
    return int(counts and is_good), int(counts)
