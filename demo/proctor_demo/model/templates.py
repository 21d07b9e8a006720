"""Filling placeholders: `{name}` a named group, `{tool:/pointer}` a value of a tool's last result.

A string that is one placeholder and nothing else takes the value with its type; `|number` makes a number
of a text. `{{` and `}}` are braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P<pointer>:(?:/[^{}|]*)?)?(?P<number>\|number)?\}"
)

Lookup = Callable[[str], Any]


class Unfilled(Exception):  # noqa: N818 - it names what happened
    """A placeholder for which the conversation holds no value."""


class Sources:
    """Where values come from: the captures of the rule, and the last result of each tool."""

    def __init__(self, captures: Mapping[str, str], last_result: Lookup) -> None:
        self._captures = captures
        self._last_result = last_result

    def value(self, name: str, pointer: str | None) -> Any:
        """The value of a placeholder.

        Raises:
            Unfilled: there is none.
        """
        if pointer is None:
            if name not in self._captures:
                raise Unfilled(f"nothing was captured as {name}")
            return self._captures[name]
        return at(self._last_result(name), pointer, name)


def fill(template: Any, sources: Sources) -> Any:
    """`template` with every placeholder in every string replaced.

    Raises:
        Unfilled: a placeholder has no value.
    """
    match template:
        case str():
            return _fill_text(template, sources)
        case Mapping():
            return {key: fill(value, sources) for key, value in template.items()}
        case list() | tuple():
            return [fill(value, sources) for value in template]
        case _:
            return template


def names_in(template: str) -> list[str]:
    """The captures a text asks for (not the tools' results)."""
    return [m["name"] for m in _PLACEHOLDER.finditer(template) if m["name"] and m["pointer"] is None]


def at(document: Any, pointer: str, name: str = "value") -> Any:
    """The value inside `document` at a JSON pointer.

    Raises:
        Unfilled: there is none.
    """
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        match value:
            case dict() if key in value:
                value = value[key]
            case list() if key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            case _:
                raise Unfilled(f"{name} has nothing at {pointer}")
    return value


def number(value: Any) -> int | float:
    """`value` as a number; a whole one as an int.

    Raises:
        Unfilled: it is none.
    """
    try:
        parsed = float(value)
    except (TypeError, ValueError) as exc:
        raise Unfilled(f"{value!r} is not a number") from exc
    return int(parsed) if parsed.is_integer() else parsed


def _fill_text(template: str, sources: Sources) -> Any:
    whole = _PLACEHOLDER.fullmatch(template)
    if whole is not None and whole["name"]:
        return _value(whole, sources)
    return _PLACEHOLDER.sub(lambda found: _as_text(_value(found, sources)), template)


def _value(found: re.Match[str], sources: Sources) -> Any:
    if not found["name"]:
        return found[0][0]
    pointer = found["pointer"]
    value = sources.value(found["name"], None if pointer is None else pointer[1:])
    return number(value) if found["number"] else value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
