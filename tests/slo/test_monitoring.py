"""The dashboard asks for what there is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from proctor.api.agent import Agent
from proctor.slo.prometheus import groups
from proctor_cluster.engines import ROOT

_DASHBOARD: dict[str, Any] = json.loads((ROOT / "manifests" / "monitoring" / "objectives.json").read_text())
_SAMPLE = ROOT / "manifests" / "samples" / "objectives" / "agent.yaml"
_COUNTED = {"proctor_slo_events_total", "proctor_slo_bad_events_total", "proctor_tasks_ended_total", "ALERTS"}


def expressions() -> list[str]:
    """What the panels ask for."""
    return [target["expr"] for panel in _DASHBOARD["panels"] for target in panel["targets"]]


def sample() -> Agent:
    """The sample."""
    return Agent.parse(yaml.safe_load(_SAMPLE.read_text()))


def test_the_dashboards_questions_are_promql(promtool: str, tmp_path: Path):
    """As rules, promtool takes every one of them."""
    rules = [{"record": f"x{number}", "expr": each.replace("$", "")} for number, each in enumerate(expressions())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    words = [promtool, "check", "rules", "rules.yaml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_for_series_that_there_are():
    """Recorded by the rules, or counted by the gateway."""
    made = groups("support", "answers", sample().spec.slos)
    recorded = {rule["record"] for group in made for rule in group["rules"] if "record" in rule}
    asked = {name for each in expressions() for name in re.findall(r"([A-Za-z_:][A-Za-z0-9_:]*)\{", each)}
    assert asked <= recorded | _COUNTED


def test_the_sample_has_every_kind_of_indicator():
    """One objective of each."""
    assert len({each.indicator.type for each in sample().spec.slos}) == 7
