"""JSON schemas of somebody else, used without fetching anything and without expressions that can run for hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

_REFUSED = ("pattern", "patternProperties")


def refuse_schema(schema: Any) -> None:
    """Raises ValueError for what is no JSON schema, or one that cannot be used here."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"no JSON schema: {error.message[:200]}") from error
    for word in _words(schema):
        if word in _REFUSED:
            raise ValueError(f"{word} is not used in exams: a regular expression can hold up all of them")


def mismatch(value: Any, schema: Any) -> str | None:
    """What is wrong with a value, if anything."""
    try:
        found = best_match(Draft202012Validator(schema, registry=Registry()).iter_errors(value))
    except Unresolvable as error:
        return f"the schema refers to what is not in it: {error}"
    except RecursionError:
        return "nested too deeply to be checked"
    if found is None:
        return None
    where = "/".join(str(step) for step in found.absolute_path)
    return f"at /{where}: {found.message[:200]}"


def _words(schema: Any) -> Iterator[str]:
    """The keywords of a schema, and the names of its properties where they look like keywords with a text."""
    match schema:
        case dict():
            for word, value in schema.items():
                # A property that is called `pattern` has a schema, which is no text.
                if word in _REFUSED and (word != "pattern" or isinstance(value, str)):
                    yield word
                yield from _words(value)
        case list():
            for each in schema:
                yield from _words(each)
