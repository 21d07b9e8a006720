"""Reports of policies on a real Kubernetes that has one of the kinds of report, whichever it is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Installed
from tests.e2e.declared import Manifest, Namespace, a_model, an_agent, eventually
from tests.e2e.test_policies import policy

KINDS = {"wgpolicyk8s": "policyreports.wgpolicyk8s.io", "openreports": "reports.openreports.io"}
OPERATOR = ("-n", "proctor-system", "deployment/proctor-operator")


@pytest.fixture(params=list(KINDS))
def kind(cluster: Installed, request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind is there, and an operator that looks often."""
    path, plural = Path(__file__).parent / "reports" / f"{request.param}.yaml", KINDS[request.param]
    cluster.kubectl("apply", "--server-side", "-f", str(path))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}", "--timeout=30s")
    cluster.kubectl("set", "env", *OPERATOR, "PROCTOR_OPERATOR_REPORT_SECONDS=2")
    cluster.kubectl("rollout", "status", *OPERATOR, "--timeout=120s", timeout=130)
    yield plural
    cluster.kubectl("delete", "crd", plural)
    cluster.kubectl("set", "env", *OPERATOR, "PROCTOR_OPERATOR_REPORT_SECONDS-")
    cluster.kubectl("rollout", "status", *OPERATOR, "--timeout=120s", timeout=130)


def test_an_agents_report_says_how_it_stands(cluster: Installed, kind: str) -> None:
    """What it breaks and follows, in the form of the kind; mended it is gone, and with the agent all of it."""
    name = f"reports-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    ns = Namespace(cluster.kubectl, name)
    try:
        ns.apply(a_model(name), an_agent(name), policy("Warn", require={"fields": ["Evals"]}))
        found = _report(ns, kind, warn=1)
        assert found["scope"]["name"] == "clerk"
        (result,) = found["results"]
        assert (result["policy"], result["rule"], result["result"]) == (
            f"Policy/{name}/careful",
            "require/Evals",
            "warn",
        )
        ns.apply(policy("Warn", limits={"maxSteps": 100}))
        assert [each["result"] for each in _report(ns, kind, **{"pass": 1})["results"]] == ["pass"]
        ns.kubectl("delete", "agents.proctor.dev", "clerk")
        eventually(lambda: ns.list(kind), lambda reports: not reports, 60)
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _report(ns: Namespace, kind: str, **counts: int) -> Manifest:
    def says(reports: list[dict[str, Any]]) -> bool:
        return any({k: v for k, v in each["summary"].items() if v} == counts for each in reports)

    return eventually(lambda: ns.list(kind), says, 60)[0]
