"""What `kubectl apply` would make of an object that is already there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proctor.cli import applying
from proctor.cli.applying import LAST_APPLIED, Create, Merge, ServerSide


def _object(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": "Agent", "metadata": {"name": "a", **metadata}, "spec": spec}


def _live(spec: dict[str, Any], last: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    remembered = {"annotations": {LAST_APPLIED: json.dumps(_object(last))}} if last is not None else {}
    return _object(spec, uid="1", **remembered, **metadata)


@pytest.mark.parametrize(
    ("last", "wanted", "live", "after"),
    [
        pytest.param({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}, id="what the file says is set"),
        pytest.param({"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 1}, {"a": 1}, id="what only the last file said goes"),
        pytest.param({"a": 1}, {"a": 1}, {"a": 1, "b": 9}, {"a": 1, "b": 9}, id="what no file ever said stays"),
        pytest.param({"l": [1, 2]}, {"l": [2]}, {"l": [1, 2]}, {"l": [2]}, id="a list is one value"),
        pytest.param({"o": {"a": 1, "b": 2}}, {"o": {"a": 1}}, {"o": {"a": 1, "b": 2}}, {"o": {"a": 1}}, id="deep"),
        pytest.param({}, {"o": {"a": 1}}, {"o": 5}, {"o": {"a": 1}}, id="another type is replaced"),
        pytest.param({"a": 1}, {"a": 1}, {"a": 7}, {"a": 1}, id="an edit by hand of what the file says is undone"),
    ],
)
def test_client_side_apply_is_a_merge_of_three(
    last: dict[str, Any], wanted: dict[str, Any], live: dict[str, Any], after: dict[str, Any]
) -> None:
    """The last file, this file and the object: fields of the file are set, fields that left the file are removed."""
    there = _live(live, last)
    request = applying.request(_object(wanted), there)
    assert isinstance(request, Merge)
    assert applying.outcome(request, there)["spec"] == after


def test_what_is_not_there_is_created_without_what_is_the_servers() -> None:
    """A uid, a resource version or a status in a file is not the person's to say."""
    request = applying.request({**_object({"a": 1}, uid="9", resourceVersion="7"), "status": {"x": 1}}, None)
    assert request == Create(_object({"a": 1}))


def test_who_applied_on_the_server_goes_on_doing_so() -> None:
    """The newest manager that applied decides, and not the one that writes the status."""
    managed = [
        {"manager": "old", "operation": "Apply", "time": "2026-01-01T00:00:00Z"},
        {"manager": "flux", "operation": "Apply", "time": "2026-02-01T00:00:00Z"},
        {"manager": "proctor", "operation": "Apply", "time": "2026-03-01T00:00:00Z", "subresource": "status"},
        {"manager": "edit", "operation": "Update", "time": "2026-04-01T00:00:00Z"},
    ]
    request = applying.request(_object({"a": 1}), _live({"a": 0}, managedFields=managed))
    assert request == ServerSide(_object({"a": 1}), "flux")


def test_an_unreadable_memory_is_no_memory() -> None:
    """An annotation that somebody spoiled removes nothing, and breaks nothing."""
    live = _object({"a": 1, "b": 2}, annotations={LAST_APPLIED: "{not json"})
    assert applying.outcome(applying.request(_object({"a": 3}), live), live)["spec"] == {"a": 3, "b": 2}
