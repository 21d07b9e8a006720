"""What `kubectl apply` would make of an object, so that a plan is about what will be, not about what a file says.

A field that the file does not name may stay (another manager's) or go (it was in the file last time). Who applied the
object last decides: kubectl, by the annotation in which it remembers its file; or server-side apply, by field manager.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proctor.plan.world import Manifest

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OF_THE_SERVER = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "selfLink",
)


@dataclass(frozen=True)
class Create:
    """The object is not there yet."""

    body: Manifest


@dataclass(frozen=True)
class Merge:
    """A JSON merge patch (RFC 7396), as kubectl's client-side apply sends it for custom resources."""

    patch: Manifest


@dataclass(frozen=True)
class ServerSide:
    """A server-side apply in the name of the manager that applied the object last."""

    body: Manifest
    manager: str


Request = Create | Merge | ServerSide


def request(document: Manifest, live: Manifest | None) -> Request:
    """How the document would be applied to what is there."""
    wanted = _declared(document)
    if live is None:
        return Create(wanted)
    remembered = live["metadata"].get("annotations", {}).get(LAST_APPLIED)
    manager = _applier(live)
    if remembered is None and manager is not None:
        return ServerSide(wanted, manager)
    return Merge(three_way(_remembered(remembered), wanted, live))


def outcome(asked: Request, live: Manifest | None) -> Manifest:
    """The object afterwards, as far as it can be told without the API server: its defaults are not filled in."""
    match asked:
        case Create(body=body):
            return body
        case Merge(patch=patch):
            return _of_object(merged(live or {}, patch))
        case ServerSide(body=body):
            # What other managers own is not known here. The spec is taken as the file's alone.
            kept = {key: value for key, value in (live or {}).items() if key not in {"metadata", "spec"}}
            metadata = {**(live or {}).get("metadata", {}), **body.get("metadata", {})}
            return {**kept, **body, "metadata": metadata}


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396: the target with the patch in it; null removes."""
    if not isinstance(patch, Mapping):
        return patch
    base = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), value)
    return base


def three_way(before: Mapping[str, Any], wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Manifest:
    """The merge patch that sets what the file says and removes what only the last file said."""
    gone = {key: None for key in before if key not in wanted and key in live}
    patch: Manifest = dict(gone)
    for key, value in wanted.items():
        now = live.get(key)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            old = before.get(key)
            inner = three_way(old if isinstance(old, Mapping) else {}, value, now)
            if inner:
                patch[key] = inner
        elif value != now:
            patch[key] = value
    return patch


def _declared(document: Manifest) -> Manifest:
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key not in _OF_THE_SERVER}
    return {**{key: value for key, value in document.items() if key != "status"}, "metadata": metadata}


def _remembered(text: str | None) -> Manifest:
    try:
        parsed = json.loads(text or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _applier(live: Manifest) -> str | None:
    applied = [each for each in live["metadata"].get("managedFields", []) if each.get("operation") == "Apply"]
    mine = [each for each in applied if each.get("subresource") != "status"]
    return max(mine, key=lambda each: each.get("time", ""))["manager"] if mine else None


def _of_object(body: Any) -> Manifest:
    result: Manifest = body
    return result
