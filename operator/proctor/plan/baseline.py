"""What revisions did in their exams, as it is kept: one ConfigMap for each, with which the next one is compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proctor.api import names
from proctor.api.agent import Agent
from proctor.delivery.exam import CaseReport, Report
from proctor.plan.children import owned_by
from proctor.plan.world import Manifest

_REASONED, _REASON = 8, 120
"""How many failed cases of a suite keep a reason, and of how many characters."""


@dataclass(frozen=True)
class Kept:
    """What a revision did in a suite, as it is kept, and in which sitting."""

    report: Report
    batch: str


@dataclass(frozen=True)
class Marks:
    """Results of one sitting, to be kept."""

    revision: str
    batch: str
    reports: Mapping[str, Report]


def make_baseline(agent: Agent, found: Marks, before: Manifest | None) -> Manifest:
    """The ConfigMap of what a revision did in its exams: others are compared with it."""
    metadata = agent.metadata
    suites = {each.name for each in agent.spec.evals}
    old = {name: text for name, text in ((before or {}).get("data") or {}).items() if name in suites}
    new = {name: json.dumps(_dumped(found.batch, each), separators=(",", ":")) for name, each in found.reports.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name_of_baseline(agent, found.revision),
            "namespace": metadata.namespace,
            "labels": {**names.revision_labels(metadata.name, found.revision), names.MEASURED: "baseline"},
            "ownerReferences": [owned_by(agent)],
        },
        "data": dict(sorted((old | new).items())),
    }


def name_of_baseline(agent: Agent, revision: str) -> str:
    """The name of the ConfigMap of a revision's exams."""
    return names.of_record(agent.metadata.name, "baseline", revision)


def _dumped(batch: str, report: Report) -> dict[str, Any]:
    failed = [each.name for each in report.cases if not each.is_passed][:_REASONED]
    why = {each.name: each.reasons[0][:_REASON] for each in report.cases if each.name in failed and each.reasons}
    cases = [[each.name, each.repeats, each.passed, each.ran] for each in report.cases]
    return {"suite": report.suite, "digest": report.digest, "batch": batch, "cases": cases, "why": why}


def kept_of(found: Manifest | None) -> dict[str, Kept]:
    """What such a ConfigMap says, by the name of the suite."""
    known: dict[str, Kept] = {}
    for name, text in ((found or {}).get("data") or {}).items():
        data = json.loads(text)
        why = data.get("why", {})
        cases = (CaseReport(a, b, c, d, (why[a],) if a in why else ()) for a, b, c, d in data["cases"])
        known[name] = Kept(Report(data["suite"], data["digest"], tuple(cases)), data.get("batch", ""))
    return known
