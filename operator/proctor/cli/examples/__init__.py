"""One manifest of each kind, as an example to read and to copy; a test holds them against the schemas."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from proctor.api.kinds import Kind


def of_kind(kind: Kind) -> dict[str, Any]:
    """The example of the kind."""
    text = resources.files(__package__).joinpath(f"{kind.singular}.yaml").read_text(encoding="utf-8")
    body: dict[str, Any] = yaml.safe_load(text)
    return body


def at(kind: Kind, path: tuple[str, ...]) -> dict[str, Any] | None:
    """The example with nothing but the path: its first item wherever there is a list. None if it does not go there."""
    found = _along(of_kind(kind), path)
    return found if isinstance(found, dict) else None


def _along(value: Any, path: tuple[str, ...]) -> Any:
    if not path:
        return value
    if isinstance(value, list):
        # Of several items the first that goes where the path goes.
        return next(([inner] for each in value if (inner := _along(each, path)) is not None), None)
    if not isinstance(value, dict) or path[0] not in value:
        return None
    inner = _along(value[path[0]], path[1:])
    return None if inner is None else {path[0]: inner}
