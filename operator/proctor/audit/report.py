"""What the record says of one agent, as claims that each name the record that they rest on.

A claim is a sentence of facts out of one record. What is only counted names the last record of its kind, and the count
is checked by verifying the whole record. Nothing here judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proctor.audit.records import EventType, Record

SECTIONS: Final = ("Declaration", "Versions", "Oversight", "Incidents", "Objectives", "Use")
_TROUBLE: Final = {"Failed", "Indeterminate"}
_OBJECTIVES: Final = {"SLOCompliant", "PolicyCompliant", "BudgetAvailable"}


@dataclass(frozen=True)
class Claim:
    """A statement, and the record that shows it."""

    section: str
    text: str
    at: datetime
    log: str
    seq: int


def claims(records: Iterable[Record], namespace: str, name: str) -> tuple[Claim, ...]:
    """All that the record says of the agent, by section, each in the order of time."""
    mine = [each for each in records if _is_of(each, namespace, name)]
    found = [claim for each in mine if (claim := _single(each)) is not None]
    found += _counted(mine)
    return tuple(sorted(found, key=lambda each: (SECTIONS.index(each.section), each.at, each.log, each.seq)))


def _is_of(record: Record, namespace: str, name: str) -> bool:
    agent = record.fields.get("agent") or {}
    return (agent.get("namespace"), agent.get("name")) == (namespace, name) and agent.get("kind", "Agent") == "Agent"


def _single(record: Record) -> Claim | None:
    """The claim of a record that stands for itself."""
    tell = _TELLERS.get(record.type)
    told = tell(record.fields) if tell else None
    return None if told is None else _claim(record, *told)


def _claim(record: Record, section: str, text: str) -> Claim:
    return Claim(section, text, record.at, record.place.log, record.place.seq)


def _declared(fields: Mapping[str, Any]) -> tuple[str, str]:
    change = fields.get("change") or {}
    keys = ("owner", "risk_tier", "purpose", "generation", "before", "after", "after_sha256", "spec_sha256")
    return "Declaration", f"declared: {_listed(change, keys)}"


def _promoted(fields: Mapping[str, Any]) -> tuple[str, str]:
    return (
        "Versions",
        f"promoted: {_listed(fields.get('rollout') or {}, ('revision', 'reason', 'metric', 'e', 'exposed'))}",
    )


def _withdrawn(fields: Mapping[str, Any]) -> tuple[str, str]:
    rollout = fields.get("rollout") or {}
    return "Incidents", f"withdrawn: {_listed(rollout, ('type', 'revision', 'reason', 'metric', 'e', 'exposed'))}"


def _asked(fields: Mapping[str, Any]) -> tuple[str, str]:
    return "Oversight", f"people were asked: {_listed(fields.get('approval') or {}, ('approval', 'digest'))}"


def _answered(fields: Mapping[str, Any]) -> tuple[str, str]:
    return (
        "Oversight",
        f"people decided: {_listed(fields.get('approval') or {}, ('approval', 'decision', 'decidedBy'))}",
    )


def _stopped(fields: Mapping[str, Any]) -> tuple[str, str]:
    return "Oversight", f"stopped by a person: {_listed(fields.get('state') or {}, ('generation',))}"


def _turned(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    state = fields.get("state") or {}
    if state.get("type") not in _OBJECTIVES:
        return None
    return "Objectives", _listed(state, ("type", "status", "reason", "lastTransitionTime"))


def _ended(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    result = fields.get("result") or {}
    if result.get("phase") not in _TROUBLE:
        return None
    task = (fields.get("run") or {}).get("id")
    return "Incidents", f"task {task} ended: {_listed(result, ('phase', 'reason'))}"


_TELLERS: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[str, str] | None]]] = {
    EventType.CONFIG_CHANGED: _declared,
    EventType.ROLLOUT_PROMOTE: _promoted,
    EventType.ROLLOUT_ROLLBACK: _withdrawn,
    EventType.APPROVAL_REQUESTED: _asked,
    EventType.APPROVAL_DECIDED: _answered,
    EventType.SUSPEND: _stopped,
    EventType.STATE_CHANGED: _turned,
    EventType.RUN_END: _ended,
}


def _counted(mine: Sequence[Record]) -> list[Claim]:
    """What is only counted: tasks by their end, calls, denials by their reason."""
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], Record] = {}
    for each in mine:
        key = _kind(each)
        if key is not None:
            counts[key] += 1
            last[key] = each
    return [_claim(last[key], key[0], f"{count} {key[1]}") for key, count in counts.items()]


def _kind(record: Record) -> tuple[str, str] | None:
    match record.type:
        case EventType.RUN_END:
            return "Use", f"tasks ended {(record.fields.get('result') or {}).get('phase')}"
        case EventType.TOOL_REQUEST:
            tool = record.fields.get("tool") or {}
            return "Use", f"calls of {tool.get('server')}/{tool.get('name')} ({tool.get('effect')})"
        case EventType.POLICY_DECISION:
            decision = record.fields.get("decision") or {}
            asked = decision.get("outcome") == "ask"
            return "Oversight", f"calls {'put before people' if asked else 'denied'}: {decision.get('reason')}"
        case _:
            return None


def _listed(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in keys if values.get(key) is not None)
