"""What an answer may be asked to be like: the evaluators of a suite, by the names that they have there.

Those that pydantic-evals knows too (EqualsExpected, Equals, Contains, IsInstance, MaxDuration, LLMJudge) mean the same.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from proctor.delivery.exam.schemas import refuse_schema

Words = Annotated[str, Field(min_length=1, max_length=4000)]
Amount = Annotated[float, Field(ge=0, le=1e9)]


class Check(BaseModel):
    """One demand on an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class EqualsExpected(Check):
    """The output is the case's expected output. A text that holds JSON is the same as that JSON."""


class MatchesExpected(Check):
    """The output has the fields of the expected output, with their values; what it has beyond them does not matter."""


class Equals(Check):
    """The output is this value."""

    value: Any


class Matches(Check):
    """The output has these fields, with these values."""

    value: Any


class Contains(Check):
    """The output, written as text, contains this text."""

    value: Words
    case_sensitive: bool = True


class IsInstance(Check):
    """The output is of this type."""

    type_name: Literal["str", "int", "float", "bool", "list", "dict", "NoneType"]


class OutputSchema(Check):
    """The output keeps this JSON schema."""

    value: dict[str, Any]

    @field_validator("value")
    @classmethod
    def _is_usable(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_schema(value)
        return value


class MustCall(Check):
    """This tool was called with arguments that have these fields, and the call was neither refused nor failed."""

    connector: Words
    tool: Words
    arguments: dict[str, Any] = {}
    times: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Exactly so often; absent: at least once."""


class MustNotCall(Check):
    """This tool was not called with arguments that have these fields. A call that was refused was made all the same."""

    connector: Words
    tool: Words = "*"
    """`*`: none of the connector's tools."""
    arguments: dict[str, Any] = {}


class MaxCalls(Check):
    """No more tools were called than this."""

    value: Annotated[int, Field(ge=0, le=10_000)]


class MaxDuration(Check):
    """It took no more seconds than this."""

    seconds: Amount


class MaxCost(Check):
    """It cost no more than this, in the installation's currency."""

    value: Amount


class EndsAs(Check):
    """The task ended like this. Where no check says otherwise it must have succeeded."""

    phase: Literal["Succeeded", "Failed"]
    reason: Words | None = None


class LLMJudge(Check):
    """Another model says that the output keeps a rubric. It never learns which revision answered."""

    rubric: Words
    connector: Words
    model: Words
    include_input: bool = True
    include_expected_output: bool = True


KINDS: dict[str, type[Check]] = {
    kind.__name__: kind
    for kind in (
        EqualsExpected,
        MatchesExpected,
        Equals,
        Matches,
        Contains,
        IsInstance,
        OutputSchema,
        MustCall,
        MustNotCall,
        MaxCalls,
        MaxDuration,
        MaxCost,
        EndsAs,
        LLMJudge,
    )
}
"""By the name that a suite uses."""

EXPECTING = (EqualsExpected, MatchesExpected)
"""Those that are of no use without an expected output."""
