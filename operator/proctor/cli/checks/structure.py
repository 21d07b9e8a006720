"""Whether an object has the form that its kind's schema demands: the structural schema, keyword by keyword."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from proctor.api import schema
from proctor.api.kinds import Kind
from proctor.cli.manifests import Path_, spoken
from proctor.cli.wording import moment, short

Finding = tuple[Path_, str]
"""Where, and what is wrong there."""
Schema = Mapping[str, Any]

_METADATA = frozenset(
    {
        "name",
        "generateName",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    }
)
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


@lru_cache
def of_kind(kind: Kind) -> Schema:
    """The schema of the kind's whole objects, as the API server has it."""
    version: Schema = schema.definition(kind)["spec"]["versions"][0]
    whole: Schema = version["schema"]["openAPIV3Schema"]
    return whole


def findings(kind: Kind, body: Mapping[str, Any]) -> Iterator[Finding]:
    """All that the API server would refuse in the object's form."""
    yield from _metadata(body.get("metadata"))
    declared = {key: value for key, value in body.items() if key not in {"apiVersion", "kind", "metadata", "status"}}
    for key in declared:
        if key not in _TOP:
            yield (key,), _unknown(key, _TOP)
    if "spec" not in declared:
        yield (), "spec is missing"
    else:
        yield from _node(of_kind(kind)["properties"]["spec"], declared["spec"], ("spec",))


def with_defaults(node: Schema, value: Any) -> Any:
    """The value with what the API server fills in: it checks its rules on that."""
    if isinstance(value, dict):
        properties = node.get("properties", {})
        absent = {key: each["default"] for key, each in properties.items() if key not in value and "default" in each}
        return {key: with_defaults(properties.get(key, {}), each) for key, each in {**value, **absent}.items()}
    if isinstance(value, list):
        return [with_defaults(node.get("items", {}), each) for each in value]
    return value


def _metadata(metadata: Any) -> Iterator[Finding]:
    if not isinstance(metadata, Mapping):
        yield ("metadata",), "is missing, and with it the object's name"
        return
    for key in metadata:
        if key not in _METADATA:
            yield ("metadata", key), _unknown(key, _METADATA)
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        yield ("metadata", "name"), "is missing, or is not a text"
    elif not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name):
        yield ("metadata", "name"), f"{short(name, 60)!r} is not a name: small letters, digits and dashes"
    for field in ("labels", "annotations"):
        for key, value in (metadata.get(field) or {}).items():
            if not isinstance(value, str):
                yield ("metadata", field, key), f"is {_spoken_type(value)}, must be a text: put it in quotes"


def _node(node: Schema, value: Any, path: Path_) -> Iterator[Finding]:
    if value is None:
        # The API server drops a null where the field may be absent.
        return
    if node.get("x-kubernetes-int-or-string"):
        wrong = not isinstance(value, int | str) or isinstance(value, bool)
    else:
        wrong = "type" in node and not _has_type(value, node["type"])
    if wrong:
        yield path, f"is {_spoken_type(value)}, must be {_wanted(node)}{_quoting(value, node)}"
        return
    if "enum" in node and value not in node["enum"]:
        yield (
            path,
            f"{short(value, 60)!r} is not one of {', '.join(map(str, node['enum']))}{_alike(value, node['enum'])}",
        )
    if isinstance(value, str):
        yield from _text(node, value, path)
    elif isinstance(value, list):
        yield from _array(node, value, path)
    elif isinstance(value, dict):
        yield from _object(node, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(node, value, path)


def _has_type(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])


def _text(node: Schema, value: str, path: Path_) -> Iterator[Finding]:
    if len(value) < node.get("minLength", 0):
        at_least = node["minLength"]
        yield path, "must not be empty" if at_least == 1 else f"has {len(value)} characters, needs at least {at_least}"
    elif len(value) > node.get("maxLength", len(value)):
        yield path, f"has {len(value)} characters, may have at most {node['maxLength']}"
    elif "pattern" in node and not re.search(_python_pattern(node["pattern"]), value):
        yield path, f"{short(value, 60)!r} does not match {short(node['pattern'], 120)}"
    if node.get("format") == "date-time" and moment(value) is None:
        yield path, f"{short(value, 60)!r} is not a time such as 2026-01-31T12:00:00Z"


