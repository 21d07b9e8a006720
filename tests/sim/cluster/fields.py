"""Which manager owns which field: server-side apply's merge, its removals and its change of hands.

A path is a tuple of field names; an item of a list that is merged by key is a pair of "item" and its key's values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Path = tuple[Any, ...]
Fields = frozenset[Path]

_KEYS = {
    "ownerReferences": ("uid",),
    "containers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "conditions": ("type",),
    "containerStatuses": ("name",),
}
_MISSING = object()


def of(value: Any, path: Path = ()) -> Fields:
    """Every field that a manager owns who applied this."""
    return frozenset(_leaves(value, path))


def merged(live: Any, applied: Any, field: str = "") -> Any:
    """What is there, with everything in it that was applied."""
    if isinstance(applied, dict):
        base = live if isinstance(live, dict) else {}
        return {**base, **{key: merged(base.get(key), value, key) for key, value in applied.items()}}
    if isinstance(applied, list) and field in _KEYS:
        base_items = {_key(each, field): each for each in live} if isinstance(live, list) else {}
        for each in applied:
            base_items[_key(each, field)] = merged(base_items.get(_key(each, field)), each)
        return list(base_items.values())
    return applied


def without(value: Any, gone: Fields, kept: Fields) -> Any:
    """The value without the fields that are gone, unless another manager keeps them or something in them."""
    # The shorter path first: an item of a list goes as a whole, before its fields are looked for.
    for path in sorted(gone, key=len):
        if not any(other[: len(path)] == path for other in kept):
            value = _removed(value, path)
    return value


def differing(before: Any, after: Any, path: Path = ()) -> Iterator[Path]:
    """The paths whose values differ: those that change hands when somebody updates an object."""
    if before is after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {*before, *after}:
            yield from differing(before.get(key, _MISSING), after.get(key, _MISSING), (*path, key))
    elif path and path[-1] in _KEYS and isinstance(before, list) and isinstance(after, list):
        old, new = ({_key(each, path[-1]): each for each in items} for items in (before, after))
        for key in {*old, *new}:
            yield from differing(old.get(key, _MISSING), new.get(key, _MISSING), (*path, ("item", key)))
    elif before != after:
        yield path


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and path and path[-1] in _KEYS:
        for each in value:
            item = (*path, ("item", _key(each, path[-1])))
            yield item
            yield from _leaves(each, item)
    else:
        yield path


def _key(item: dict[str, Any], field: str) -> tuple[Any, ...]:
    return tuple(item.get(name) for name in _KEYS[field])


def _removed(value: Any, path: Path, field: str = "") -> Any:
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        return [
            _removed(each, rest) if _key(each, field) == head[1] else each
            for each in value
            if rest or _key(each, field) != head[1]
        ]
    if not isinstance(value, dict) or head not in value:
        return value
    others = {key: inner for key, inner in value.items() if key != head}
    if not rest:
        return others
    inner = _removed(value[head], rest, head)
    # A map or list that nobody has put anything into any more goes with its last entry.
    return {**others, head: inner} if inner or inner == value[head] else others
