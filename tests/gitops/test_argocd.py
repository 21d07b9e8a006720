"""Argo CD's health checks and actions, run by Lua 5.1 as Argo CD runs them, on its own form of tests.

Beside each check lie `health_test.yaml` and `testdata/`, as in Argo CD's own repository of resource customizations.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from proctor.api import kinds, names
from proctor.api.progress import Phase
from proctor_cluster.engines import ROOT

_KINDS = ROOT / "manifests" / "gitops" / "argocd" / "proctor.dev"
_CHECKS = [
    pytest.param(path.parent, test, id=f"{path.parent.name}-{Path(test['inputPath']).stem}")
    for path in sorted(_KINDS.glob("*/health_test.yaml"))
    for test in yaml.safe_load(path.read_text())["tests"]
]
_ACTIONS: dict[str, Any] = yaml.safe_load((_KINDS / "Agent" / "actions.yaml").read_text())
_ACTION_TESTS: dict[str, Any] = yaml.safe_load((_KINDS / "Agent" / "action_test.yaml").read_text())
_COMMAND = re.compile(r"^[a-z-]+@[0-9a-f]{10}/[A-Za-z0-9._-]{1,64}$")


def run(script: str, body: dict[str, Any]) -> Any:
    """What the script returns for the object, as plain values."""
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.globals()["obj"] = _to_lua(lua, body)
    return _plain(lua.execute(script))


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, each) for key, each in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, each) for each in value])
    return value


def _plain(value: Any) -> Any:
    if not hasattr(value, "items"):
        return value
    found = {key: _plain(each) for key, each in value.items()}
    is_list = bool(found) and set(found) == set(range(1, len(found) + 1))
    return [found[index] for index in range(1, len(found) + 1)] if is_list else found


def given(name: str, directory: Path = _KINDS / "Agent") -> dict[str, Any]:
    """An object of the test data."""
    body: dict[str, Any] = yaml.safe_load((directory / name).read_text())
    return body


@pytest.mark.parametrize(("directory", "test"), _CHECKS)
def test_health(directory: Path, test: dict[str, Any]):
    """The object has the health that its test says, and the message says why."""
    script = (directory / "health.lua").read_text()
    assert run(script, given(test["inputPath"], directory)) == test["healthStatus"]


def test_every_kind_has_a_check():
    """A kind without one is Healthy for Argo CD as soon as it exists."""
    assert {path.parent.name for path in _KINDS.glob("*/health.lua")} == {kind.name for kind in kinds.ALL}


def test_the_kinds_that_are_only_ready_or_not_share_one_check():
    """Argo CD wants a file for each kind: what is mended in one of these is mended in all."""
    checks = {
        (_KINDS / kind / "health.lua").read_text() for kind in ("ClusterPolicy", "Connector", "Policy", "Workflow")
    }
    assert len(checks) == 1


def test_the_component_carries_every_script():
    """Under the keys by which Argo CD finds them."""
    component = yaml.safe_load((_KINDS.parent / "kustomization.yaml").read_text())
    files = dict(each.split("=") for each in component["configMapGenerator"][0]["files"])
    expected = {
        f"resource.customizations.health.{names.GROUP}_{kind.name}": f"proctor.dev/{kind.name}/health.lua"
        for kind in kinds.ALL
    }
    expected[f"resource.customizations.actions.{names.GROUP}_Agent"] = "proctor.dev/Agent/actions.yaml"
    assert files == expected
    assert all((_KINDS.parent / path).is_file() for path in files.values())


@pytest.mark.parametrize("test", _ACTION_TESTS["discoveryTests"], ids=lambda test: Path(test["inputPath"]).stem)
def test_what_may_be_done(test: dict[str, Any]):
    """Only what makes sense where the upgrade is; the rest is shown and cannot be clicked."""
    found = run(_ACTIONS["discovery.lua"], given(test["inputPath"]))
    assert {name: each["disabled"] for name, each in found.items()} == {
        each["name"]: each["disabled"] for each in test["result"]
    }


@pytest.mark.parametrize("test", _ACTION_TESTS["actionTests"], ids=lambda test: test["action"])
def test_what_an_action_does(test: dict[str, Any]):
    """It says the command, about the revision that is meant, and changes nothing else."""
    script = next(each["action.lua"] for each in _ACTIONS["definitions"] if each["name"] == test["action"])
    before = given(test["inputPath"])
    after = run(script, before)
    command = after["metadata"].pop("annotations")[names.COMMAND]
    assert command.startswith(test["expectedAnnotation"])
    assert _COMMAND.match(command)
    assert after == before


def test_every_action_that_is_offered_is_defined():
    """And no other."""
    offered = run(_ACTIONS["discovery.lua"], given("testdata/canary.yaml"))
    assert set(offered) == {each["name"] for each in _ACTIONS["definitions"]}


def test_the_phases_are_those_of_upgrades():
    """A phase that is spelt otherwise would never be seen."""
    scripts = (_KINDS / "Agent" / "health.lua").read_text() + _ACTIONS["discovery.lua"]
    named = set(re.findall(r'phase == "(\w+)"', scripts)) | set(re.findall(r"(\w+) = true", scripts))
    assert named <= set(Phase)
