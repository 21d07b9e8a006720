"""What do several policies say together? The smallest maximum, the largest minimum, and whose word each of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from proctor.api.agent import Profile
from proctor.api.bounds import Budget, LimitBounds, RolloutBounds, SandboxBounds
from proctor.api.fields import format_duration
from proctor.api.permissions import DataRules, ModelPattern, ModelRules, ToolPattern, ToolRules
from proctor.api.policy import Require
from proctor.policy.effective import Effective, Rule

_PROFILES: Final = (Profile.STANDARD, Profile.HARDENED, Profile.ISOLATED)
_MAXIMA: Final[dict[Any, tuple[str, ...]]] = {
    LimitBounds: ("max_timeout", "max_steps", "max_cost", "max_tokens"),
    RolloutBounds: ("max_initial_weight", "max_weight_step", "max_alpha", "max_beta", "max_margin"),
}
_MINIMA: Final[dict[Any, tuple[str, ...]]] = {RolloutBounds: ("min_duration", "min_tasks")}


@dataclass(frozen=True)
class Bound:
    """One thing that policies bound, what they say together, and the policies that say just that."""

    rule: str
    value: str
    sources: tuple[str, ...]


def bounds(effective: Effective) -> tuple[Bound, ...]:
    """Everything that is bounded, by rule. An exception is not reckoned with: the rule that is excepted is shown."""
    found = (
        *_extremes(effective, _MAXIMA, min),
        *_extremes(effective, _MINIMA, max),
        *_sandbox(effective),
        *_sets(effective),
        *_allows(effective),
        *_budgets(effective),
    )
    return tuple(sorted(found, key=lambda each: each.rule))


def _extremes(
    effective: Effective, fields: dict[Any, tuple[str, ...]], extreme: Callable[[Iterable[Any]], Any]
) -> Iterator[Bound]:
    for kind, names in fields.items():
        part = "limits" if kind is LimitBounds else "rollout"
        rules = list(effective.of(part, kind))
        for name in names:
            said = [(value, rule) for rule in rules if (value := getattr(rule.content, name)) is not None]
            if said:
                chosen = extreme(value for value, _ in said)
                yield _bound(f"{part}/{_camel(name)}", _text(chosen), [rule for value, rule in said if value == chosen])


def _sandbox(effective: Effective) -> Iterator[Bound]:
    rules: list[Rule[Any]] = list(effective.of("sandbox", SandboxBounds))
    if rules:
        highest = max((each.content.minimum_profile for each in rules), key=_PROFILES.index)
        yield _bound(
            "sandbox/minimumProfile", highest, [each for each in rules if each.content.minimum_profile == highest]
        )
    measured = [each for each in rules if each.content.require_verified_isolation]
    if measured:
        yield _bound("sandbox/requireVerifiedIsolation", "true", measured)


def _sets(effective: Effective) -> Iterator[Bound]:
    yield from _union("require/fields", effective.of("require", Require), lambda each: each.fields)
    yield from _union("require/labels", effective.of("require", Require), lambda each: each.labels)
    yield from _union("require/slos", effective.of("require", Require), lambda each: each.slos)
    yield from _union("models/deny", effective.of("models", ModelRules), lambda each: map(_model, each.deny))
    yield from _union("tools/deny", effective.of("tools", ToolRules), lambda each: map(_tool, each.deny))
    yield from _union("data/redact", effective.of("data", DataRules), lambda each: each.redact)
    yield from _union("rollout/requireSteps", effective.of("rollout", RolloutBounds), lambda each: each.require_steps)
    keys = [each for each in effective.of("data", DataRules) if each.content.block_secrets]
    if keys:
        yield _bound("data/blockSecrets", "true", keys)


def _union(name: str, rules: Iterable[Rule[Any]], of: Callable[[Any], Iterable[str]]) -> Iterator[Bound]:
    said = [(rule, sorted(of(rule.content))) for rule in rules]
    values = sorted({each for _, values in said for each in values})
    if values:
        yield _bound(name, ", ".join(values), [rule for rule, values in said if values])


def _allows(effective: Effective) -> Iterator[Bound]:
    """An allow-list is a sieve: what each of them lets through is allowed."""
    models = [each for each in effective.of("models", ModelRules) if each.content.allow is not None]
    tools = [each for each in effective.of("tools", ToolRules) if each.content.allow is not None]
    if models:
        sieves = [" or ".join(sorted(map(_model, each.content.allow or ()))) for each in models]
        yield _bound("models/allow", " and ".join(sorted(f"({each})" for each in sieves)), models)
    if tools:
        sieves = [" or ".join(sorted(map(_tool, each.content.allow or ()))) for each in tools]
        yield _bound("tools/allow", " and ".join(sorted(f"({each})" for each in sieves)), tools)


def _budgets(effective: Effective) -> Iterator[Bound]:
    rules = list(effective.of("budgets", Budget))
    for per, scope in sorted({(each.content.per, each.content.scope) for each in rules}):
        same = [each for each in rules if (each.content.per, each.content.scope) == (per, scope)]
        for field in ("cost", "tokens", "tasks"):
            said = [(value, rule) for rule in same if (value := getattr(rule.content, field)) is not None]
            if said:
                least = min(value for value, _ in said)
                smallest = [rule for value, rule in said if value == least]
                yield _bound(f"budgets/{per}/{scope}/{field}", _text(least), smallest)


def _model(pattern: ModelPattern) -> str:
    labels = "".join(f" {key}={value}" for key, value in sorted(pattern.connector_labels.items()))
    return f"{pattern.connector}/{pattern.name}{labels}"


def _tool(pattern: ToolPattern) -> str:
    effects = f" effects {'|'.join(sorted(pattern.effects))}" if pattern.effects else ""
    data = f" data {'|'.join(sorted(pattern.data))}" if pattern.data else ""
    return f"{pattern.connector}/{pattern.tool}{effects}{data}"


def _bound(rule: str, value: str, rules: Iterable[Rule[Any]]) -> Bound:
    return Bound(rule, value[:1024], tuple(sorted({each.source.text for each in rules}))[:16])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.capitalize() for each in rest)


def _text(value: Any) -> str:
    return format_duration(value) if hasattr(value, "total_seconds") else str(value)
