"""The record on a terminal: records as lines, what a verification found, and what is anchored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proctor.audit.memory import Memory
from proctor.audit.verifier import Report
from proctor.cli.draw.parts import Column, table, text
from proctor.cli.wording import printable

_SHORT = 12


def records(found: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
    """A line for each record. Where they came from goes first when there is no room for all."""
    columns = (
        Column("TIME"),
        Column("TYPE"),
        Column("AGENT", 4),
        Column("WHAT", may_shrink=True),
        Column("DECISION"),
        Column("BY", 2),
        Column("LOG", 3),
        Column("SEQ", is_number=True),
    )
    return table(columns, [_line(each) for each in found], width)


def _line(record: Mapping[str, Any]) -> list[Text]:
    agent = record.get("agent") or {}
    name = "/".join(str(agent[key]) for key in ("namespace", "name") if key in agent)
    who = (record.get("principal") or {}).get("sub") or record.get("source", "")
    return [
        text(_time(record["ts"]), "quiet"),
        text(record["type"]),
        text(name),
        text(_what(record), "name"),
        text(_decision(record)),
        text(who),
        text(record["log"], "quiet"),
        text(record["seq"]),
    ]


def report(found: Report, *, has_anchors: bool) -> RenderableType:
    """What a verification found."""
    table = _table("LOG", "RECORDS", "CHECKPOINTS", "ANCHORS", "STATE")
    for each in found.logs:
        state = Text("whole", style="good") if not each.findings else Text("not as it was written", style="bad")
        table.add_row(printable(each.log), str(each.records), str(each.checkpoints), str(each.anchors), state)
    parts: list[RenderableType] = [table]
    for finding in found.findings:
        place = f"{finding.log} record {finding.seq}" if finding.seq is not None else finding.log
        parts.append(Text.assemble((f"{finding.reason}: ", "bad"), printable(f"{place}: {finding.message}")))
    first = found.first_bad
    if found.is_whole:
        parts.append(Text(_whole(found, has_anchors=has_anchors), style="good"))
        return Group(*parts)
    if first is not None:
        parts.append(Text(f"the first bad record is {first.seq} of {printable(first.log)}", style="bad"))
    again = "→ export it once more; if that says the same, compare with    kubectl proctor audit anchors"
    return Group(*parts, Text(again, style="quiet"))


def _whole(found: Report, *, has_anchors: bool) -> str:
    if not has_anchors:
        return "whole, and signed; no anchors were given"
    unseen = ", ".join(printable(each.log) for each in found.logs if not each.anchors)
    return f"whole, and signed; there is no anchor of {unseen}" if unseen else "whole, and as it was anchored"


def anchors(known: Mapping[str, Memory], raised: Mapping[str, Mapping[str, str]]) -> RenderableType:
    """What is remembered of each log."""
    table = _table("LOG", "RECORDS", "ROOT", "SINCE", "LAST SEEN", "STATE")
    for log, each in known.items():
        alarm = raised.get(log)
        state = (
            Text(alarm["reason"], style="bad") if alarm else Text("closed" if each.is_closed else "open", style="good")
        )
        root = each.checkpoint.root.hex()[:_SHORT]
        table.add_row(log, str(each.checkpoint.size), root, each.history[0].at, each.history[-1].at, state)
    told = [Text.assemble((f"{each['reason']}: ", "bad"), printable(each["message"])) for each in raised.values()]
    return Group(table, *told)


def _what(record: Mapping[str, Any]) -> str:
    tool, model = record.get("tool"), record.get("model")
    if tool:
        return f"{tool.get('server')}/{tool.get('name')}"
    if model:
        return f"{model.get('connector')}/{model.get('requested')}"
    approval = record.get("approval")
    if isinstance(approval, dict) and "approval" in approval:
        return str(approval["approval"])
    for key in ("change", "approval", "rollout", "state", "fallback", "budget"):
        if isinstance(record.get(key), dict):
            return " ".join(f"{name}={value}" for name, value in record[key].items() if not isinstance(value, dict))[
                :80
            ]
    return str((record.get("run") or {}).get("id", ""))


def _decision(record: Mapping[str, Any]) -> str:
    decision, call, result = (record.get(key) or {} for key in ("decision", "call", "result"))
    people = record.get("approval") or {}
    if people.get("decision"):
        who = ", ".join(str(each) for each in people.get("decidedBy") or ())
        return f"{people['decision']} by {who}" if who else str(people["decision"])
    said = (
        decision.get("outcome"),
        decision.get("reason"),
        None if decision else call.get("state"),
        result.get("phase"),
        result.get("reason"),
    )
    return " ".join(dict.fromkeys(str(each) for each in said if each))


def _time(millis: int) -> str:
    return f"{datetime.fromtimestamp(millis / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="head")
    for each in columns:
        table.add_column(each, no_wrap=True)
    return table
