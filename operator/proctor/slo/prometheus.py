"""Prometheus' rules for an agent's objectives: recording rules under Sloth's names, and alerts with the same judgement.

Prometheus sees the gateway's counters, the status sees the gateway's store; the rows, rates and least events are the
same. The e-value needs a function that PromQL has not. The alerts take a bound from below instead,

    log E >= n KL(p, b) - log(n + 1) - log 2

(the mixture is at least the best likelihood over n + 1, and of it at least half lies above b where p does), so they
never ring where the status would not, and in doubt a few events later. Source of the rules' names: Sloth's generator.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from math import log
from typing import Any, Final

from proctor.api.fields import format_decimal, format_duration, parse_duration
from proctor.api.objectives import Objective, Severity
from proctor.slo.budget import allowed
from proctor.slo.paging import Row, usable

Rule = dict[str, Any]

EVENTS: Final = "proctor_slo_events_total"
BAD: Final = "proctor_slo_bad_events_total"

_ON: Final = "on(sloth_id, sloth_service, sloth_slo)"
_SLOTH: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_SEVERITY: Final = {Severity.PAGE: "page", Severity.TICKET: "ticket"}
_SURE: Final = f"{log(2 * 20):.4f}"


def groups(namespace: str, agent: str, objectives: tuple[Objective, ...]) -> list[dict[str, Any]]:
    """The rule groups of all objectives of an agent."""
    made: list[dict[str, Any]] = []
    for each in objectives:
        of = _Of(namespace, agent, each)
        made += [
            {"name": f"proctor-slo-sli-recordings-{of.id}", "rules": of.sli_rules()},
            {"name": f"proctor-slo-meta-recordings-{of.id}", "rules": of.meta_rules()},
            {"name": f"proctor-slo-alerts-{of.id}", "rules": of.alerts()},
        ]
    return made


class _Of:
    """The rules of one objective."""

    def __init__(self, namespace: str, agent: str, objective: Objective) -> None:
        self.objective = objective
        self.id = f"{namespace}-{agent}-{objective.name}"
        self._counter = f'{{namespace="{namespace}",agent="{agent}",slo="{objective.name}"}}'
        self._identity = {"sloth_id": self.id, "sloth_service": f"{namespace}-{agent}", "sloth_slo": objective.name}
        self._labels = {**self._identity, "namespace": namespace, "agent": agent}
        self._share = allowed(objective.target)
        self._period = format_duration(objective.window)

    def sli_rules(self) -> list[Rule]:
        """The share of bad events and the number of events, in every window that somebody looks at."""
        windows = {*_SLOTH, self._period}
        windows |= {format_duration(side) for row in usable(self.objective) for side in (row.long, row.short)}
        ordered = sorted(windows, key=parse_duration)
        return [*(self._share_rule(each) for each in ordered), *(self._number_rule(each) for each in ordered)]

    def _share_rule(self, window: str) -> Rule:
        # Nothing rather than NaN without events: an alert on it is absent, not false.
        expression = f"{self._increase(BAD, window)} / ({self._increase(EVENTS, window)} > 0)"
        return self._record(f"slo:sli_error:ratio_rate{window}", expression, sloth_window=window)

    def _number_rule(self, window: str) -> Rule:
        return self._record(f"slo:sli_events:increase{window}", self._increase(EVENTS, window), sloth_window=window)

    def _increase(self, counter: str, window: str) -> str:
        return f"sum(increase({counter}{self._counter}[{window}]))"

    def meta_rules(self) -> list[Rule]:
        """Sloth's own: target, budget, rates of spending, and what is left."""
        target = format_decimal((self.objective.target / 100).normalize())
        mine, join = self._selector(), f"{_ON} group_left"
        budget = f"slo:error_budget:ratio{mine}"
        info = {
            "sloth_mode": "proctor",
            "sloth_spec": "proctor.dev/v1alpha1",
            "sloth_objective": str(self.objective.target),
        }
        return [
            self._record("slo:objective:ratio", f"vector({target})"),
            self._record("slo:error_budget:ratio", f"vector(1-{target})"),
            self._record("slo:time_period:days", f"vector({self.objective.window / timedelta(days=1):g})"),
            self._record("slo:current_burn_rate:ratio", f"slo:sli_error:ratio_rate5m{mine} / {join} {budget}"),
            self._record("slo:period_burn_rate:ratio", f"{self._error(self._period)} / {join} {budget}"),
            self._record("slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{mine}"),
            self._record("sloth_slo_info", "vector(1)", **info),
        ]

    def alerts(self) -> list[Rule]:
        """One for each row of the table, one for a breach, one for a budget that is nearly spent, one for no data."""
        left = f"slo:period_error_budget_remaining:ratio{self._selector()}"
        least = f"{self._number(self._period)} >= {self.objective.min_events}"
        slow = self.objective.gate.slow_below
        return [
            *(self._burning(row) for row in usable(self.objective)),
            self._alert(
                "ProctorSLOBreached",
                _all(f"{left} <= 0", least, self._is_sure(self._period, self._share)),
                "page",
                "has missed its objective",
            ),
            self._alert(
                "ProctorSLOBudgetLow", _all(f"{left} < {slow}", least), "ticket", "has little of its error budget left"
            ),
            self._alert(
                "ProctorSLODataAbsent",
                f"absent({EVENTS}{self._counter})",
                "ticket",
                "is not measured: the gateway tells no counts",
                wait="10m",
            ),
        ]

    def _burning(self, row: Row) -> Rule:
        long, short = format_duration(row.long), format_duration(row.short)
        bound = row.rate * self._share
        limit = _number(bound)
        expression = _all(
            f"{self._error(long)} > {limit}",
            f"{self._error(short)} > {limit}",
            f"{self._number(long)} >= {self.objective.min_events}",
            self._is_sure(long, bound),
        )
        return self._alert(
            "ProctorSLOBurning", expression, _SEVERITY[row.severity], "spends its error budget too fast", row=row.id
        )

    def _is_sure(self, window: str, bound: Decimal) -> str:
        """Whether so many bad events of so many are not chance, if that share may be bad."""
        share = f"clamp({self._error(window)}, 1e-9, 1 - 1e-9)"
        apart = f"{share} * ln({share} / {_number(bound)}) + (1 - {share}) * ln((1 - {share}) / {_number(1 - bound)})"
        events = self._number(window)
        return f"{events} * ({apart}) - ln({events} + 1) > {_SURE}"

    def _error(self, window: str) -> str:
        return f"slo:sli_error:ratio_rate{window}{self._selector()}"

    def _number(self, window: str) -> str:
        return f"slo:sli_events:increase{window}{self._selector()}"

    def _selector(self) -> str:
        inside = ",".join(f'{key}="{value}"' for key, value in self._identity.items())
        return f"{{{inside}}}"

    def _record(self, name: str, expression: str, **labels: str) -> Rule:
        return {"record": name, "expr": expression, "labels": {**self._labels, **labels}}

    def _alert(self, name: str, expression: str, severity: str, what: str, wait: str = "", **labels: str) -> Rule:
        agent = f"{self._labels['namespace']}/{self._labels['agent']}"
        return {
            "alert": name,
            "expr": expression,
            **({"for": wait} if wait else {}),
            "labels": {**self._labels, "severity": severity, **labels},
            "annotations": {"summary": f"Agent {agent} {what}: {self.objective.name}"},
        }


def _all(*conditions: str) -> str:
    """All of them, of the same objective; they are of different windows, which their labels say."""
    return f" and {_ON} ".join(f"({each})" for each in conditions)


def _number(value: Decimal) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")
