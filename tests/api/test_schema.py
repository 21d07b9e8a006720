"""The CustomResourceDefinitions: structural, bounded, and the same as the models they are made from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from proctor.api import kinds
from proctor.api.fields import OPEN
from proctor.api.schema import Unstructural, _Dialect, definition, structural
from proctor.cli.crds import rendered

ROOT = Path(__file__).parents[2]
ALLOWED = {
    *("type", "format", "description", "properties", "required", "items", "additionalProperties", "enum", "default"),
    *("pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties"),
    *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"),
}
each_kind = pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.name)


@cache
def root_of(kind: kinds.Kind) -> dict[str, Any]:
    """The schema of the kind's objects."""
    schema: dict[str, Any] = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its path; below a list the path has `[]`, below a map `.*`."""
    yield at, schema
    for name, each in schema.get("properties", {}).items():
        yield from nodes(each, f"{at}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{at}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{at}.*")


@each_kind
def test_no_keyword_is_forbidden_at_any_depth(kind: kinds.Kind) -> None:
    """The API server refuses or drops anything else in a structural schema."""
    for at, schema in nodes(root_of(kind)):
        assert schema.keys() <= ALLOWED, at


@each_kind
def test_every_schema_has_a_type(kind: kinds.Kind) -> None:
    """But for any JSON, which says so, and a number or a word."""
    untyped = {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"}
    for at, schema in nodes(root_of(kind)):
        assert "type" in schema or schema.keys() & untyped, at


@each_kind
def test_unknown_fields_are_kept_only_where_they_are_somebody_elses(kind: kinds.Kind) -> None:
    """Model parameters, arguments, JSON Schemas, inputs and outputs are free; all else is known."""
    free = re.compile(
        r"\.(parameters|schema|reply|arguments|answerSchema|outputSchema|input|context|params|body|value|answer|output|outputs|event)$"
    )
    for at, schema in nodes(root_of(kind)):
        if "x-kubernetes-preserve-unknown-fields" in schema:
            assert free.search(at), at


@each_kind
def test_everything_in_a_spec_is_bounded(kind: kinds.Kind) -> None:
    """No list, text or number is without an end: the API server computes the cost of the rules from the bounds."""
    for at, schema in nodes(root_of(kind)["properties"]["spec"], "spec"):
        if schema.get("type") == "array":
            assert "maxItems" in schema, at
        if schema.get("type") == "string":
            assert schema.keys() & {"maxLength", "enum"}, at
        if schema.get("type") in {"integer", "number"}:
            assert {"minimum", "maximum"} <= schema.keys(), at
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, at


@each_kind
def test_every_list_says_how_it_is_merged(kind: kinds.Kind) -> None:
    """Else server-side apply would take each list for one value without anybody having decided so."""
    for at, schema in nodes(root_of(kind)):
        if schema.get("type") == "array":
            assert schema.get("x-kubernetes-list-type") in {"map", "set", "atomic"}, at


@each_kind
def test_conditions_are_told_apart_by_their_type(kind: kinds.Kind) -> None:
    """As kstatus and every other writer of conditions expects."""
    conditions = root_of(kind)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert conditions["items"]["required"] == ["type", "status", "reason", "lastTransitionTime"]


@each_kind
def test_defaults_are_in_the_spec_and_above_every_list(kind: kinds.Kind) -> None:
    """A status says what was measured, and a list is compared as one value by some GitOps tools."""
    for at, schema in nodes(root_of(kind)):
        if "default" in schema:
            assert at.startswith(".spec."), at
            assert not re.search(r"\[\]|\.\*", at), at
            assert schema["default"] not in ("", None), at
            # Where two had a part in a keyed list, taking it away leaves null: only a default makes a list of that.
            assert schema["default"] != [] or schema.get("x-kubernetes-list-type") == "map", at


@each_kind
def test_no_word_is_a_boolean_in_yaml(kind: kinds.Kind) -> None:
    """Kubectl reads YAML 1.1, where a key `on` or a value `no` without quotes is true or false."""
    for at, schema in nodes(root_of(kind)):
        values = schema.get("enum", ()) if at.startswith(".spec") else ()
        for word in (*schema.get("properties", {}), *values):
            assert isinstance(yaml.safe_load(word), str), f"{at}: {word}"


@each_kind
def test_every_column_shows_a_field_that_exists(kind: kinds.Kind) -> None:
    """A column without a field would be empty for ever, and nobody would know why."""
    fields = {at for at, _ in nodes(root_of(kind))} | {".metadata.creationTimestamp"}
    for column in kind.columns:
        field = re.sub(r"\[[^]]*\]", "[]", column.path)
        assert field in fields, column.name


@each_kind
def test_every_field_is_explained(kind: kinds.Kind) -> None:
    """`kubectl explain` and the reference say what each field of a spec is for."""
    silent = [
        at
        for at, schema in nodes(root_of(kind)["properties"]["spec"], "spec")
        if not at.endswith(("]", ".*")) and "description" not in schema
    ]
    assert silent == []


@each_kind
def test_status_is_a_subresource(kind: kinds.Kind) -> None:
    """So that who declares and who reports are different permissions."""
    version = definition(kind)["spec"]["versions"][0]
    assert version["subresources"]["status"] == {}


def test_the_number_that_is_scaled_has_a_default() -> None:
    """An autoscaler reads 0 for a field that is absent, and then does nothing."""
    assert kinds.AGENT.scale
    *way, last = kinds.AGENT.scale.spec_replicas.strip(".").split(".")
    schema = root_of(kinds.AGENT)
    for step in way:
        schema = schema["properties"][step]
        assert step == "spec" or schema["default"] == {}
    assert schema["properties"][last]["default"] == 1


def test_no_two_kinds_share_a_name() -> None:
    """Each word means one kind."""
    words = [word for kind in kinds.ALL for word in (kind.singular, kind.plural, kind.short)]
    assert len(words) == len(set(words))
    assert all(kinds.named(word.upper()).name for word in words)
    with pytest.raises(KeyError):
        kinds.named("pod")


def test_generated_files_are_those_in_the_repository() -> None:
    """Run `make crds` after a change of the models; a kind that is gone leaves no CRD behind."""
    made = rendered()
    assert [path for path, text in made.items() if (ROOT / path).read_text() != text] == []
    assert {f"crds/{path.name}" for path in (ROOT / "crds").iterdir()} <= made.keys()


class Inner(BaseModel):
    """A part."""

    depth: int = 0


class Recursive(BaseModel):
    """It contains itself."""

    child: Recursive | None = None


TRANSLATED = {
    "an optional field is the field": (int | None, {"type": "integer"}),
    "a part is put in place": (
        Inner,
        {"description": "A part.", "type": "object", "properties": {"depth": {"type": "integer", "default": 0}}},
    ),
    "an exclusive bound is a bound and a flag": (
        Annotated[int, Field(gt=3)],
        {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
    ),
    "a free object says so": (
        Annotated[dict[str, Any], Field(json_schema_extra=OPEN)],
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ),
    "a map has the schema of its values": (
        dict[str, int],
        {"type": "object", "additionalProperties": {"type": "integer"}},
    ),
}


@pytest.mark.parametrize("what", TRANSLATED)
def test_a_type_is_translated(what: str) -> None:
    """JSON Schema's ways of saying it become those of a structural schema."""
    type_, expected = TRANSLATED[what]
    model = type("Model", (BaseModel,), {"__annotations__": {"field": type_}})
    made = structural(model.model_json_schema(schema_generator=_Dialect), defaults=True)
    assert made["properties"]["field"] == expected


REFUSED = {
    "a choice of types": (int | str, "anyOf"),
    "a free object that does not say so": (dict[str, Any], "x-kubernetes-preserve-unknown-fields"),
    "anything at all": (Any, "a type is missing"),
    "an object within itself": (Recursive, "contains itself"),
    "a list of fixed places": (tuple[int, str], "prefixItems"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_type_that_has_no_structural_schema_is_refused(what: str) -> None:
    """Better than a CRD that the API server refuses, or one that drops what a user wrote."""
    type_, message = REFUSED[what]
    model = type("Model", (BaseModel,), {"__annotations__": {"field": type_}})
    with pytest.raises(Unstructural, match=message):
        structural(model.model_json_schema(schema_generator=_Dialect), defaults=True)
