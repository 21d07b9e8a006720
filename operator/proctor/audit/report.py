"""What the record says of one agent, as claims that each name the record that they rest on.

A claim is a sentence of facts out of one record. What is only counted names the last record of its kind, and the count
is checked by verifying the whole record. Nothing here judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proctor.audit.records import EventType, Record

SECTIONS: Final = ("Declaration", "Versions", "Oversight", "Exceptions", "Incidents", "Objectives", "Use")
_TROUBLE: Final = {"Failed", "Indeterminate"}
_OBJECTIVES: Final = {"SLOCompliant", "PolicyCompliant", "BudgetAvailable"}
_POLICIES: Final = {"Policy", "ClusterPolicy"}
_SHORT: Final = len("sha256:") + 12

Told = tuple[str, str]
"""A section, and what is said in it."""


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
    every = sorted(records, key=lambda each: (each.at, each.place.log, each.place.seq))
    mine = [each for each in every if _is_of(each, namespace, name)]
    if not mine:
        return ()
    found = [claim for each in mine for claim in _single(each)]
    found += _declared(mine)
    found += _excepted(every, namespace, name)
    found += _counted(mine)
    return tuple(sorted(found, key=lambda each: (SECTIONS.index(each.section), each.at, each.log, each.seq)))


def _is_of(record: Record, namespace: str, name: str) -> bool:
    agent = record.fields.get("agent") or {}
    return (agent.get("namespace"), agent.get("name")) == (namespace, name) and agent.get("kind", "Agent") == "Agent"


def _single(record: Record) -> Iterator[Claim]:
    """The claim of a record that stands for itself."""
    tell = _TELLERS.get(record.type)
    told = tell(record.fields) if tell else None
    if told is not None:
        yield _claim(record, *told)


def _claim(record: Record, section: str, text: str) -> Claim:
    return Claim(section, text, record.at, record.place.log, record.place.seq)


def _declared(mine: Sequence[Record]) -> Iterator[Claim]:
    """Who answers, for what, and which objectives: at first, and whenever that changed; and each revision once."""
    said: set[Told] = set()
    last: dict[str, str] = {}
    for record in mine:
        if record.type != EventType.CONFIG_CHANGED:
            continue
        for section, kind, text in _declaration(record.fields.get("change") or {}):
            if last.get(kind) != text and (section, text) not in said:
                yield _claim(record, section, text)
            last[kind] = text
            if section == "Versions":
                said.add((section, text))


def _declaration(change: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Section, what it is about, and the sentence."""
    facts = {
        "owner": ("Declaration", _paired("owner", change.get("owner"), change.get("contact"))),
        "purpose": ("Declaration", _paired("purpose", change.get("purpose"))),
        "risk": ("Declaration", _paired("risk tier", change.get("risk_tier"))),
        "slos": ("Objectives", "; ".join(_objective(each) for each in change.get("slos") or ())),
        "version": ("Versions", _version(change)),
    }
    for kind, (section, text) in facts.items():
        if text:
            yield section, kind, text


def _paired(name: str, *values: Any) -> str:
    said = ", ".join(str(each) for each in values if each)
    return f"{name}: {said}" if said else ""


def _objective(slo: Mapping[str, Any]) -> str:
    threshold = f" within {slo['threshold']}" if slo.get("threshold") else ""
    return f"objective {slo.get('name')}: {slo.get('type')}{threshold}, {slo.get('target')}% in {slo.get('window')}"


def _version(change: Mapping[str, Any]) -> str:
    after = change.get("after")
    whole = f", bundle {_digest(change['after_sha256'])}" if change.get("after_sha256") else ""
    return f"revision {after} is declared{whole}" if after else ""


def _excepted(every: Sequence[Record], namespace: str, name: str) -> Iterator[Claim]:
    """Whom a policy has let off what: exceptions that name the agent, or that mean agents by their labels."""
    said: set[str] = set()
    for record in every:
        about = record.fields.get("agent") or {}
        if record.type != EventType.CONFIG_CHANGED or about.get("kind") not in _POLICIES:
            continue
        if about.get("namespace") not in {None, namespace}:
            continue
        for each in (record.fields.get("change") or {}).get("exceptions") or ():
            if each.get("agents") and name not in each["agents"]:
                continue
            text = _exception(f"{about['kind']} {about.get('name')}", each)
            if text not in said:
                said.add(text)
                yield _claim(record, "Exceptions", text)


def _exception(policy: str, each: Mapping[str, Any]) -> str:
    whom = "" if each.get("agents") else " (agents by their labels)"
    rules = ", ".join(each.get("rules") or ())
    return (
        f"{policy} {each.get('name')}{whom}: free of {rules} until {each.get('expiresAt')}, "
        f"allowed by {each.get('approvedBy')}: {each.get('reason')}"
    )


