"""Does a value have the form that a JSON Schema demands? Of an agent's answer, and of a person's instead of it.

Schemas are somebody else's: references are resolved within them, nothing is fetched, and none can make this raise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

_QUOTED: Final = 300
_OUTPUT: Final = "urn:proctor:output"


@dataclass(frozen=True)
class Mismatch:
    """Where the value does not have the form, and why. `is_schemas` says that the schema itself is at fault."""

    path: tuple[str, ...]
    message: str
    is_schemas: bool = False


def mismatch(value: Any, schema: Mapping[str, Any]) -> Mismatch | None:
    """The fault that says most, if there is any."""
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        found = best_match(kind(schema, registry=Registry()).iter_errors(value))
    except (SchemaError, Unresolvable) as exc:
        return Mismatch((), str(exc)[:_QUOTED], is_schemas=True)
    except RecursionError:
        return Mismatch((), "it is nested too deeply to be checked")
    if found is None:
        return None
    return Mismatch(tuple(str(step) for step in found.absolute_path), found.message[:_QUOTED])


def said(text: str) -> Any:
    """The JSON in a model's words, which may stand in a fence or between other words. Raises ValueError."""
    start, end = text.find("{"), text.rfind("}")
    return json.loads(text[start : end + 1] if 0 <= start < end else text)


def of_answer(output: Mapping[str, Any] | None) -> dict[str, Any]:
    """The form of what a person fills in instead of an agent: `output`, in the form that the agent's must have."""
    form = dict(output or {})
    if "$ref" in str(form):
        # What it refers to within itself is found from its own root, not from that of the whole.
        form = {"$id": _OUTPUT, **form}
    return {"type": "object", "required": ["output"], "properties": {"output": form}}
