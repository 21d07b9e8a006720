"""Where does a value come from? Found again in what was said, and in the parts of answers that are vouched for.

A value counts as coming from a text when it stands there as whole words. That says nothing of who chose it, only that
no stranger had to invent it: what is found nowhere else came from a stranger, or from the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from proctor.api.connector import Effect, RecordCondition, Tool, TrustedPart
from proctor.api.permissions import Origin, ToolRules
from proctor.policy.effective import Effective
from proctor.policy.facts import Answered, TaskFacts, leaves

_SAID: Final = (Origin.USER, Origin.OPERATOR)
_NAMED: Final = (Origin.USER, Origin.OPERATOR, Origin.TRUSTED_TOOL)
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH: Final = "(?P<month>" + "|".join(f"{each[:3]}(?:{each[3:]})?" for each in _MONTHS) + r")\b"
_DAY: Final = r"(?<!\d)(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?:\s+of)?"
_YEAR: Final = r"(?:,?\s+(?P<year>\d{4})\b)?"
_WRITTEN: Final = (
    re.compile(rf"(?P<month_first>){_MONTH}\s+{_DAY}(?!\d){_YEAR}"),
    re.compile(rf"{_DAY}\s+{_MONTH}\.?{_YEAR}"),
    re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)"),
)
_ISO: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[t ]\d{2}:\d{2}(?::\d{2})?(?:z|[+-]\d{2}:\d{2})?)?")


def origin_of(value: str, facts: TaskFacts, allowed: Sequence[Origin]) -> Origin | None:
    """Where the value is found among the allowed origins; None if it is in none of them."""
    wanted = _plain(value)
    return next((each for each in allowed if any(_stands_in(text, wanted) for text in _texts(each, facts))), None)


def _texts(origin: Origin, facts: TaskFacts) -> tuple[str, ...]:
    match origin:
        case Origin.USER:
            return (facts.user,)
        case Origin.OPERATOR:
            return (facts.operator,)
        case Origin.TRUSTED_TOOL:
            return facts.trusted
        case Origin.NAMED_SOURCE:
            return facts.named


def answered(
    connector: str, tool: Tool, arguments: Mapping[str, Any], result: Any, facts: TaskFacts, *, text: str
) -> Answered:
    """What the agent gets from the tool, and how far it may be believed. `result` is its answer as data."""
    if tool.trusted:
        return Answered(connector, tool.name, trusted=True, data=tool.data, text=text)
    return Answered(
        connector,
        tool.name,
        trusted=False,
        data=tool.data,
        text=text,
        vouched=vouched(tool, result, facts),
        named=tool.effect is Effect.READ and is_named(arguments, facts),
    )


def asks_for_named_sources(effective: Effective) -> bool:
    """Whether any rule lets values come from where the caller said to look."""
    return any(
        Origin.NAMED_SOURCE in sink.origins for rule in effective.of("tools", ToolRules) for sink in rule.content.sinks
    )


def is_named(arguments: Mapping[str, Any], facts: TaskFacts) -> bool:
    """Whether who may be trusted chose what this call asks for: every value in it is known, and there is one."""
    values = tuple(leaves(arguments))
    return bool(values) and all(origin_of(each, facts, _NAMED) is not None for each in values)


def vouched(tool: Tool, result: Any, facts: TaskFacts) -> str:
    """What of the answer nobody outside can have written, by what the Connector declares of the tool; a line each."""
    found = dict.fromkeys(text for part in tool.trusted_parts for text in _part(part, result, facts))
    return "\n".join(found)


def _part(part: TrustedPart, result: Any, facts: TaskFacts) -> Iterator[str]:
    *way, last = _steps(part.path)
    for record in _at(result, way):
        if isinstance(record, Mapping) and last in record and _meant(part.when, record, facts):
            yield from leaves(record[last])


def _steps(path: str) -> list[str]:
    return [each for each in path.replace("[]", ".[]").split(".") if each]


def _at(value: Any, way: Iterable[str]) -> list[Any]:
    found = [value]
    for step in way:
        if step == "[]":
            found = [item for each in found if isinstance(each, list) for item in each]
        else:
            found = [each[step] for each in found if isinstance(each, Mapping) and step in each]
    return found


def _meant(condition: RecordCondition | None, record: Mapping[str, Any], facts: TaskFacts) -> bool:
    if condition is None:
        return True
    values = tuple(leaves(record.get(condition.field)))
    if condition.values:
        return any(each in condition.values for each in values)
    return any(each.strip() and origin_of(each, facts, _SAID) is not None for each in values)


def value_of(result: Mapping[str, Any]) -> Any:
    """What a tool says, as data: its structured content, or the JSON in its text; None if it is neither."""
    structured = result.get("structuredContent")
    if isinstance(structured, Mapping):
        # How servers wrap what is not an object.
        return structured["result"] if structured.keys() == {"result"} else structured
    content = result.get("content")
    texts = [each.get("text") for each in content if isinstance(each, Mapping)] if isinstance(content, list) else []
    try:
        items = [json.loads(each) for each in texts if isinstance(each, str)]
    except ValueError:
        return None
    return items[0] if len(items) == 1 else items or None


def _stands_in(text: str, wanted: str) -> bool:
    if not wanted:
        return True
    found = _plain(text)
    return _holds(found, wanted) or _holds_day(found, wanted)


def _holds(found: str, wanted: str) -> bool:
    """Whether the text holds the value as whole words: 5 is not in 50, nor a short name in a longer one."""
    start = found.find(wanted)
    while start >= 0:
        before, after = found[max(0, start - 2) : start], found[start + len(wanted) : start + len(wanted) + 2]
        if not _goes_on(before[::-1], wanted[0]) and not _goes_on(after, wanted[-1]):
            return True
        start = found.find(wanted, start + 1)
    return False


def _goes_on(outside: str, inside: str) -> bool:
    """Whether a word goes on across its edge; `outside` is read away from it. 13 is not in 2024-05-13, nor in 1.13."""
    if not outside or not inside.isalnum():
        return False
    return outside[0].isalnum() or (inside.isdigit() and outside[0] in "-.,:/" and outside[1:].isdigit())


def _holds_day(found: str, wanted: str) -> bool:
    """Whether the value is a day, perhaps with a time of it, and the text names that day however it writes it."""
    value = _ISO.fullmatch(wanted)
    if value is None:
        return False
    year, month, day = (int(each) for each in value.groups())
    return any((m, d) == (month, day) and y in {None, year} for y, m, d in _days(found))


def _days(text: str) -> Iterator[tuple[int | None, int, int]]:
    for form in _WRITTEN:
        for match in form.finditer(text):
            month = match["month"]
            number = int(month) if month.isdigit() else 1 + [each[:3] for each in _MONTHS].index(month[:3])
            yield int(match["year"]) if match["year"] else None, number, int(match["day"])


def _plain(text: str) -> str:
    """Without what people write differently and mean the same: case, runs of white space, trailing zeros."""
    folded = re.sub(r"\s+", " ", text.casefold()).strip()
    return re.sub(r"(?<![\d.])(\d+)\.0+(?!\d)", r"\1", folded)
