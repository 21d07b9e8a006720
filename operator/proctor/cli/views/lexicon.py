"""What a field means: its type, default, bounds and rules, told from the models themselves."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proctor.api import fields as words
from proctor.api import kinds
from proctor.api.kinds import Kind, Scope
from proctor.cli.checks import structure
from proctor.cli.checks.structure import Schema
from proctor.cli.dump import plain

_BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
_FORMS: Mapping[type, str] = {timedelta: "duration", Decimal: "decimal in quotes"}


class UnknownWord(KeyError):  # noqa: N818 - what the person said
    """There is no such kind or field; the text says what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class FieldView:
    """One field below the one that is explained."""

    name: str
    type: str
    is_required: bool
    default: Any
    choices: tuple[str, ...]
    """The words that it may be, if it may not be any."""
    summary: str


@dataclass(frozen=True)
class Rule:
    """A rule that the API server checks."""

    message: str
    expression: str


@dataclass(frozen=True)
class Explanation:
    """One kind or field."""

    path: str
    type: str
    is_required: bool
    default: Any
    description: str
    bounds: tuple[str, ...]
    rules: tuple[Rule, ...]
    fields: tuple[FieldView, ...]


@dataclass(frozen=True)
class KindView:
    """One kind, on a line."""

    name: str
    short: str
    plural: str
    is_namespaced: bool
    summary: str


@dataclass(frozen=True)
class _Place:
    """A field in its two forms: the schema that the API server has, and the model that has all the defaults."""

    node: Schema
    model: type[BaseModel] | None
    info: FieldInfo | None
    is_required: bool


def all_kinds() -> tuple[KindView, ...]:
    """Every kind of proctor's."""
    return tuple(
        KindView(kind.name, kind.short, kind.plural, kind.scope is Scope.NAMESPACED, _first_sentence(_doc(kind.model)))
        for kind in kinds.ALL
    )


def explain(word: str) -> Explanation:
    """`agent`, `ag.spec.tools.rules`. Raises UnknownWord."""
    head, *path = word.split(".")
    kind = _kind(head)
    place = _Place(structure.of_kind(kind), kind.model, None, is_required=True)
    walked = kind.name
    for name in path:
        place = _inside(place, name, walked)
        walked = f"{walked}.{name}"
    item = _item(place)
    return Explanation(
        path=walked,
        type=_type(place),
        is_required=place.is_required,
        default=_default(place),
        description=str(place.node.get("description") or item.node.get("description") or ""),
        bounds=tuple(_bounds(place.node)),
        rules=tuple(_rules(place.node)) + (tuple(_rules(item.node)) if item is not place else ()),
        fields=tuple(_fields(item)),
    )


def paths(kind: Kind) -> Iterator[str]:
    """Every path of the kind's spec that can be explained."""
    pending = [f"{kind.singular}.spec"]
    while pending:
        path = pending.pop()
        yield path
        pending += [f"{path}.{each.name}" for each in explain(path).fields]


def _kind(word: str) -> Kind:
    try:
        return kinds.named(word)
    except KeyError:
        known = [each for kind in kinds.ALL for each in (kind.singular, kind.plural, kind.short)]
        alike = difflib.get_close_matches(word.lower(), known, n=1)
        tail = (
            f"; did you mean {alike[0]}?" if alike else f"; there are {', '.join(kind.singular for kind in kinds.ALL)}"
        )
        raise UnknownWord(f"there is no kind {word}{tail}") from None


def _inside(place: _Place, name: str, walked: str) -> _Place:
    item = _item(place)
    properties: Mapping[str, Schema] = item.node.get("properties", {})
    if name not in properties:
        alike = difflib.get_close_matches(name.lower(), [each.lower() for each in properties], n=1)
        found = next((each for each in properties if alike and each.lower() == alike[0]), None)
        there = f"did you mean {found}?" if found else f"it has {', '.join(properties) or 'no fields of its own'}"
        raise UnknownWord(f"{walked} has no field {name}; {there}")
    info = _info(item.model, name)
    return _Place(
        properties[name], _model_of(info.annotation) if info else None, info, name in item.node.get("required", ())
    )


