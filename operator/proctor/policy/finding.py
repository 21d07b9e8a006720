"""A finding: one rule of one policy that something does not follow. There are as many as there are faults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proctor.api.policy import Mode, Severity
from proctor.policy.effective import Rule

STRICTNESS: Final = (Mode.AUDIT, Mode.WARN, Mode.ENFORCE)

_SEVERITY: Final = {
    "require": Severity.MEDIUM,
    "limits": Severity.MEDIUM,
    "rollout": Severity.MEDIUM,
    "budgets": Severity.MEDIUM,
    "tools/trifecta": Severity.CRITICAL,
    "data/blockSecrets": Severity.CRITICAL,
}


@dataclass(frozen=True)
class Finding:
    """What is wrong, by which rule, where, and what follows."""

    policy: str
    """The policy that demands it, such as `ClusterPolicy/baseline`."""
    rule: str
    """As an exception would name it, such as `require/Evals`."""
    message: str
    """What is wrong and what to do."""
    mode: Mode
    severity: Severity
    path: str = ""
    """The field of the Agent that is at fault."""
    excepted_by: str | None = None
    """The exception that allows it for a time."""

    @property
    def order(self) -> tuple[str, str, str, str]:
        """By policy, rule, path and message: the same findings are always in the same order."""
        return self.policy, self.rule, self.path, self.message

    @property
    def is_violation(self) -> bool:
        """Whether nobody has allowed it."""
        return self.excepted_by is None

    @property
    def blocks(self) -> bool:
        """Whether it is more than said."""
        return self.is_violation and self.mode is Mode.ENFORCE


class Compliance(StrEnum):
    """How an agent stands. Excepted: it breaks only rules from which somebody has freed it for a time."""

    COMPLIANT = "Compliant"
    VIOLATING = "Violating"
    EXCEPTED = "Excepted"
    UNKNOWN = "Unknown"


def found(rule: Rule[Any], detail: str, message: str, path: str = "", severity: Severity | None = None) -> Finding:
    """The finding that the detail of the rule, such as `Evals` of `require`, is not followed."""
    name = f"{rule.name}/{detail}" if detail else rule.name
    said = severity or _SEVERITY.get(name) or _SEVERITY.get(rule.part) or Severity.HIGH
    return Finding(rule.source.text, name, message, rule.mode, said, path, rule.exempted(name))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """All of them, each once, in their order."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda each: each.order))


def compliance(findings: Sequence[Finding], *, is_whole: bool = True) -> Compliance:
    """How an agent with these findings stands. `is_whole` is False if something could not be looked at."""
    if any(each.is_violation for each in findings):
        return Compliance.VIOLATING
    if not is_whole:
        return Compliance.UNKNOWN
    return Compliance.EXCEPTED if findings else Compliance.COMPLIANT


def strictest(modes: Iterable[Mode]) -> Mode | None:
    """The mode that holds where several policies say the same; None of none."""
    return max(modes, key=STRICTNESS.index, default=None)
