"""The words in which a scripted model is written: which requests a rule answers, and how.

A rules file is YAML with camelCase fields. Unknown fields are rejected, because a misspelt condition
would otherwise match everything.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from proctor_demo.model.templates import names_in


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    return pattern


Regex = Annotated[str, AfterValidator(_compiles)]


class Words(BaseModel):
    """The base of all parts of a rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False)


class TextMatch(Words):
    """Conditions on a text; all that are given must hold. Named groups of `regex` become placeholders."""

    contains: str | None = None
    lacks: str | None = None
    regex: Regex | None = None


class Range(Words):
    """How many: `equals`, or from `at_least` to `at_most`."""

    equals: int | None = None
    at_least: int | None = None
    at_most: int | None = None


class Comparison(Words):
    """Conditions on one value; all that are given must hold. The values compared with may be templates."""

    equals: Any = None
    differs: Any = None
    contains: str | None = None
    regex: Regex | None = None
    at_least: float | str | None = None
    at_most: float | str | None = None
    above: float | str | None = None
    below: float | str | None = None

    def conditions(self) -> dict[str, Any]:
        """Which comparisons were written, by name: of the file, not of the values, as `equals: null` is one."""
        return {name: getattr(self, name) for name in Comparison.model_fields if name in self.model_fields_set}


class FieldMatch(Comparison):
    """Conditions on one value inside a tool's JSON result."""

    at: Annotated[str, Field(pattern=r"^(/.*)?$", description="a JSON pointer (RFC 6901)")]
    exists: bool | None = None


class ValueMatch(Comparison):
    """Conditions on a filled template, such as a captured amount."""

    value: str


class ResultMatch(Words):
    """Conditions on what a tool has answered in this conversation; on its last answer, but for `count`.

    `tool` is the offered name, or the part of it behind the last `__`. Without `count` there must be one answer.
    """

    tool: str
    count: int | Range | None = None
    text: TextMatch | None = None
    fields: tuple[FieldMatch, ...] = ()


class When(Words):
    """Which requests a rule answers: all conditions given must hold; none given means every request."""

    model: Regex | None = None
    system: TextMatch | None = None
    task: TextMatch | None = Field(default=None, description="the first message of the user")
    user: TextMatch | None = Field(default=None, description="the last message of the user")
    any_message: TextMatch | None = None
    last_role: Literal["system", "developer", "user", "assistant", "tool"] | None = None
    tools: tuple[str, ...] = ()
    no_tools: tuple[str, ...] = ()
    results: tuple[ResultMatch, ...] = ()
    where: tuple[ValueMatch, ...] = ()
    turn: int | Range | None = Field(default=None, description="assistant messages so far")

    def captures(self) -> frozenset[str]:
        """The named groups of all regular expressions: the placeholders a template may use."""
        texts = [self.system, self.task, self.user, self.any_message, *(result.text for result in self.results)]
        patterns = [text.regex for text in texts if text is not None and text.regex is not None]
        return frozenset(name for pattern in patterns for name in re.compile(pattern).groupindex)


class Call(Words):
    """A tool call. `raw_arguments` is sent as it stands, to be malformed on purpose."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    raw_arguments: str | None = None


class Failure(Words):
    """An HTTP error instead of an answer, shaped as OpenAI's."""

    status: Annotated[int, Field(ge=400, le=599)]
    code: str | None = None
    message: str = "scripted failure"
    retry_after_seconds: int | None = None


class Then(Words):
    """What is answered: exactly one of the kinds, and how it is delivered."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    answer: Any = Field(default=None, description="a JSON value in the form the request asks for")
    refusal: str | None = None
    error: Failure | None = None
    malformed_body: bool = Field(default=False, description="200 with a body that is no JSON")

    repeat_text: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None = None
    usage: Literal["Counted", "Missing"] = "Counted"
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    chunk_delay_seconds: Annotated[float, Field(ge=0, le=60)] = 0
    cut_after_chunks: Annotated[int, Field(ge=0)] | None = Field(default=None, description="drop the connection")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        kinds = {
            "text or calls": self.text is not None or bool(self.calls),
            "answer": self.answer is not None,
            "refusal": self.refusal is not None,
            "error": self.error is not None,
            "malformedBody": self.malformed_body,
        }
        given = [name for name, present in kinds.items() if present]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(kinds)}; given: {', '.join(given) or 'none'}")
        return self


class Share(Words):
    """A share of the matching requests, drawn by a hash of the request, never by chance.

    Per `Request` the same body is always drawn alike; per `Occurrence` a repeated body is drawn anew.
    """

    share: Annotated[float, Field(ge=0, le=1)]
    per: Literal["Request", "Occurrence"] = "Request"


class Rule(Words):
    """One rule: the first rule of the file that holds for a request answers it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=100)]
    when: When = When()
    first: Annotated[int, Field(ge=1)] | None = Field(default=None, description="only so many times")
    probability: float | Share | None = None
    then: Then

    @model_validator(mode="after")
    def _knows_its_placeholders(self) -> Self:
        known = self.when.captures()
        said = self.model_dump(by_alias=True, include={"then": True, "when": {"where"}})
        for where, template in _templates(said, ""):
            for name in names_in(template):
                if name not in known:
                    raise ValueError(f"{where}: {{{name}}} is no named group of a regex in `when` ({_listed(known)})")
        return self

    @property
    def drawn(self) -> Share | None:
        """The share of requests this rule is for, or None for all."""
        return Share(share=self.probability) if isinstance(self.probability, float) else self.probability


class RuleSet(Words):
    """A whole rules file. `models` are those served; none listed means any name is."""

    seed: int = 0
    models: tuple[str, ...] = ()
    answer_tools: Regex = "final_result.*"
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _has_rules_of_unique_names(self) -> Self:
        if not self.rules:
            raise ValueError("rules: there is none")
        names = [rule.name for rule in self.rules]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules have the same name: {', '.join(doubled)}")
        return self


def _templates(value: object, where: str) -> list[tuple[str, str]]:
    """The strings in `value` in which placeholders are filled in, each with its place."""
    match value:
        case str():
            return [(where, value)]
        case dict():
            plain = ("rawArguments", "tool", "error")
            inner = [_templates(item, f"{where}.{key}".lstrip(".")) for key, item in value.items() if key not in plain]
        case list() | tuple():
            inner = [_templates(item, f"{where}[{index}]") for index, item in enumerate(value)]
        case _:
            return []
    return [found for part in inner for found in part]


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "there is none"
