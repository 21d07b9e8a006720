"""What holds for one agent: the rules of all policies that mean it, each with where it comes from.

Nothing is lost in merging, so merging is a union: the same rules, whatever the order and however often they are
merged. What several rules of one kind mean together is read from them: an allow-list is one more sieve, a deny one
more bar, a limit one more ceiling. So a further policy can forbid more and can never allow more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, cast

from proctor.api import digest
from proctor.api.agent import Agent
from proctor.api.meta import Spec
from proctor.api.policy import Mode, Policy, PolicySpec, StaleReads
from proctor.policy.selection import AnyPolicy, Marks, is_meant, marks_of, selects

LONGEST_EXCEPTION: Final = timedelta(days=90)
_WHOLE: Final = ("require", "images", "egress", "models", "tools", "data", "limits", "sandbox", "rollout")
_NAMED: Final = ("budgets", "expressions")
_AT_RUN_TIME: Final = frozenset({"models", "tools", "data", "expressions"})

Content = TypeVar("Content", bound=Spec)


@dataclass(frozen=True, order=True)
class Source:
    """A policy, as findings name it."""

    kind: str
    namespace: str
    name: str
    generation: int = 0

    @property
    def text(self) -> str:
        """Kind, perhaps namespace, and name."""
        return "/".join(each for each in (self.kind, self.namespace, self.name) if each)


@dataclass(frozen=True, order=True)
class Exempt:
    """Somebody's permission for this agent not to follow some of a policy's rules, valid now."""

    name: str
    rules: tuple[str, ...]
    expires_at: datetime

    def covers(self, rule: str) -> bool:
        """Whether it frees from the rule: `tools` frees from `tools/deny` too."""
        return any(rule == each or rule.startswith(f"{each}/") for each in self.rules)


@dataclass(frozen=True)
class Rule(Generic[Content]):
    """One part of one policy as it holds for the agent now. `name` is the part, or the part and an item of it."""

    source: Source
    name: str
    mode: Mode
    content: Content
    exempts: tuple[Exempt, ...] = ()
    stale_reads: StaleReads = StaleReads.DENY

    @property
    def part(self) -> str:
        """The part of the policy's spec."""
        return self.name.partition("/")[0]

    def exempted(self, rule: str) -> str | None:
        """The exception that frees the agent from this detail of the rule, if there is one."""
        return next((each.name for each in self.exempts if each.covers(rule)), None)

    def binds(self, detail: str = "") -> bool:
        """Whether what breaks this detail of the rule is stopped, rather than only told."""
        name = f"{self.name}/{detail}" if detail else self.name
        return self.mode is Mode.ENFORCE and self.exempted(name) is None

    def dump(self) -> dict[str, Any]:
        """The rule as JSON, without where it comes from."""
        return {
            "name": self.name,
            "mode": self.mode,
            "content": self.content.model_dump(mode="json", by_alias=True, exclude_none=True),
            "except": sorted({name for each in self.exempts for name in each.rules}),
            "staleReads": self.stale_reads,
        }

    @property
    def identity(self) -> tuple[str, Source, str]:
        """Two rules with the same identity are the same rule."""
        until = [each.expires_at.isoformat() for each in self.exempts]
        return self.name, self.source, digest.sha256([self.dump(), until])


