"""The reference of every kind and field, made from the models: a pure function that returns one Markdown page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from proctor.api import names
from proctor.api.kinds import Kind
from proctor.api.schema import declared

Schema = Mapping[str, Any]

_PREFACE: Final = f"""# The kinds of {names.API_VERSION}

Made by `make crds` from the models in `operator/proctor/api`; a test fails when it differs.

- A field with **required** has to be set. An unknown field is refused.
- The API server writes the default of a field into the object, but not below a list: there proctor assumes it.
- A *duration* is a text such as `90s`, `1h30m` or `28d`; a *decimal* is a text such as `"0.20"`, so that nothing rounds
  it; a *time* is RFC 3339 with a zone; a *glob* is a text in which `*` stands for any characters; a *name* is a DNS
  label: at most 63 of `a-z`, `0-9` and `-`.
- *CEL* is the [Common Expression Language](https://cel.dev), the language of Kubernetes' own admission policies.
"""


def page(kinds: Sequence[Kind]) -> str:
    """The whole page. The same models give the same text."""
    book = _Book()
    sections = [book.section(kind) for kind in kinds]
    contents = "\n".join(f"- [{kind.name}](#{kind.singular}): {_first_sentence(kind.model.__doc__)}" for kind in kinds)
    return "\n".join((_PREFACE, contents, "", *sections))


class _Book:
    """Remembers what it has described, so that an object shared by several kinds is described once."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def section(self, kind: Kind) -> str:
        schema = declared(kind)
        definitions: Mapping[str, Schema] = schema["$defs"]
        parts = [schema["properties"][part]["$ref"].rsplit("/", 1)[-1] for part in ("spec", "status")]
        new = [name for name in _reachable(parts, definitions) if self._claim(kind, name, definitions[name])]
        text = [f"## {kind.name}", "", _flat(kind.model.__doc__), "", *_about(kind)]
        for name in new:
            text += self._object(name, definitions)
        return "\n".join(text)

    def _claim(self, kind: Kind, name: str, definition: Schema) -> bool:
        content = json.dumps([name, definition], sort_keys=True)
        is_new = content not in self._places
        if is_new:
            self._places[content] = f"{kind.singular}-{name.lower()}"
        return is_new and "enum" not in definition

    def _place(self, name: str, definition: Schema) -> str:
        return self._places[json.dumps([name, definition], sort_keys=True)]

    def _object(self, name: str, definitions: Mapping[str, Schema]) -> Iterator[str]:
        definition = definitions[name]
        yield f'### <a id="{self._place(name, definition)}"></a>{name}'
        yield ""
        yield _flat(definition.get("description"))
        yield ""
        if definition.get("properties"):
            yield "| field | type | |"
            yield "|---|---|---|"
        required = definition.get("required", ())
        for field, schema in definition.get("properties", {}).items():
            meaning = _meaning(schema, definitions, is_required=field in required)
            yield f"| `{field}` | {self._type(schema, definitions)} | {meaning} |"
        yield ""
        rules = [f"- {rule['message']}" for rule in definition.get("x-kubernetes-validations", ())]
        if rules:
            yield from ("The API server holds:", "", *rules, "")

    def _type(self, schema: Schema, definitions: Mapping[str, Schema]) -> str:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return _type_of(definitions[name]) or f"[{name}](#{self._place(name, definitions[name])})"
        if "items" in schema:
            return f"list of {self._type(schema['items'], definitions)}{_bounds(schema)}"
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping) and extra and "x-kubernetes-preserve-unknown-fields" not in schema:
            return f"map of {self._type(extra, definitions)}"
        return (_type_of(schema) or "any") + _bounds(schema)


def _about(kind: Kind) -> Iterator[str]:
    yield f"{kind.scope.value}; `kubectl get {kind.plural}`, short `{kind.short}`."
    yield f"Its name has at most {kind.longest_name} characters and no dot."
    yield ""
    yield "| column | shows |"
    yield "|---|---|"
    for column in kind.columns:
        yield f"| {column.name}{' (`-o wide`)' if column.wide else ''} | {column.description} |"
    yield ""
    held = [f"- {rule[1]}" for rule in kind.rules]
    if held:
        yield from ("The API server holds:", "", *held, "")


def _reachable(roots: Sequence[str], definitions: Mapping[str, Schema]) -> Iterator[str]:
    seen: list[str] = []
    waiting = list(roots)
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.append(name)
            waiting[:0] = [each for each in _references(definitions[name]) if each not in seen]
    return iter(seen)


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[-1]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _type_of(schema: Schema) -> str | None:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return "integer or text"
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return "any JSON object" if schema.get("type") == "object" else "any JSON"
    plain = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
    return schema.get("title") if schema.get("type") == "string" and "title" in schema else plain.get(schema["type"])


def _bounds(schema: Schema) -> str:
    if schema.get("type") == "string" and "title" in schema:
        return ""
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " items"),
        ("", "maxLength", " characters"),
    ):
        if high in schema:
            least = f"{schema[low]} to " if schema.get(low) is not None else "at most "
            return f", {least}{schema[high]}{unit}"
    return ""


def _meaning(schema: Schema, definitions: Mapping[str, Schema], *, is_required: bool) -> str:
    said = [_flat(schema.get("description") or _of_target(schema, definitions))]
    said += [f"It {rule['message']}." for rule in schema.get("x-kubernetes-validations", ())]
    if is_required:
        said.insert(0, "**required**.")
    elif schema.get("default") not in (None, "", [], {}) and not isinstance(schema["default"], Mapping):
        said.append(f"Default `{_literal(schema['default'])}`.")
    return " ".join(each for each in said if each).replace("|", "\\|")


def _literal(value: object) -> str:
    # A number in quotes has to be written so, any other text need not.
    is_word = isinstance(value, str) and not value[:1].isdigit()
    return str(value) if is_word else json.dumps(value)


def _of_target(schema: Schema, definitions: Mapping[str, Schema]) -> str | None:
    # pydantic leaves out a field's description that its type says in the same words.
    return definitions.get(schema.get("$ref", "").rsplit("/", 1)[-1], {}).get("description")


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())


def _first_sentence(text: str | None) -> str:
    return _flat(text).split(". ")[0].rstrip(".")
