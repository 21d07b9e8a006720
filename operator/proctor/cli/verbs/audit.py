"""`audit`: read the record, take it away, and check that it is whole and as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from proctor.api import names
from proctor.audit import memory
from proctor.audit.archive import entries_of, proof_of
from proctor.audit.notes import BadNote, unchecked
from proctor.audit.proofs import Proof
from proctor.audit.records import EventType
from proctor.audit.verifier import Report
from proctor.audit.verifier import verify as check
from proctor.cli import auditing, exports, options
from proctor.cli.connecting import connect
from proctor.cli.draw import record as draw
from proctor.cli.errors import CliError, Code, Misused, NotFound
from proctor.cli.grouping import group
from proctor.cli.reaching import Wanted
from proctor.cli.record import reader
from proctor.cli.resources import CONFIG_MAPS
from proctor.cli.terminal import Format, Terminal
from proctor.cli.verbs.audit_report import report as report_of
from proctor.cli.wording import counted, printable

_HELP = """Read the record of decisions, take it away, and check that nothing in it was changed.

[bold]Examples[/]

  kubectl proctor audit show --agent support/refunds     who did what, under which decision
  kubectl proctor audit export ./record > keys.txt       all of it, with the public keys
  kubectl proctor audit anchors -o json > anchors.json   what the operator remembers of it
  kubectl proctor audit verify ./record --key keys.txt --anchors anchors.json
"""

app = group("audit", _HELP)


@app.command()
def show(
    *,
    agent: Annotated[str | None, typer.Option("--agent", help="Of this agent.", metavar="[NS/]NAME")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of this task.", metavar="ID")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Of this type: tool.request.", metavar="TYPE")] = None,
    output: options.Output = Format.TABLE,
    service_account: options.ServiceAccount = None,
    gateway: options.GatewayUrl = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show records, the oldest first: who did what, under which decision.

    [bold]Examples[/]

      kubectl proctor audit show --agent support/refunds
      kubectl proctor audit show --task ID -o json        one canonical record a line

    [bold]Exit codes[/]

      0 shown · 5 you may not read the record
    """
    if kind is not None and kind not in set(EventType):
        raise Misused(f"--type {kind} is no type of record", f"they are {', '.join(EventType)}")
    cluster = connect(kubeconfig, context, namespace)
    place, _, name = (agent or "").rpartition("/")
    wanted = {"namespace": (place or cluster.namespace) if agent else None, "agent": name or None}
    terminal = Terminal.here()
    with reader(cluster, Wanted(gateway, installation, service_account)) as record:
        lines = [each for log in record.logs() for each in record.records(log.id, **wanted, task=task, type=kind)]
    if not lines:
        asked = {"agent": f"{wanted['namespace']}/{name}" if agent else None, "task": task, "type": kind}
        said = " and ".join(f"{what} {each}" for what, each in asked.items() if each)
        terminal.note(Text(printable(f"no records of {said}" if said else "no records"), style="quiet"))
    elif output is Format.TABLE:
        terminal.say(draw.records([json.loads(each) for each in lines], terminal.out.width))
    else:
        terminal.write("\n".join(lines))