def _promoted(fields: Mapping[str, Any]) -> Told:
    rollout = fields.get("rollout") or {}
    return "Versions", f"revision {rollout.get('revision')} was promoted{_because(rollout)}"


def _withdrawn(fields: Mapping[str, Any]) -> Told:
    rollout = fields.get("rollout") or {}
    return "Incidents", f"revision {rollout.get('revision')} was withdrawn ({rollout.get('type')}){_because(rollout)}"


def _because(rollout: Mapping[str, Any]) -> str:
    said = _listed(rollout, ("reason", "metric", "e", "exposed"))
    return f": {said}" if said else ""


def _asked(fields: Mapping[str, Any]) -> Told:
    asked = fields.get("approval") or {}
    about = f" about {asked['about']}" if asked.get("about") else ""
    who = f"; asked: {', '.join(asked['asked'])}, {asked.get('quorum', 1)} must agree" if asked.get("asked") else ""
    return "Oversight", f"{asked.get('approval')}: people were asked{about} ({_digest(asked.get('digest'))}){who}"


def _answered(fields: Mapping[str, Any]) -> Told:
    said = fields.get("approval") or {}
    if "approval" not in said:
        return "Oversight", f"a person settled an effect: {_listed(said, ('call', 'action', 'by'))}"
    who = ", ".join(str(each) for each in said.get("decidedBy") or ()) or "nobody"
    why = f", for {said['lasting']}: {said['why']}" if said.get("why") and said.get("lasting") else ""
    return "Oversight", f"{said['approval']}: {said.get('decision') or said.get('phase')} by {who}{why}"


def _stopped(fields: Mapping[str, Any]) -> Told:
    return "Oversight", f"stopped by a person: {_listed(fields.get('state') or {}, ('generation',))}"


def _turned(fields: Mapping[str, Any]) -> Told | None:
    state = fields.get("state") or {}
    if state.get("type") not in _OBJECTIVES:
        return None
    return "Objectives", f"{state['type']} is {state.get('status')} ({state.get('reason')})"


def _ended(fields: Mapping[str, Any]) -> Told | None:
    result = fields.get("result") or {}
    if result.get("phase") not in _TROUBLE:
        return None
    task = (fields.get("run") or {}).get("id")
    return "Incidents", f"task {task} ended {result['phase']}: {result.get('reason')}"


def _fell_back(fields: Mapping[str, Any]) -> Told:
    hop = fields.get("fallback") or {}
    task = (fields.get("run") or {}).get("id")
    return "Incidents", f"task {task} went to {hop.get('to')} after {hop.get('cause')}"


_TELLERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Told | None]]] = {
    EventType.ROLLOUT_PROMOTE: _promoted,
    EventType.ROLLOUT_ROLLBACK: _withdrawn,
    EventType.APPROVAL_REQUESTED: _asked,
    EventType.APPROVAL_DECIDED: _answered,
    EventType.SUSPEND: _stopped,
    EventType.STATE_CHANGED: _turned,
    EventType.RUN_END: _ended,
    EventType.FALLBACK: _fell_back,
}


def _counted(mine: Sequence[Record]) -> list[Claim]:
    """What is only counted: tasks by their end, calls, denials by their rule."""
    counts: Counter[Told] = Counter()
    last: dict[Told, Record] = {}
    for each in mine:
        key = _kind(each)
        if key is not None:
            counts[key] += 1
            last[key] = each
    return [_claim(last[key], key[0], f"{_often(count)}: {key[1]}") for key, count in counts.items()]


def _kind(record: Record) -> Told | None:
    match record.type:
        case EventType.RUN_END:
            return "Use", f"task ended {(record.fields.get('result') or {}).get('phase')}"
        case EventType.TOOL_REQUEST:
            tool = record.fields.get("tool") or {}
            return "Use", f"{tool.get('server')}/{tool.get('name')} was called ({tool.get('effect')})"
        case EventType.POLICY_DECISION:
            return "Oversight", _stopped_call(record.fields)
        case _:
            return None


def _stopped_call(fields: Mapping[str, Any]) -> str:
    decision = fields.get("decision") or {}
    tool, model = fields.get("tool"), fields.get("model") or {}
    what = f"{tool.get('server')}/{tool.get('name')}" if tool else f"{model.get('connector')}/{model.get('requested')}"
    said = "was put before people" if decision.get("outcome") == "ask" else "was denied"
    rule = f" by {decision['rule']}" if decision.get("rule") else ""
    return f"{what} {said}: {decision.get('reason')}{rule}"


def _digest(text: Any) -> str:
    return str(text)[:_SHORT] if text else "-"


def _listed(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in keys if values.get(key) is not None)


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