def _python_pattern(pattern: str) -> str:
    # The API server's `$` matches at the very end only; Python's also before a last line break.
    return pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern


def _number(node: Schema, value: float, path: Path_) -> Iterator[Finding]:
    if "minimum" in node:
        lowest, is_open = node["minimum"], node.get("exclusiveMinimum", False)
        if value < lowest or (is_open and value == lowest):
            yield path, f"is {value}, must be {'above' if is_open else 'at least'} {lowest}"
    if "maximum" in node:
        highest, is_open = node["maximum"], node.get("exclusiveMaximum", False)
        if value > highest or (is_open and value == highest):
            yield path, f"is {value}, must be {'below' if is_open else 'at most'} {highest}"


def _array(node: Schema, value: list[Any], path: Path_) -> Iterator[Finding]:
    if len(value) < node.get("minItems", 0):
        yield path, f"has {len(value)} items, needs at least {node['minItems']}"
    if len(value) > node.get("maxItems", len(value)):
        yield path, f"has {len(value)} items, may have at most {node['maxItems']}"
    if "items" in node:
        for index, each in enumerate(value):
            yield from _node(node["items"], each, (*path, index))
    yield from _duplicates(node, value, path)


def _duplicates(node: Schema, value: list[Any], path: Path_) -> Iterator[Finding]:
    keys = node.get("x-kubernetes-list-map-keys", ())
    kind = node.get("x-kubernetes-list-type")
    seen: list[Any] = []
    for index, each in enumerate(value):
        if kind == "map" and isinstance(each, dict):
            identity: Any = [each.get(key) for key in keys]
        elif kind == "set":
            identity = each
        else:
            continue
        if identity in seen:
            what = ", ".join(f"{key} {each.get(key)}" for key in keys) if kind == "map" else repr(each)
            yield (*path, index), f"{what} is there already, as {spoken(path)}[{seen.index(identity)}]"
        seen.append(identity)


def _object(node: Schema, value: dict[str, Any], path: Path_) -> Iterator[Finding]:
    if len(value) > node.get("maxProperties", len(value)):
        yield path, f"has {len(value)} entries, may have at most {node['maxProperties']}"
    properties = node.get("properties", {})
    for key in node.get("required", ()):
        if value.get(key) is None:
            yield path, f"{key} is missing{_described(properties.get(key, {}))}"
    others = node.get("additionalProperties")
    for key, each in value.items():
        if key in properties:
            yield from _node(properties[key], each, (*path, key))
        elif isinstance(others, Mapping):
            yield from _node(others, each, (*path, key))
        elif not node.get("x-kubernetes-preserve-unknown-fields") and not others:
            yield (*path, key), _unknown(key, properties)


def _unknown(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    # By the letters alone, so that max_steps finds maxSteps.
    folded = {name.lower(): name for name in names}
    alike = difflib.get_close_matches(key.replace("_", "").replace("-", "").lower(), list(folded), n=1, cutoff=0.6)
    return f"unknown field; did you mean {folded[alike[0]]}?" if alike else f"unknown field; known are {_some(names)}"


def _alike(value: Any, words: Iterable[Any]) -> str:
    folded = {str(word).lower(): word for word in words}
    alike = difflib.get_close_matches(str(value).lower(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean {folded[alike[0]]}?" if alike else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "")  # noqa: PLR2004 - what fits a line


def _described(node: Schema) -> str:
    text = node.get("description")
    return f" ({text.rstrip('.')})" if text else ""


def _wanted(node: Schema) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "a whole number or a text"
    return _ARTICLES[node["type"]]


def _quoting(value: Any, node: Schema) -> str:
    if node.get("type") != "string" or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return ": put it in quotes, for YAML takes a bare y, yes, on and the like for a truth value"
    return f': put it in quotes, "{value}"'


_ARTICLES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}


def _spoken_type(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return f"the text {short(value, 40)!r}"
        case _:
            return f"the number {value}"