@app.command()
def export(
    place: Annotated[Path, typer.Argument(help="A new directory, or a new .tar file.", metavar="EXPORT")],
    *,
    service_account: options.ServiceAccount = None,
    gateway: options.GatewayUrl = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Write all that is signed of the record to files: tiles as C2SP's tlog-tiles has them, checkpoints, records.

    What is newer than the last checkpoint (at most seconds) is not in it. Prints the public keys, for `verify`.

    [bold]Examples[/]

      kubectl proctor audit export ./record
      kubectl proctor audit export record.tar

    [bold]Exit codes[/]

      0 written · 2 there is something of that name · 5 you may not read the record
    """
    cluster = connect(kubeconfig, context, None)
    with reader(cluster, Wanted(gateway, installation, service_account)) as record:
        logs = record.logs()
        taken = {log.id: record.files(log.id) for log in logs}
    signed = {name: files for name, files in taken.items() if files}
    if not signed:
        raise CliError("nothing is signed yet", "try again in a few seconds")
    exports.write(place, signed)
    terminal = Terminal.here()
    terminal.write("\n".join(sorted({log.verifier for log in logs if log.id in signed})))
    terminal.note(
        Text(f"{counted(len(signed), 'log')} in {printable(str(place))}; check them with the keys above", style="quiet")
    )


@app.command()
def verify(
    place: auditing.Export,
    *,
    key: auditing.Keys,
    anchors: auditing.Anchors = None,
    output: options.Output = Format.TABLE,
) -> None:
    """Check an exported record, offline: every record, the chain, the tree, every signature, and the anchors if given.

    Without anchors it is shown that the holder of the key has signed exactly this; with them, also that it is the same
    that was seen before. The first bad record is named.

    [bold]Examples[/]

      kubectl proctor audit verify ./record --key KEY
      kubectl proctor audit verify record.tar --key keys.txt --anchors anchors.json

    [bold]Exit codes[/]

      0 whole · 2 the files, the key or the anchors cannot be read · 3 not as it was written
    """
    report = check(exports.read(place), exports.keys(key), exports.anchors(anchors))
    terminal = Terminal.here()
    if output is Format.TABLE:
        terminal.say(draw.report(report, has_anchors=anchors is not None))
    else:
        terminal.write(json.dumps(_as_json(report), indent=2))
    raise typer.Exit(Code.OK if report.is_whole else Code.NOT_SO)


@app.command()
def prove(
    place: auditing.Export,
    log: auditing.LogName,
    seq: Annotated[int, typer.Argument(help="The record's number.", min=0, metavar="SEQ")],
    *,
    key: auditing.Keys,
    check_proof: Annotated[
        Path | None, typer.Option("--check", help="Check this proof of the record instead.", metavar="FILE")
    ] = None,
) -> None:
    """Print the proof that a record is in the log: a text that needs nothing but the record and the public key.

    [bold]Examples[/]

      kubectl proctor audit prove ./record LOG 17 --key KEY > 17.tlog-proof
      kubectl proctor audit prove ./record LOG 17 --key KEY --check 17.tlog-proof

    [bold]Exit codes[/]

      0 proven · 3 the proof does not hold · 4 no such log or record
    """
    logs = exports.read(place)
    files = logs.get(log)
    if files is None:
        raise NotFound(f"{place} holds no log {log}", f"it holds {', '.join(sorted(logs))}")
    trusted = exports.keys(key)
    try:
        note = files["checkpoint"].decode()
        entries = entries_of(files, unchecked(note).size)
        if seq >= len(entries):
            raise NotFound(f"log {log} has {len(entries)} records")
        text = check_proof.read_text() if check_proof else str(proof_of(entries, seq, note))
        signed = Proof.parse(text).check(entries[seq], trusted)
    except (BadNote, ValueError, KeyError, OSError) as exc:
        Terminal.here().note(Text.assemble(("not proven: ", "bad"), printable(str(exc))))
        raise typer.Exit(Code.NOT_SO) from exc
    terminal = Terminal.here()
    if not check_proof:
        terminal.write(text)
    terminal.note(Text(f"record {seq} is in {signed.origin}, of {signed.size} records", style="good"))


@app.command()
def anchors(
    output: options.Output = Format.TABLE,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show what the operator remembers of each log, and any alarm: a log that is not what it was.

    [bold]Examples[/]

      kubectl proctor audit anchors
      kubectl proctor audit anchors -o json > anchors.json     for `audit verify --anchors`

    [bold]Exit codes[/]

      0 shown · 3 there is an alarm · 4 nothing is anchored yet
    """
    cluster = connect(kubeconfig, context, None)
    found = cluster.get(CONFIG_MAPS, installation, names.RECORD)
    data = found.get("data") or {}
    terminal = Terminal.here()
    try:
        known, raised = memory.load(data), memory.alarms(data)
    except BadNote as exc:
        raise CliError(str(exc), f"kubectl get configmap {names.RECORD} -n {installation} -o yaml") from exc
    if output is Format.TABLE:
        terminal.say(draw.anchors(known, raised))
    else:
        terminal.write(json.dumps({"data": data}, indent=2))
    raise typer.Exit(Code.NOT_SO if raised else Code.OK)


app.command(name="report")(report_of)


def _as_json(report: Report) -> dict[str, Any]:
    first = report.first_bad
    return {
        "whole": report.is_whole,
        "firstBad": None if first is None else {"log": first.log, "seq": first.seq},
        "logs": [
            {
                "log": each.log,
                "origin": each.origin,
                "records": each.records,
                "checkpoints": each.checkpoints,
                "anchors": each.anchors,
            }
            for each in report.logs
        ],
        "findings": [
            {"log": each.log, "seq": each.seq, "reason": each.reason, "message": each.message}
            for each in report.findings
        ],
    }
