"""The CustomResourceDefinitions, made from the models: a pure function of what the other modules of `api` say.

`pydantic` writes JSON Schema; the API server demands a *structural* schema, a small part of OpenAPI v3. `structural`
translates, and refuses a keyword that it does not know rather than let the API server drop or reject it.
Which defaults the API server applies, and why, is told in docs/decisions/2026-11-22-defaults.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from proctor.api import names
from proctor.api.fields import format_decimal, format_duration, rules
from proctor.api.kinds import Column, Kind

Schema = dict[str, Any]

_KEPT: Final = (
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
_UNSAID: Final = ("title", "default", "description", "$ref", "properties", "required", "items", "additionalProperties")
_TYPED: Final = {"type", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"}
_EXCLUSIVE: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


class Unstructural(TypeError):  # noqa: N818 - names the state of a model
    """A model says something that a structural schema cannot. The text names the place and the keyword."""


class _Dialect(GenerateJsonSchema):
    """JSON Schema with our own words for durations and decimals, and no `null`: absent is absent."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the parent's signature
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return format_decimal(dft) if isinstance(dft, Decimal) else super().encode_default(dft)


def declared(kind: Kind) -> Schema:
    """What the kind's model says, as JSON Schema with `$defs`."""
    return kind.model.model_json_schema(by_alias=True, schema_generator=_Dialect)


def structural(schema: Mapping[str, Any], *, defaults: bool) -> Schema:
    """The structural schema that says the same as a JSON Schema of pydantic's. Raises `Unstructural`."""
    return _Translator(schema.get("$defs", {})).node(schema, "", defaults=defaults)


class _Translator:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def node(self, schema: Mapping[str, Any], at: str, *, defaults: bool, inside: tuple[str, ...] = ()) -> Schema:
        schema, inside = self._inlined(schema, at, inside)
        kept: Schema = {"description": " ".join(schema["description"].split())} if "description" in schema else {}
        kept |= {key: schema[key] for key in _KEPT if key in schema}
        for key, value in schema.items():
            if key.startswith("x-kubernetes-"):
                kept[key] = value
            elif key == "const":
                kept["enum"] = [value]
            elif key in _EXCLUSIVE:
                kept |= {_EXCLUSIVE[key]: value, key: True}
            elif key not in _KEPT and key not in _UNSAID and key != "$defs":
                raise Unstructural(f"{at or 'the root'}: a structural schema has no {key!r}")
        kept |= self._children(schema, at, defaults=defaults, inside=inside)
        if not kept.keys() & _TYPED:
            raise Unstructural(f"{at or 'the root'}: a type is missing")
        return kept

    def _inlined(
        self, schema: Mapping[str, Any], at: str, inside: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        if "$ref" not in schema:
            return schema, inside
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in inside:
            raise Unstructural(f"{at}: {name} contains itself")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self._definitions[name] | beside, (*inside, name)

    def _children(self, schema: Mapping[str, Any], at: str, *, defaults: bool, inside: tuple[str, ...]) -> Schema:
        made: Schema = {}
        if "items" in schema:
            # No defaults below a list: a client that compares lists as a whole would see a difference for ever.
            made["items"] = self.node(schema["items"], f"{at}[]", defaults=False, inside=inside)
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping) and extra:
            made["additionalProperties"] = self.node(extra, f"{at}.*", defaults=False, inside=inside)
        elif extra and "properties" not in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
            raise Unstructural(f"{at}: a free-form object must be declared with x-kubernetes-preserve-unknown-fields")
        if schema.get("properties"):
            made["properties"] = {
                name: self._property(each, f"{at}.{name}", defaults=defaults, inside=inside)
                for name, each in schema["properties"].items()
            }
        if schema.get("required"):
            made["required"] = list(schema["required"])
        return made

    def _property(self, schema: Mapping[str, Any], at: str, *, defaults: bool, inside: tuple[str, ...]) -> Schema:
        made = self.node(schema, at, defaults=defaults, inside=inside)
        default = schema.get("default")
        if not defaults or default is None:
            return made
        if isinstance(default, Mapping):
            return made | {"default": {}} if _has_defaults(made) else made
        # Where two managers had a part in the items of a keyed list and one of them takes all away, the API server is
        # left with null, which it then refuses as no list; with a default it is the empty list.
        is_said = default != "" and (default != [] or made.get("x-kubernetes-list-type") == "map")
        return made | {"default": default} if is_said else made


def _has_defaults(schema: Schema) -> bool:
    return any("default" in each for each in schema.get("properties", {}).values())


def _root(kind: Kind) -> Schema:
    """The schema of a whole object. Defaults are for what the user declares; a status says only what was measured."""
    whole = structural(declared(kind), defaults=True)["properties"]
    measured = structural(declared(kind), defaults=False)["properties"]
    return {
        "description": " ".join((kind.model.__doc__ or "").split()),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {names.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.name}."},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": whole["spec"],
            "status": measured["status"],
        },
    } | rules(_name_rule(kind), *kind.rules)


def _name_rule(kind: Kind) -> tuple[str, str, str]:
    return (
        f"self.metadata.name.size() <= {kind.longest_name} && !self.metadata.name.contains('.')",
        f"metadata.name must have at most {kind.longest_name} characters and no dot, for it becomes a label, a part of "
        "other names and of a URL: choose a shorter one",
        ".metadata.name",
    )


def _column(column: Column) -> Schema:
    made: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return made | {"description": column.description, "priority": 1 if column.wide else 0}


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    subresources: Schema = {"status": {}}
    if kind.scale:
        subresources["scale"] = {
            "specReplicasPath": kind.scale.spec_replicas,
            "statusReplicasPath": kind.scale.status_replicas,
            "labelSelectorPath": kind.scale.selector,
        }
    version = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(each) for each in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind)},
        "subresources": subresources,
    }
    called = {"plural": kind.plural, "singular": kind.singular, "kind": kind.name, "listKind": f"{kind.name}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}", "labels": {"app.kubernetes.io/part-of": "proctor"}},
        "spec": {
            "group": names.GROUP,
            "scope": kind.scope.value,
            "names": called | {"shortNames": [kind.short], "categories": ["proctor", "all"]},
            "versions": [version],
        },
    }
