"""`audit report`: one document of what the record says of an agent, each claim with its proof."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Annotated, Any

import typer

from proctor.audit.archive import entries_of, node_of
from proctor.audit.merkle import inclusion_proof, leaf_hash
from proctor.audit.notes import unchecked
from proctor.audit.proofs import Proof
from proctor.audit.records import Record
from proctor.audit.report import SECTIONS, Claim, claims
from proctor.audit.verifier import Files, verify
from proctor.cli import auditing, exports
from proctor.cli.errors import CliError, Misused, NotFound
from proctor.cli.terminal import Terminal
from proctor.cli.wording import printable

_SHOWN = 12


def report(
    place: auditing.Export,
    agent: Annotated[str, typer.Argument(help="The agent.", metavar="NS/NAME")],
    *,
    key: auditing.Keys,
    anchors: auditing.Anchors = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with each claim's record and its proof.")] = False,
) -> None:
    """Write one document of what the record says of an agent: declaration, versions, oversight, incidents, objectives.

    The export is verified first. Each claim names the record it rests on; as JSON it carries that record and the proof
    that it is in the log, which `audit prove --check` or any other reader of C2SP's tlog-proof checks.

    [bold]Examples[/]

      kubectl proctor audit report ./record support/refunds --key keys.txt > report.md
      kubectl proctor audit report ./record support/refunds --key keys.txt --json > report.json

    [bold]Exit codes[/]

      0 written · 1 the export is not whole: nothing is claimed · 4 the record says nothing of the agent
    """
    namespace, _, name = agent.partition("/")
    if not name:
        raise Misused(f"{agent}: it must be NAMESPACE/NAME")
    logs = exports.read(place)
    checked = verify(logs, exports.keys(key), exports.anchors(anchors))
    if not checked.is_whole:
        raise CliError(
            f"{place} is not whole, so nothing is claimed of it",
            f"kubectl proctor audit verify {place} …    says what is wrong with it",
        )
    entries = {log: entries_of(files, _size(files)) for log, files in logs.items()}
    records = [Record.parse(line) for lines in entries.values() for line in lines]
    found = claims(records, namespace, name)
    if not found:
        raise NotFound(f"the record says nothing of Agent {agent}", f"it tells of {_agents(records, namespace)}")
    if as_json:
        Terminal.here().write(json.dumps(_document(agent, found, entries, logs), indent=2, ensure_ascii=False))
    else:
        Terminal.here().write(_page(agent, found, logs))


def _agents(records: Sequence[Record], namespace: str) -> str:
    """The agents that the record tells of, those of the namespace first; as many as a person reads."""
    found = [each.fields.get("agent") or {} for each in records]
    known = {(each.get("namespace"), each.get("name")) for each in found if each.get("kind", "Agent") == "Agent"}
    names = [f"{place}/{name}" for place, name in known if place and name]
    shown = sorted(names, key=lambda each: (not each.startswith(f"{namespace}/"), each))
    return printable(", ".join([*shown[:_SHOWN], *(["…"] if len(shown) > _SHOWN else [])]) or "no agent")


def _size(files: Files) -> int:
    return unchecked(files["checkpoint"].decode()).size


def _page(agent: str, found: Sequence[Claim], logs: Mapping[str, Files]) -> str:
    letters = dict(zip(logs, _letters(), strict=False))
    lines = [f"# What the record says of {printable(agent)}", ""]
    lines += [f"Log {letters[log]}: `{log}`, {_size(files)} records, verified.  " for log, files in logs.items()]
    for section in SECTIONS:
        mine = [each for each in found if each.section == section]
        if mine:
            lines += ["", f"## {section}", "", "| when (UTC) | what | record |", "|---|---|---|"]
            lines += [
                f"| {each.at:%Y-%m-%d %H:%M:%S} | {printable(each.text).replace('|', '/')} | "
                f"{letters[each.log]} {each.seq} |"
                for each in mine
            ]
    lines += ["", "Each record is proven by `kubectl proctor audit prove EXPORT LOG SEQ --key KEY`.", ""]
    return "\n".join(lines)


def _letters() -> Iterator[str]:
    """A, B, … Z, AA, AB, …: for a log's name has twenty-five characters, and stands in every line."""
    for length in itertools.count(1):
        yield from ("".join(each) for each in itertools.product(ascii_uppercase, repeat=length))


def _document(
    agent: str, found: Sequence[Claim], entries: Mapping[str, Sequence[bytes]], logs: Mapping[str, Files]
) -> dict[str, Any]:
    nodes = {log: node_of([leaf_hash(line) for line in lines]) for log, lines in entries.items()}

    def proof(claim: Claim) -> Proof:
        path = inclusion_proof(claim.seq, len(entries[claim.log]), nodes[claim.log])
        return Proof(claim.seq, tuple(path), logs[claim.log]["checkpoint"].decode())

    return {
        "agent": agent,
        "logs": {log: {"records": _size(files)} for log, files in logs.items()},
        "claims": [
            {
                "section": each.section,
                "text": each.text,
                "at": each.at.isoformat(),
                "log": each.log,
                "seq": each.seq,
                "record": entries[each.log][each.seq].decode(),
                "proof": str(proof(each)),
            }
            for each in found
        ],
    }
