"""Flux's health checks, evaluated as CEL on the same objects as Argo CD's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from proctor.api.cel import Language, Type
from proctor_cluster.engines import ROOT

_ARGOCD = ROOT / "manifests" / "gitops" / "argocd" / "proctor.dev"
_CHECKS = {
    each["kind"]: each for each in yaml.safe_load((ROOT / "manifests/gitops/flux/health-checks.yaml").read_text())
}
_FLUX = Language(metadata=Type.OBJECT, spec=Type.OBJECT, status=Type.OBJECT)
_ANSWERS = ("inProgress", "failed", "current")
_AGREES = {"Healthy": "current", "Degraded": "failed", "Progressing": "inProgress", "Suspended": None}
_CASES = [
    pytest.param(kind, path, test, id=f"{kind}-{Path(test['inputPath']).stem}")
    for kind in _CHECKS
    for path in [_ARGOCD / kind]
    for test in yaml.safe_load((path / "health_test.yaml").read_text())["tests"]
    # Flux asks no expression before there is a status.
    if "status" in yaml.safe_load((path / test["inputPath"]).read_text())
]


def answers(kind: str, body: dict[str, Any]) -> list[str]:
    """The expressions that are true of the object."""
    variables = {key: body.get(key, {}) for key in ("metadata", "spec", "status")}
    return [name for name in _ANSWERS if _FLUX.holds(_CHECKS[kind][name], variables)]


@pytest.mark.parametrize(("kind", "path", "test"), _CASES)
def test_flux_and_argo_cd_agree(kind: str, path: Path, test: dict[str, Any]):
    """Exactly one expression is true, and it says what Argo CD's health says."""
    body = yaml.safe_load((path / test["inputPath"]).read_text())
    expected = _AGREES[test["healthStatus"]["status"]]
    found = answers(kind, body)
    assert len(found) == 1
    if expected is not None:
        assert found == [expected]


@pytest.mark.parametrize("kind", _CHECKS)
def test_the_expressions_compile(kind: str):
    """Flux refuses a Kustomization with one that does not."""
    assert [_FLUX.fault(_CHECKS[kind][name]) for name in _ANSWERS] == [None, None, None]


WAITS = {"paused": "inProgress", "awaiting_approval": "inProgress", "suspended": "current"}


@pytest.mark.parametrize("name", WAITS)
def test_what_argo_cd_calls_suspended(name: str):
    """An upgrade that waits for people is not ready yet; an agent that Git says is stopped is as declared."""
    assert answers("Agent", yaml.safe_load((_ARGOCD / "Agent" / "testdata" / f"{name}.yaml").read_text())) == [
        WAITS[name]
    ]