def _item(place: _Place) -> _Place:
    """For a list or a map: what it holds."""
    node = place.node
    while "items" in node or isinstance(node.get("additionalProperties"), Mapping):
        node = node.get("items") or node["additionalProperties"]
    return place if node is place.node else _Place(node, place.model, place.info, place.is_required)


def _info(model: type[BaseModel] | None, name: str) -> FieldInfo | None:
    found = (model.model_fields if model else {}).items()
    return next((info for python, info in found if (info.alias or python) == name), None)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside Annotated, Optional, tuples and dicts."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Annotated:
        return _model_of(get_args(annotation)[0])
    if get_origin(annotation) in {typing.Union, types.UnionType, tuple, dict, list}:
        return next((found for each in get_args(annotation) if (found := _model_of(each))), None)
    return None


def _fields(place: _Place) -> Iterator[FieldView]:
    required = place.node.get("required", ())
    for name, node in place.node.get("properties", {}).items():
        info = _info(place.model, name)
        inner = _Place(node, _model_of(info.annotation) if info else None, info, name in required)
        summary = node.get("description") or _item(inner).node.get("description") or ""
        yield FieldView(
            name=name,
            type=_type(inner),
            is_required=name in required,
            default=_default(inner),
            choices=tuple(map(str, _item(inner).node.get("enum", ()))),
            summary=_first_sentence(str(summary)),
        )


def _default(place: _Place) -> Any:
    """The default as it would be written in a manifest; None for none, or for an object of defaults."""
    if place.node.get("default") not in (None, {}):
        return place.node["default"]
    if place.info is None or place.info.is_required():
        return None
    value = place.info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel | tuple | dict) or value == "":
        return None
    if isinstance(value, timedelta):
        return words.format_duration(value)
    return words.format_decimal(value) if isinstance(value, Decimal) else plain(value)


def _python_type(annotation: Any) -> type | None:
    """The plain type inside Annotated and Optional; None for anything else."""
    if get_origin(annotation) is Annotated:
        return _python_type(get_args(annotation)[0])
    if get_origin(annotation) in {typing.Union, types.UnionType}:
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return _python_type(inner[0]) if len(inner) == 1 else None
    return annotation if inspect.isclass(annotation) else None


def _type(place: _Place) -> str:
    found = _python_type(place.info.annotation) if place.info else None
    return _FORMS.get(found, "") or _schema_type(place.node) if found else _schema_type(place.node)


def _schema_type(node: Schema) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "items" in node:
        return f"[]{_schema_type(node['items'])}"
    if isinstance(node.get("additionalProperties"), Mapping):
        return f"map of {_schema_type(node['additionalProperties'])}"
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return "any JSON" if "type" not in node else "any JSON object"
    if "enum" in node:
        return "word"
    return "time" if node.get("format") == "date-time" else str(node["type"])


def _bounds(node: Schema) -> Iterator[str]:
    if "enum" in node:
        yield f"one of {', '.join(map(str, node['enum']))}"
    for key, words_ in _BOUNDS.items():
        if key in node and not (key == "minLength" and node[key] == 1):
            yield words_.format(f"{node[key]:,}" if isinstance(node[key], int) else node[key])
    if "pattern" in node:
        yield f"matches {node['pattern']}"
    keys = node.get("x-kubernetes-list-map-keys")
    if keys:
        yield f"no two items with the same {' and '.join(keys)}"
    if node.get("x-kubernetes-list-type") == "set":
        yield "no item twice"
    if "items" in node:
        yield from (f"each item {each}" for each in _bounds(node["items"]))


def _rules(node: Schema) -> Iterator[Rule]:
    for each in node.get("x-kubernetes-validations", ()):
        yield Rule(each["message"], each["rule"])


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")
