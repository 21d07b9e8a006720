"""What is known for the reports of policies: written by the reporter, read by the reconcile of each report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from proctor.plan.reports import Called, ReportKind

REPORT: Final = "Report"
"""The kind of the keys that stand for an Agent's report, whatever kind the cluster has for it."""


@dataclass
class Reports:
    """The kind of report that the cluster has, and what was found in calls."""

    kind: ReportKind | None = None
    """None while the cluster has none."""
    called: dict[tuple[str, str], tuple[Called, ...]] = field(default_factory=dict)

    def of(self, namespace: str, name: str) -> tuple[Called, ...]:
        """What was found in one agent's calls."""
        return self.called.get((namespace, name), ())
