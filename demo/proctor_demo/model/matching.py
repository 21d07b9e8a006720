"""Whether a rule holds for a request, and which of its conditions do not."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proctor_demo.model.request import Seen, text_of
from proctor_demo.model.rules import Comparison, Range, ResultMatch, Share, TextMatch, ValueMatch, When
from proctor_demo.model.templates import Sources, Unfilled, at, fill, number


@dataclass
class Outcome:
    """How a rule's conditions fared: what was captured, what was missing, out of how many."""

    captures: dict[str, str] = field(default_factory=dict)
    unmet: list[str] = field(default_factory=list)
    asked: int = 0

    @property
    def holds(self) -> bool:
        """Whether no condition is unmet."""
        return not self.unmet

    def miss(self, reason: str) -> None:
        """Count a condition that cannot be met."""
        self.asked += 1
        self.unmet.append(reason)

    def require(self, met: bool, reason: str) -> None:
        """Count one condition; `reason` says what it asks for and what there was."""
        self.asked += 1
        if not met:
            self.unmet.append(reason)


def match(when: When, seen: Seen) -> Outcome:
    """Judge every condition of a rule, also after the first that fails: the report names them all."""
    outcome = Outcome()
    if when.model is not None:
        outcome.require(bool(re.fullmatch(when.model, seen.model)), f"model {when.model!r}, got {seen.model!r}")
    _match_text(when.system, (seen.system,), "system", outcome)
    _match_text(when.task, (seen.first_user,), "task", outcome)
    _match_text(when.user, (seen.last_user,), "user", outcome)
    _match_text(when.any_message, tuple(text_of(m) for m in seen.messages), "anyMessage", outcome)
    if when.last_role is not None:
        role = seen.messages[-1].get("role")
        outcome.require(role == when.last_role, f"lastRole {when.last_role}, got {role}")
    for tool in when.tools:
        outcome.require(seen.offered(tool) is not None, f"tool {tool} offered")
    for tool in when.no_tools:
        outcome.require(seen.offered(tool) is None, f"tool {tool} not offered")
    if when.turn is not None:
        outcome.require(_within(seen.turn, when.turn), f"turn {_shown(when.turn)}, got {seen.turn}")
    for result in when.results:
        _match_result(result, seen, outcome)
    for value in when.where:
        _match_value(value, seen, outcome)
    return outcome


def drawn(share: Share, seed: int, rule: str, seen: Seen, occurrence: int) -> bool:
    """Whether this request falls into the share: the same one always, for the same seed."""
    which = occurrence if share.per == "Occurrence" else 0
    digest = hashlib.sha256(f"{seed}/{rule}/{seen.digest}/{which}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share.share * 2**64


def _match_text(wanted: TextMatch | None, texts: tuple[str, ...], name: str, outcome: Outcome) -> None:
    if wanted is None:
        return
    if wanted.contains is not None:
        outcome.require(any(wanted.contains in text for text in texts), f"{name} contains {wanted.contains!r}")
    if wanted.lacks is not None:
        outcome.require(all(wanted.lacks not in text for text in texts), f"{name} lacks {wanted.lacks!r}")
    if wanted.regex is not None:
        found = next((hit for text in texts if (hit := re.search(wanted.regex, text))), None)
        outcome.require(found is not None, f"{name} matches {wanted.regex!r}")
        if found is not None:
            outcome.captures |= {key: value for key, value in found.groupdict().items() if value is not None}


def _match_result(wanted: ResultMatch, seen: Seen, outcome: Outcome) -> None:
    found = seen.results_of(wanted.tool)
    count = Range(atLeast=1) if wanted.count is None else wanted.count
    outcome.require(_within(len(found), count), f"{wanted.tool} answered {_shown(count)} times, got {len(found)}")
    if not found:
        return
    last = found[-1]
    text = last if isinstance(last, str) else json.dumps(last, ensure_ascii=False)
    _match_text(wanted.text, (text,), f"the result of {wanted.tool}", outcome)
    sources = Sources(outcome.captures, seen.last_result)
    for wanted_field in wanted.fields:
        place = f"{wanted.tool}:{wanted_field.at}"
        try:
            value = at(last, wanted_field.at)
        except Unfilled:
            outcome.require(wanted_field.exists is False, f"{place} is there")
            continue
        if wanted_field.exists is not None:
            outcome.require(wanted_field.exists, f"{place} is absent")
        _compare(value, wanted_field, place, sources, outcome)


def _match_value(wanted: ValueMatch, seen: Seen, outcome: Outcome) -> None:
    sources = Sources(outcome.captures, seen.last_result)
    try:
        value = fill(wanted.value, sources)
    except Unfilled as exc:
        outcome.miss(f"{wanted.value}: {exc}")
        return
    _compare(value, wanted, wanted.value, sources, outcome)


def _compare(value: Any, wanted: Comparison, place: str, sources: Sources, outcome: Outcome) -> None:
    for name, template in wanted.conditions().items():
        try:
            expected = fill(template, sources)
            met = _COMPARISONS[name](value, expected)
        except (Unfilled, TypeError) as exc:
            outcome.miss(f"{place} {name}: {exc}")
        else:
            outcome.require(met, f"{place} {name} {expected!r}, got {value!r}")


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, expected: value == expected,
    "differs": lambda value, expected: value != expected,
    "contains": lambda value, expected: expected in value,
    "regex": lambda value, expected: re.search(expected, str(value)) is not None,
    "at_least": lambda value, expected: number(value) >= number(expected),
    "at_most": lambda value, expected: number(value) <= number(expected),
    "above": lambda value, expected: number(value) > number(expected),
    "below": lambda value, expected: number(value) < number(expected),
}


def _within(value: int, wanted: int | Range) -> bool:
    if isinstance(wanted, int):
        return value == wanted
    return (
        (wanted.equals is None or value == wanted.equals)
        and (wanted.at_least is None or value >= wanted.at_least)
        and (wanted.at_most is None or value <= wanted.at_most)
    )


def _shown(wanted: int | Range) -> str:
    if isinstance(wanted, int):
        return str(wanted)
    return " ".join(f"{name} {value}" for name, value in wanted.model_dump(exclude_none=True).items())
