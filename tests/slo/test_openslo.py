"""Objectives in OpenSLO's form, and back."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.api.objectives import Objective
from proctor.slo.openslo import Unusable, exported, imported
from tests.slo.objectives import objective

EVERY = {
    "success": objective(),
    "latency": objective("fast", "95.5", "7d", indicator={"type": "Latency", "threshold": "10s"}),
    "cost": objective("cheap", "90", "36h", indicator={"type": "CostPerTask", "threshold": "0.05"}),
    "own": objective("own", "99.95", indicator={"type": "Custom", "good": "task.seconds < 5.0", "total": "true"}),
}


@pytest.mark.parametrize("wanted", EVERY.values(), ids=EVERY)
def test_what_is_exported_is_read_back(wanted: Objective):
    """The same name, indicator, target and window; and others find a query in it."""
    document = exported("support", "refunds", wanted)
    back = Objective.model_validate(imported(document))
    assert (back.name, back.indicator, back.target, back.window) == (
        wanted.name,
        wanted.indicator,
        wanted.target,
        wanted.window,
    )
    ratio = document["spec"]["indicator"]["spec"]["ratioMetric"]
    assert 'slo="' in ratio["bad"]["metricSource"]["spec"]["query"]


def others(**changes: Any) -> dict[str, Any]:
    """A document as somebody else wrote it."""
    spec = {
        "service": "shop",
        "timeWindow": [{"duration": "4w", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": 0.985}],
        **changes,
    }
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "Shop_Answers"}, "spec": spec}


def test_somebody_elses_document_is_read():
    """Weeks are days, a share is a percentage, a name is made fit; the indicator has to be said."""
    assert imported(others(), {"type": "TaskSuccess"}) == {
        "name": "shop-answers",
        "indicator": {"type": "TaskSuccess"},
        "target": "98.5",
        "window": "28d",
    }
    assert imported(others(objectives=[{"targetPercent": 99}]), {"type": "TaskSuccess"})["target"] == "99"


UNUSABLE = {
    "another kind": ({"apiVersion": "openslo/v1", "kind": "SLI"}, "must be openslo/v1 SLO"),
    "another version": ({**others(), "apiVersion": "openslo/v2"}, "must be openslo/v1 SLO"),
    "another method": (others(budgetingMethod="Timeslices"), "only Occurrences"),
    "a calendar": (others(timeWindow=[{"duration": "1M", "isRolling": False}]), "one rolling window"),
    "a month": (others(timeWindow=[{"duration": "1M", "isRolling": True}]), "hours, days or weeks"),
    "several targets": (others(objectives=[{"target": 0.9}, {"target": 0.99}]), "has 2 items"),
    "no target": (others(objectives=[{"displayName": "x"}]), "needs target"),
    "no spec": ({**others(), "spec": None}, "spec is missing"),
}


@pytest.mark.parametrize(("document", "says"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_an_agent_cannot_say_is_refused(document: dict[str, Any], says: str):
    """To judge by something else than was meant would be worse."""
    with pytest.raises(Unusable, match=says):
        imported(document, {"type": "TaskSuccess"})


def test_queries_alone_name_no_indicator():
    """The gateway counts tasks, not series."""
    with pytest.raises(Unusable, match="say which indicator"):
        imported(others())
