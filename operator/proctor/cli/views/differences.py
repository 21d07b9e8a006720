"""What differs between two JSON values, field by field, lists of named things by their names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = None
"""A field that is not there. JSON null says the same to the API server."""
_NAMES = ("name", "connector", "type")
_CONTEXT = 1


@dataclass(frozen=True)
class Difference:
    """One field that differs; `before` or `after` is None where the field is not."""

    path: str
    before: Any
    after: Any

    @property
    def lines(self) -> tuple[str, ...]:
        """For texts of several lines: the lines that go, come and stay around them, marked `-`, `+` and ` `."""
        if not (isinstance(self.before, str) and isinstance(self.after, str)):
            return ()
        if "\n" not in self.before.strip() and "\n" not in self.after.strip():
            return ()
        delta = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=_CONTEXT, lineterm="")
        return tuple(line for line in delta if not line.startswith(("---", "+++")))


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Every field that differs, the deepest that can be named, in the order of the fields."""
    if before == after or (_is_empty(before) and _is_empty(after)):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif _named(before) is not None and _named(after) is not None:
        old, new = _named(before) or {}, _named(after) or {}
        for key in dict.fromkeys((*old, *new)):
            yield from differences(old.get(key), new.get(key), f"{path}[{key}]")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old_item, new_item) in enumerate(zip(before, after, strict=True)):
            yield from differences(old_item, new_item, f"{path}[{index}]")
    else:
        yield Difference(path, before, after)


def _is_empty(value: Any) -> bool:
    # Absent, empty and null are one to the models: a default that a file spells out is no change.
    return value is None or value in ({}, [], "")


def _named(value: Any) -> dict[str, Any] | None:
    """The items of a list of objects by what tells them apart; None if nothing does."""
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        return None
    for name in _NAMES:
        keys = [each.get(name) for each in value]
        if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
            return dict(zip(keys, value, strict=True)) if keys else {}
    return None if value else {}
