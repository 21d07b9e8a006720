"""The form of an answer: the declared JSON schema, how the model is asked for it, and what is returned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from proctor_agent.config import InvalidConfig

OUTPUT_TOOL = "final_result"
"""The tool by whose call the model gives a structured answer."""
_WRAPPED = "value"


@dataclass(frozen=True)
class AnswerForm:
    """A declared output schema. Tool arguments are objects, so that any other type is wrapped into one."""

    declared: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Raise InvalidConfig if the schema is none."""
        try:
            Draft202012Validator.check_schema(self.declared)
        except SchemaError as exc:
            raise InvalidConfig(f"output.schema is not a JSON schema: {exc.message}") from exc

    @property
    def wrapped(self) -> bool:
        """Whether the answer is put into an object for the model."""
        return self.declared.get("type") != "object"

    @property
    def asked_for(self) -> dict[str, Any]:
        """The schema shown to the model."""
        if not self.wrapped:
            return dict(self.declared)
        return {"type": "object", "properties": {_WRAPPED: self.declared}, "required": [_WRAPPED]}

    def read(self, given: Mapping[str, Any]) -> Any:
        """The answer in what the model gave."""
        return given[_WRAPPED] if self.wrapped else given

    def complaint(self, given: Mapping[str, Any]) -> str | None:
        """What is wrong with the model's answer, in words for the model; None if nothing is."""
        error = best_match(self._validator.iter_errors(given))
        return None if error is None else f"{error.json_path}: {error.message}"

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.asked_for)
