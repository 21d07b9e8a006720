"""Reads a suite: the form of pydantic-evals' datasets, with evaluators of proctor's own.

    name: refunds
    repeats: 3
    judge: {connector: llm, model: gpt-5-mini}
    cases:
      - name: small-and-recent
        inputs: Customer C-100 asks for a refund of order O-1001 (40 EUR).
        expected_output: {decision: approve, amount: 40}
        evaluators:
          - MustCall: {connector: payments, tool: refund, arguments: {order_id: O-1001}}
    evaluators:
      - MaxDuration: 30

An evaluator is a name, a name with its one argument, or a name with named arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proctor.delivery.exam.checks import EXPECTING, KINDS, Check, LLMJudge, MatchesExpected, Words
from proctor.delivery.exam.document import DocumentError, read

_MOST_TRIALS = 2000
Repeats = Annotated[int, Field(ge=1, le=20)]


class SuiteError(ValueError):
    """A suite that cannot be used. `problems` are all of them, each with the case and the field that it is about."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Judge(_Form):
    connector: Words
    model: Words


class _CaseForm(_Form):
    name: Annotated[str, Field(min_length=1, max_length=128, pattern="^[^#]*$")]
    inputs: Any
    expected_output: Any = None
    metadata: dict[str, Any] | None = None
    evaluators: list[Any] = []
    repeats: Repeats | None = None


class _SuiteForm(_Form):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    cases: Annotated[list[_CaseForm], Field(min_length=1, max_length=500)]
    evaluators: list[Any] = []
    repeats: Repeats = 1
    judge: _Judge | None = None


@dataclass(frozen=True)
class Case:
    """One question and what its answer must be like."""

    name: str
    inputs: Any
    checks: tuple[Check, ...]
    repeats: int = 1
    """How often it is asked. Every answer must pass (pass^k)."""
    expected_output: Any = None
    is_expecting: bool = False
    """Whether there is an expected output, which may be null."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of its trials."""
        return tuple(f"{self.name}#{number}" for number in range(1, self.repeats + 1))


@dataclass(frozen=True)
class Suite:
    """An exam."""

    name: str
    cases: tuple[Case, ...]
    digest: str
    """Of its text: only reports of the same suite can be compared."""


@dataclass(frozen=True)
class Trial:
    """One question to be asked."""

    key: str
    input: Any


def trials(suite: Suite) -> tuple[Trial, ...]:
    """All that is to be asked, each by itself."""
    return tuple(Trial(key, case.inputs) for case in suite.cases for key in case.keys)


def text_of(data: Mapping[str, str]) -> str:
    """The suite in a ConfigMap: its key `suite.yaml`, or its only key. Raises SuiteError if there is neither."""
    if "suite.yaml" in data:
        return data["suite.yaml"]
    if len(data) == 1:
        return next(iter(data.values()))
    raise SuiteError([f"the ConfigMap has {len(data)} keys, and none of them is suite.yaml"])


def parse(text: str) -> Suite:
    """The suite that a text says. Raises SuiteError, which names each problem's case and field."""
    try:
        document = read(text)
        form = _SuiteForm.model_validate(document)
    except DocumentError as error:
        raise SuiteError([str(error)]) from error
    except ValidationError as error:
        raise SuiteError(_told(error, _places(document))) from error
    problems = _doubled(form)
    common, wrong = _checks(form.evaluators, form.judge, "")
    problems += wrong
    cases = []
    for each in form.cases:
        own, wrong = _checks(each.evaluators, form.judge, f"case {each.name}: ")
        problems += [*wrong, *_pointless(each, own)]
        cases.append(_case(each, own, common, form.repeats))
    if sum(case.repeats for case in cases) > _MOST_TRIALS:
        problems.append(f"cases: more than {_MOST_TRIALS} trials with all repeats")
    if problems:
        raise SuiteError(problems)
    return Suite(form.name, tuple(cases), sha256(text.encode()).hexdigest()[:16])


def _case(form: _CaseForm, own: tuple[Check, ...], common: tuple[Check, ...], repeats: int) -> Case:
    is_expecting = "expected_output" in form.model_fields_set
    shared = tuple(check for check in common if is_expecting or not isinstance(check, EXPECTING))
    checks = (*own, *shared)
    # An expected output that nothing looks at would let every answer pass.
    if is_expecting and not any(isinstance(check, (*EXPECTING, LLMJudge)) for check in checks):
        checks = (MatchesExpected(), *checks)
    return Case(form.name, form.inputs, checks, form.repeats or repeats, form.expected_output, is_expecting)


def _checks(found: list[Any], judge: _Judge | None, where: str) -> tuple[tuple[Check, ...], list[str]]:
    checks: list[Check] = []
    problems: list[str] = []
    for number, each in enumerate(found):
        place = f"{where}evaluators[{number}]"
        try:
            checks.append(_check(each, judge))
        except ValidationError as error:
            name = next(iter(each)) if isinstance(each, dict) else each
            problems += _told(error, {(): f"{place}.{name}"})
        except ValueError as error:
            problems.append(f"{place}: {error}")
    return tuple(checks), problems


def _check(found: Any, judge: _Judge | None) -> Check:
    arguments: Any = {}
    match found:
        case str():
            name = found
        case dict() if len(found) == 1:
            name, arguments = next(iter(found.items()))
        case _:
            raise ValueError("an evaluator is a name, or one name with its arguments")
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"there is no evaluator {name}; there are {', '.join(sorted(KINDS))}")
    fields = list(kind.model_fields)
    if kind is LLMJudge and isinstance(arguments, str):
        arguments = {"rubric": arguments}
    # As in pydantic-evals: what is not an object of the evaluator's own fields is its first argument.
    elif fields and not (isinstance(arguments, dict) and set(arguments) & set(fields)):
        arguments = {fields[0]: arguments} if arguments != {} else {}
    elif not fields and arguments:
        raise ValueError(f"{name} has no arguments")
    if kind is LLMJudge and judge is not None:
        arguments = {"connector": judge.connector, "model": judge.model, **arguments}
    return kind.model_validate(arguments)


def _pointless(form: _CaseForm, own: tuple[Check, ...]) -> list[str]:
    if "expected_output" in form.model_fields_set:
        return []
    named = [type(check).__name__ for check in own if isinstance(check, EXPECTING)]
    return [f"case {form.name}: evaluators: {name} needs expected_output" for name in named]


def _doubled(form: _SuiteForm) -> list[str]:
    names = [case.name for case in form.cases]
    return [f"case {name}: another case has this name" for name in sorted(set(names)) if names.count(name) > 1]


def _places(document: Any) -> dict[tuple[int | str, ...], str]:
    """What to call the cases: by their name, or else by their number."""
    cases = document.get("cases") if isinstance(document, dict) else None
    found = cases if isinstance(cases, list) else []
    return {("cases", n): f"case {_name(case, n)}" for n, case in enumerate(found)}


def _name(case: Any, number: int) -> str:
    name = case.get("name") if isinstance(case, dict) else None
    return name if isinstance(name, str) and name else str(number + 1)


def _told(error: ValidationError, places: dict[tuple[int | str, ...], str]) -> list[str]:
    told = []
    for each in error.errors(include_url=False, include_input=False):
        place = tuple(each["loc"])
        known = next((words for begin, words in places.items() if place[: len(begin)] == begin), "")
        rest = place[next((len(b) for b in places if place[: len(b)] == b), 0) :]
        where = ": ".join(part for part in (known, ".".join(str(step) for step in rest)) if part)
        told.append(f"{where}: {each['msg']}" if where else "a suite is an object with name and cases")
    return told
