"""Objectives as OpenSLO v1 documents, and back (github.com/OpenSLO/OpenSLO, version 1).

OpenSLO describes an indicator by queries of some data source. Ours are counted by the gateway itself, so an exported
document carries both: a query of the gateway's counters, and the indicator in an annotation, by which it is read back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from proctor.api.fields import format_decimal
from proctor.api.objectives import Objective
from proctor.slo.prometheus import BAD, EVENTS

API_VERSION: Final = "openslo/v1"
INDICATOR: Final = "proctor.dev/indicator"
SLO_NAME: Final = "proctor.dev/slo"

_WINDOW: Final = re.compile(r"([0-9]{1,4})(h|d|w)")


class Unusable(ValueError):  # noqa: N818 - a state of the document
    """A document that says something that an objective of an Agent cannot say. The text names the field."""


def exported(namespace: str, agent: str, objective: Objective) -> dict[str, Any]:
    """The objective as a document."""
    indicator = objective.indicator.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": API_VERSION,
        "kind": "SLO",
        "metadata": {
            "name": f"{namespace}-{agent}-{objective.name}",
            "annotations": {SLO_NAME: objective.name, INDICATOR: json.dumps(indicator, sort_keys=True)},
        },
        "spec": {
            "service": f"{namespace}-{agent}",
            "indicator": {
                "metadata": {"name": objective.name},
                "spec": {
                    "ratioMetric": {
                        "counter": True,
                        "bad": _metric(BAD, namespace, agent, objective.name),
                        "total": _metric(EVENTS, namespace, agent, objective.name),
                    }
                },
            },
            "timeWindow": [{"duration": _duration(objective), "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": objective.name, "target": float(objective.target / 100)}],
        },
    }


def _metric(counter: str, namespace: str, agent: str, name: str) -> dict[str, Any]:
    query = f'sum({counter}{{namespace="{namespace}",agent="{agent}",slo="{name}"}})'
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _duration(objective: Objective) -> str:
    """In one unit, as OpenSLO has it."""
    hours = objective.window // timedelta(hours=1)
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


def imported(document: Mapping[str, Any], otherwise: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The item of spec.slos that a document stands for. `otherwise` is the indicator of one that names none of ours.

    Raises Unusable for what cannot be kept as it is meant: to judge by something else would be worse than not to.
    """
    if document.get("apiVersion") != API_VERSION or document.get("kind") != "SLO":
        raise Unusable(f"apiVersion and kind must be {API_VERSION} SLO")
    metadata, spec = _mapping(document, "metadata"), _mapping(document, "spec")
    method = spec.get("budgetingMethod", "Occurrences")
    if method != "Occurrences":
        raise Unusable(f"spec.budgetingMethod {method}: only Occurrences are counted")
    notes = metadata.get("annotations") or {}
    indicator = json.loads(notes[INDICATOR]) if INDICATOR in notes else otherwise
    if indicator is None:
        raise Unusable(
            f"metadata.annotations has no {INDICATOR}: queries of a data source cannot be counted by the gateway; "
            "say which indicator is meant"
        )
    return {
        "name": _name(str(notes.get(SLO_NAME) or metadata.get("name") or "")),
        "indicator": dict(indicator),
        "target": _target(spec),
        "window": _window(spec),
    }


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = body.get(key)
    if not isinstance(found, Mapping):
        raise Unusable(f"{key} is missing")
    return found


def _name(text: str) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if not name:
        raise Unusable("metadata.name is missing")
    return name[:63].rstrip("-")


def _target(spec: Mapping[str, Any]) -> str:
    objectives = spec.get("objectives") or []
    if len(objectives) != 1:
        raise Unusable(f"spec.objectives has {len(objectives)} items: an objective has one target")
    only = objectives[0]
    try:
        percent = Decimal(str(only["targetPercent"])) if "targetPercent" in only else Decimal(str(only["target"])) * 100
    except (KeyError, InvalidOperation) as exc:
        raise Unusable("spec.objectives[0] needs target or targetPercent") from exc
    return format_decimal(percent.normalize())


def _window(spec: Mapping[str, Any]) -> str:
    windows = spec.get("timeWindow") or []
    if len(windows) != 1 or not windows[0].get("isRolling", False):
        raise Unusable("spec.timeWindow must be one rolling window: calendars are not counted")
    found = _WINDOW.fullmatch(str(windows[0].get("duration", "")))
    if found is None:
        raise Unusable(f"spec.timeWindow[0].duration {windows[0].get('duration')}: hours, days or weeks are counted")
    number, unit = int(found[1]), found[2]
    return f"{number * 7}d" if unit == "w" else f"{number}{unit}"
