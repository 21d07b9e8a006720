"""Which rule answers a request, and how often each has answered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proctor_demo.model.matching import Outcome, drawn, match
from proctor_demo.model.request import Seen
from proctor_demo.model.rulebook import Rulebook
from proctor_demo.model.rules import Rule, RuleSet

REMEMBERED = 100
"""So many of the last requests can be looked at."""
_NEAREST = 3


class NoRuleMatched(Exception):  # noqa: N818 - it names what happened
    """No rule holds for a request; the message says what was seen and which rules nearly held."""


@dataclass(frozen=True)
class Chosen:
    """The rule that answers, with what it captured."""

    rules: RuleSet
    rule: Rule
    captures: Mapping[str, str]


class Script:
    """The rules in force and what happened under them. Counts start anew when the rules change."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._generation = rulebook.generation
        self._answered: Counter[str] = Counter()
        self._occurrences: Counter[str] = Counter()
        self._requests = self._unmatched = 0
        self.last_requests: deque[Mapping[str, Any]] = deque(maxlen=REMEMBERED)

    def rules(self) -> RuleSet:
        """The rules in force now."""
        rules = self._rulebook.current()
        if self._rulebook.generation != self._generation:
            self._generation = self._rulebook.generation
            self.reset()
        return rules

    def reset(self) -> None:
        """Forget what happened."""
        self._answered.clear()
        self._occurrences.clear()
        self._requests = self._unmatched = 0
        self.last_requests.clear()

    def choose(self, seen: Seen) -> Chosen:
        """The first rule that holds, which thereby has answered once more.

        Raises:
            NoRuleMatched: none does.
        """
        rules = self.rules()
        self._requests += 1
        self.last_requests.append(seen.body)
        occurrence = self._occurrences[seen.digest]
        self._occurrences[seen.digest] += 1
        outcomes: list[tuple[Rule, Outcome]] = []
        for rule in rules.rules:
            outcome = match(rule.when, seen)
            self._judge_share(rules, rule, seen, occurrence, outcome)
            if outcome.holds:
                self._answered[rule.name] += 1
                return Chosen(rules, rule, outcome.captures)
            outcomes.append((rule, outcome))
        self._unmatched += 1
        raise NoRuleMatched(_report(seen, outcomes))

    def stats(self) -> dict[str, Any]:
        """How often each rule answered, and whether the file on disk is in force."""
        rules = self.rules()
        return {
            "requests": self._requests,
            "unmatched": self._unmatched,
            "rules": {rule.name: self._answered[rule.name] for rule in rules.rules},
            "rulesError": self._rulebook.error,
        }

    def _judge_share(self, rules: RuleSet, rule: Rule, seen: Seen, occurrence: int, outcome: Outcome) -> None:
        if rule.first is not None:
            outcome.require(self._answered[rule.name] < rule.first, f"only the first {rule.first}")
        if rule.drawn is not None:
            hit = drawn(rule.drawn, rules.seed, rule.name, seen, occurrence)
            outcome.require(hit, f"drawn with probability {rule.drawn.share}")


def _report(seen: Seen, outcomes: list[tuple[Rule, Outcome]]) -> str:
    nearest = sorted(outcomes, key=lambda pair: len(pair[1].unmet) / max(pair[1].asked, 1))[:_NEAREST]
    results = {tool: len(found) for tool, found in seen.results.items()}
    lines = [
        "no rule holds for this request.",
        f"Seen: model {seen.model!r}; user {_short(seen.last_user)}; tools {', '.join(seen.tools) or 'none'}; "
        f"tool results {results or 'none'}; turn {seen.turn}; last role {seen.messages[-1].get('role')}.",
        "Nearest rules:",
        *(f"- {rule.name}: {len(o.unmet)} of {o.asked} conditions unmet: {'; '.join(o.unmet)}" for rule, o in nearest),
    ]
    return "\n".join(lines)


def _short(text: str, limit: int = 200) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "…")
