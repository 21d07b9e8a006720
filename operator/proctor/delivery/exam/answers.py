"""Whether one answer is what a check demands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Protocol

from proctor.delivery.exam import checks
from proctor.delivery.exam.checks import Check
from proctor.delivery.exam.schemas import mismatch
from proctor.delivery.exam.suite import Case

_FAILED = {"Denied", "Failed", "Unknown"}
_SHOWN = 120


class Call(Protocol):
    """One call of a tool that a trial made."""

    @property
    def connector(self) -> str:
        """Of which Connector."""

    @property
    def name(self) -> str:
        """The tool."""

    @property
    def arguments(self) -> Any:
        """With what."""

    @property
    def state(self) -> str:
        """What became of it: `Denied`, `Failed` and `Unknown` are no success."""


class Result(Protocol):
    """What came of one trial."""

    @property
    def key(self) -> str:
        """Which one."""

    @property
    def phase(self) -> str:
        """How the task ended."""

    @property
    def reason(self) -> str | None:
        """Why it did not succeed."""

    @property
    def output(self) -> Any:
        """The answer."""

    @property
    def seconds(self) -> float | None:
        """How long it took."""

    @property
    def cost(self) -> Decimal | None:
        """What it cost."""

    @property
    def calls(self) -> Sequence[Call]:
        """The tools that were called, in order."""


def complaint(check: Check, result: Result, case: Case) -> str | None:
    """What is wrong with an answer by one check; None if nothing is. A judge's word is not asked for here."""
    return _of_output(check, result.output, case) or _of_conduct(check, result)


def _of_output(check: Check, output: Any, case: Case) -> str | None:  # noqa: PLR0911 - a line for each check
    match check:
        case checks.EqualsExpected():
            return _unequal(output, case.expected_output)
        case checks.MatchesExpected():
            return _unlike(output, case.expected_output)
        case checks.Equals(value=value):
            return _unequal(output, value)
        case checks.Matches(value=value):
            return _unlike(output, value)
        case checks.Contains():
            return _missing_text(check, output)
        case checks.IsInstance(type_name=name):
            found = type(output).__name__
            return None if found == name else f"the output is a {found}, not a {name}"
        case checks.OutputSchema(value=schema):
            problem = mismatch(value_of(output), schema)
            return f"the output does not match the schema {problem}" if problem else None
    return None


def _of_conduct(check: Check, result: Result) -> str | None:  # noqa: PLR0911 - a line for each check
    match check:
        case checks.MustCall():
            return _not_called(check, result.calls)
        case checks.MustNotCall():
            return _called(check, result.calls)
        case checks.MaxCalls(value=most):
            return f"{len(result.calls)} calls, at most {most}" if len(result.calls) > most else None
        case checks.MaxDuration(seconds=longest):
            return _above("took", result.seconds, longest, " s")
        case checks.MaxCost(value=dearest):
            return _above("cost", None if result.cost is None else float(result.cost), dearest, "")
        case checks.EndsAs():
            return _other_end(check, result)
    return None


def value_of(output: Any) -> Any:
    """The output; a text that holds a JSON object or list is that."""
    if isinstance(output, str) and output.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(output)
        except (ValueError, RecursionError):
            return output
    return output


def covers(found: Any, wanted: Any) -> bool:
    """Whether an object has all that is wanted, with the same values; anything else is the same as what is wanted."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(name in found and covers(found[name], wanted[name]) for name in wanted)
    return same(found, wanted)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal. True is not 1, but 40 is 40.0."""
    match one, other:
        case (dict(), dict()):
            return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
        case (list(), list()):
            return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
        case _:
            return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _unequal(output: Any, value: Any) -> str | None:
    if same(output, value) or same(value_of(output), value_of(value)):
        return None
    return f"the output is {shown(output)}, not {shown(value)}"


def _unlike(output: Any, value: Any) -> str | None:
    found, wanted = value_of(output), value_of(value)
    if covers(found, wanted):
        return None
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return _unequal(output, value)
    name = next(name for name in wanted if name not in found or not covers(found[name], wanted[name]))
    return f"{name} is {shown(found[name]) if name in found else 'missing'}, not {shown(wanted[name])}"


def _missing_text(check: checks.Contains, output: Any) -> str | None:
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    found = check.value in text if check.case_sensitive else check.value.casefold() in text.casefold()
    return None if found else f"the output does not contain {shown(check.value)}"


def _not_called(check: checks.MustCall, calls: Iterable[Call]) -> str | None:
    tool = f"{check.connector}/{check.tool}"
    ours = [call for call in calls if (call.connector, call.name) == (check.connector, check.tool)]
    fitting = [call for call in ours if covers(call.arguments or {}, check.arguments)]
    made = [call for call in fitting if call.state not in _FAILED]
    if not ours:
        return f"{tool} was not called"
    if not fitting:
        return f"{tool} was called with {shown(ours[0].arguments)}, not with {shown(check.arguments)}"
    if not made:
        return f"{tool} was called, but the call is {fitting[0].state}"
    if check.times is not None and len(made) != check.times:
        return f"{tool} was called {len(made)} times, not {check.times}"
    return None


def _called(check: checks.MustNotCall, calls: Iterable[Call]) -> str | None:
    for call in calls:
        is_meant = call.connector == check.connector and check.tool in {"*", call.name}
        if is_meant and covers(call.arguments or {}, check.arguments):
            return f"{call.connector}/{call.name} was called with {shown(call.arguments)}, which it must not"
    return None


def _above(verb: str, found: float | None, most: float, unit: str) -> str | None:
    if found is None:
        return f"it is not known what it {verb}"
    return f"it {verb} {found:g}{unit}, at most {most:g}{unit}" if found > most else None


def _other_end(check: checks.EndsAs, result: Result) -> str | None:
    if result.phase == check.phase and check.reason in {None, result.reason}:
        return None
    wanted = f"{check.phase} ({check.reason})" if check.reason else check.phase
    return f"the task ended as {ended(result)}, not as {wanted}"


def ended(result: Result) -> str:
    """How a task ended, in words."""
    return f"{result.phase} ({result.reason})" if result.reason else result.phase or "nothing"


def shown(value: Any) -> str:
    """A value in a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
