"""Manifests of each kind, as examples to read and to copy; a test holds them against the schemas."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from proctor.api.kinds import Kind


@lru_cache
def of_kind(kind: Kind) -> tuple[dict[str, Any], ...]:
    """The examples of the kind."""
    text = resources.files(__package__).joinpath(f"{kind.singular}.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load_all(text))


def at(kind: Kind, path: Iterable[str]) -> dict[str, Any] | None:
    """An example with nothing but the path; of the nearest field around it, if none has the path. None for no path."""
    wanted = tuple(path)
    while wanted:
        for example in of_kind(kind):
            found = _along(example, wanted)
            if isinstance(found, dict):
                return found
        wanted = wanted[:-1]
    return None


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