@dataclass(frozen=True)
class Effective:
    """All rules that hold for an agent, in one order, each once."""

    rules: tuple[Rule[Any], ...] = ()

    def __or__(self, other: Effective) -> Effective:
        """Both together: commutative, associative, idempotent."""
        return of(self.rules + other.rules)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def of(self, part: str, kind: type[Content]) -> Iterator[Rule[Content]]:
        """The rules of one part of the spec. `kind` is the part's type."""
        found = self._by_part.get(part, ())
        return (cast("Rule[Content]", each) for each in found if isinstance(each.content, kind))

    @cached_property
    def _by_part(self) -> Mapping[str, tuple[Rule[Any], ...]]:
        """Sorted out once: they are asked for with every call."""
        parts = dict.fromkeys(each.part for each in self.rules)
        return {part: tuple(each for each in self.rules if each.part == part) for part in parts}

    @property
    def sources(self) -> tuple[Source, ...]:
        """The policies, each once."""
        return tuple(sorted({each.source for each in self.rules}))

    @property
    def hash(self) -> str:
        """The digest of all rules, whatever their policies are called."""
        return _hash(self.rules)

    @property
    def behaviour(self) -> str | None:
        """The digest of what is held at run time, which is part of a revision; None if nothing is.

        A policy that only watches, or that bounds upgrades, changes nothing in how an agent behaves.
        """
        held = [each for each in self.rules if each.part in _AT_RUN_TIME and each.mode is Mode.ENFORCE]
        return _hash(held) if held else None

    @property
    def reads_when_stale(self) -> bool:
        """Whether reading calls may go on while nobody knows if these rules are still the newest."""
        return all(each.stale_reads is StaleReads.ALLOW for each in self.rules)


def of(rules: Iterable[Rule[Any]]) -> Effective:
    """The rules, each once, in their order."""
    known = {each.identity: each for each in rules}
    return Effective(tuple(known[identity] for identity in sorted(known)))


def merge(
    policies: Iterable[AnyPolicy], agent: Agent, now: datetime, namespace_labels: Mapping[str, str] | None = None
) -> Effective:
    """What the policies together demand of the agent now. The order of the policies does not matter."""
    marks = marks_of(agent, namespace_labels or {})
    meant = (each for each in policies if is_meant(each, marks))
    return of(rule for policy in meant for rule in _rules(policy, marks, now))


def mode_of(spec: PolicySpec, now: datetime) -> Mode:
    """The mode that holds now."""
    return Mode.ENFORCE if spec.enforce_from is not None and spec.enforce_from <= now else spec.mode


def source_of(policy: AnyPolicy) -> Source:
    """The policy, as findings name it."""
    metadata = policy.metadata
    namespace = metadata.namespace if isinstance(policy, Policy) else ""
    return Source(policy.kind, namespace, metadata.name, metadata.generation)


def turns_at(policy: AnyPolicy, now: datetime) -> datetime | None:
    """When the policy will say something else without having been changed: a mode that begins, an exception's end."""
    spec = policy.spec
    ends = [each.expires_at for each in spec.exceptions]
    times = [*ends, *(each - LONGEST_EXCEPTION for each in ends), *([spec.enforce_from] if spec.enforce_from else [])]
    return min((each for each in times if each > now), default=None)


def _rules(policy: AnyPolicy, marks: Marks, now: datetime) -> Iterator[Rule[Any]]:
    spec, source = policy.spec, source_of(policy)
    exempts = tuple(
        sorted(
            Exempt(each.name, tuple(sorted(each.rules)), each.expires_at)
            for each in spec.exceptions
            # One that lasts longer than anybody may allow is none.
            if now < each.expires_at <= now + LONGEST_EXCEPTION and selects(each.selector, marks)
        )
    )
    for name, content in _parts(spec):
        own = tuple(each for each in exempts if _concerns(each, name))
        yield Rule(source, name, mode_of(spec, now), content, own, spec.stale_reads)


def _parts(spec: PolicySpec) -> Iterator[tuple[str, Spec]]:
    for part in _WHOLE:
        content = getattr(spec, part)
        if content is not None:
            yield part, content
    for part in _NAMED:
        for item in getattr(spec, part):
            yield f"{part}/{item.name}", item


def _concerns(exempt: Exempt, name: str) -> bool:
    return exempt.covers(name) or any(each.startswith(f"{name}/") for each in exempt.rules)


def _hash(rules: Iterable[Rule[Any]]) -> str:
    # A digest of what is demanded, not of by whom: to rename a policy changes nothing for an agent.
    return digest.sha256(sorted({digest.sha256(each.dump()) for each in rules}))
