"""YAML that means what JSON means: no aliases that blow up, no dates, no keys given twice."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import yaml

_DEEPEST = 60


class DocumentError(ValueError):
    """A text that is no such document; the message says where."""


class _Loader(yaml.SafeLoader):
    """YAML's plain part."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise DocumentError("aliases (*name) are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise DocumentError(f"line {key.start_mark.line + 1}: a key must be a text")
            if key.value in seen:
                raise DocumentError(f"line {key.start_mark.line + 1}: {key.value} is there twice")
            seen.add(key.value)
        return {str(key): value for key, value in super().construct_mapping(node, deep=deep).items()}


# 2026-03-01 is a text to whoever writes an answer into a suite, and to the agent that gives it.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str) -> Any:
    """What the text says, as JSON would hold it. Raises DocumentError."""
    try:
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that can do less
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise DocumentError(f"{where}no YAML: {getattr(error, 'problem', None) or type(error).__name__}") from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError("no YAML that can be read") from error
    _plain(found, _DEEPEST)
    return found


def _plain(value: Any, levels: int) -> None:
    if levels == 0:
        raise DocumentError("nested too deeply")
    match value:
        case dict():
            for each in value.values():
                _plain(each, levels - 1)
        case list():
            for each in value:
                _plain(each, levels - 1)
        case float() if not math.isfinite(value):
            raise DocumentError(f"{value} is no number of JSON")
        case str() | bool() | int() | float() | None:
            return
        case _:
            raise DocumentError(f"a {type(value).__name__} is no value of JSON")
