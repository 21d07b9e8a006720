"""The rules for Prometheus judge as the status does, on the same events: promtool evaluates them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.api.fields import format_duration
from proctor.api.objectives import ObjectiveState
from proctor.evidence.breach import one_sample
from proctor.slo.counts import Counts
from proctor.slo.paging import SURE, usable
from proctor.slo.prometheus import BAD, EVENTS, groups
from proctor.slo.standing import Standing, judge, windows_of
from tests.slo.objectives import objective

MINUTE = timedelta(minutes=1)
# Events and bad events a minute, and for how many minutes: well, worse, badly, well again for long.
COURSE = [(10, 0, 300), (10, 1, 60), (10, 8, 60), (10, 0, 1800)]
WANTED = objective(target="95", gate={"slowBelow": "0.1", "freezeBelow": "0"})
ALERTS = ("ProctorSLOBurning", "ProctorSLOBreached", "ProctorSLOBudgetLow")


def minutes() -> Iterator[tuple[int, int]]:
    """Events and bad events of each minute."""
    for events, bad, count in COURSE:
        yield from [(events, bad)] * count


def standing_at(minute: int) -> Standing:
    """How the objective stands after so many minutes, by counting."""
    happened = list(minutes())[:minute]
    counts = {}
    for window in windows_of([WANTED]):
        within = happened[max(0, minute - round(window / MINUTE)) :]
        total, bad = sum(each for each, _ in within), sum(each for _, each in within)
        counts[window] = Counts(total - bad, total)
    return judge(WANTED, counts)


def series(name: str, part: int) -> dict[str, str]:
    """A counter in promtool's notation."""
    value, steps = 0, []
    for each, count in [(course[part], course[2]) for course in COURSE]:
        steps.append(f"{value}+{each}x{count - 1}")
        value += each * count
    labels = 'namespace="support",agent="refunds",slo="answered"'
    return {"series": f"{name}{{{labels}}}", "values": " ".join(steps)}


def rules() -> list[dict[str, Any]]:
    """The rules under test."""
    return groups("support", "refunds", (WANTED,))


def expected(found: Standing, alert: str) -> list[dict[str, Any]]:
    """The alerts of that name that ring, by how the objective stands."""
    firing = {row.id for row in found.firing}
    made = [rule for group in rules() for rule in group["rules"] if rule.get("alert") == alert]
    match alert:
        case "ProctorSLOBurning":
            rings = [rule for rule in made if rule["labels"]["row"] in firing]
        case "ProctorSLOBreached":
            rings = made if found.state is ObjectiveState.BREACHED else []
        case _:
            rings = made if found.budget.remaining < WANTED.gate.slow_below else []
    return [{"exp_labels": labels_of(rule), "exp_annotations": rule["annotations"]} for rule in rings]


def labels_of(rule: dict[str, Any]) -> dict[str, str]:
    """An alert's labels: those of its rule, and the window that it looks at."""
    rows = {row.id: format_duration(row.long) for row in usable(WANTED)}
    return {**rule["labels"], "sloth_window": rows.get(rule["labels"].get("row", ""), "28d")}


def run(promtool: str, directory: Path, *words: str, **files: Any) -> subprocess.CompletedProcess[str]:
    """Runs promtool on files of JSON, which is YAML."""
    for name, body in files.items():
        (directory / f"{name}.yaml").write_text(json.dumps(body))
    return subprocess.run([promtool, *words], cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def test_the_rules_are_prometheus_rules(promtool: str, tmp_path: Path):
    """Every kind of objective, window and row gives rules that Prometheus takes."""
    several = (
        WANTED,
        objective("weekly", "99", "7d"),
        objective("hourly", "99.9", "1h"),
        objective("quarterly", "95", "90d", indicator={"type": "Latency", "threshold": "10s"}),
        objective("own", "99", alerting={"burnRates": [{"long": "1d12h", "short": "90m", "rate": "2.5"}]}),
    )
    made = {"groups": groups("support", "refunds", several)}
    done = run(promtool, tmp_path, "check", "rules", "rules.yaml", rules=made)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_states_agree_with_prometheus(promtool: str, tmp_path: Path):
    """Met, at risk, breached, met again: at each of these times the same rows and states ring in both."""
    times = [60, 300, 360, 380, 390, 420, 450, 600, 1000, 1100, 1500, 2100]
    found = {minute: standing_at(minute) for minute in times}
    states = [each.state for each in found.values()]
    course = [state for index, state in enumerate(states) if index == 0 or state is not states[index - 1]]
    assert course == [
        ObjectiveState.MET,
        ObjectiveState.AT_RISK,
        ObjectiveState.BREACHED,
        ObjectiveState.AT_RISK,
        ObjectiveState.MET,
    ]
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "10m",
        # What is recorded is read at the same time; without an order the alerts may come first.
        "group_eval_order": [group["name"] for group in rules()],
        "tests": [
            {
                "interval": "1m",
                "input_series": [series(EVENTS, 0), series(BAD, 1)],
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected(each, name)}
                    for minute, each in found.items()
                    for name in ALERTS
                ],
                "promql_expr_test": [
                    {
                        "expr": f"abs(slo:period_error_budget_remaining:ratio - {each.budget.remaining}) < bool 0.001",
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": _identity(), "value": 1}],
                    }
                    for minute, each in found.items()
                ],
            }
        ],
    }
    done = run(promtool, tmp_path, "test", "rules", "tests.yaml", rules={"groups": rules()}, tests=tests)
    assert done.returncode == 0, done.stdout + done.stderr


def _identity() -> str:
    record = next(rule for group in rules() for rule in group["rules"] if rule.get("record") == "slo:objective:ratio")
    labels = {**record["labels"], "sloth_window": "28d"}
    return "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


@pytest.mark.parametrize("name", ["slo:sli_error:ratio_rate", "slo:sli_events:increase"])
def test_sloths_windows_are_recorded(name: str):
    """Dashboards that were made for Sloth find what they look for."""
    records = {rule.get("record") for group in rules() for rule in group["rules"]}
    assert {f"{name}{window}" for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "28d")} <= records


def test_a_row_that_cannot_be_true_is_no_alert():
    """More than all events would have to be bad."""
    made = groups("support", "refunds", (objective(target="90"),))
    rows = {rule["labels"]["row"] for group in made for rule in group["rules"] if rule.get("alert") == ALERTS[0]}
    assert rows == {"page-slow", "ticket-quick", "ticket-slow"}


@given(total=st.integers(1, 5000), share=st.floats(0, 1), bound=st.floats(0.001, 0.99))
def test_an_alert_never_rings_where_the_status_would_not(total: int, share: float, bound: float):
    """What PromQL can compute bounds the true evidence from below, wherever it is enough for an alert."""
    bad = round(share * total)
    seen = min(max(bad / total, 1e-9), 1 - 1e-9)
    apart = seen * log(seen / bound) + (1 - seen) * log((1 - seen) / (1 - bound))
    computed = total * apart - log(total + 1) - log(2)
    if bad / total > bound and computed > SURE:
        assert one_sample(bad, total, bound) >= SURE


def test_an_alert_rings_soon_after_the_status_says_so():
    """With half of all tasks bad, where a tenth may be: a few tasks later."""

    def first(evidence) -> int:
        return next(n for n in range(2, 500, 2) if evidence(n) > SURE)

    apart = 0.5 * log(0.5 / 0.1) + 0.5 * log(0.5 / 0.9)
    true = first(lambda n: one_sample(n // 2, n, 0.1))
    computed = first(lambda n: n * apart - log(n + 1) - log(2))
    assert true <= computed <= true + 6
