"""`approvals`: what waits for a person, and one question with everything that is needed to answer it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from proctor.cli import dump, options, voting
from proctor.cli.connecting import connect
from proctor.cli.draw import approval as draw
from proctor.cli.terminal import Format, Terminal


def approvals(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One question in full.")] = None,
    *,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also those that are decided or over.")] = False,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the questions that wait for a person, or show one in full.

    [bold]Examples[/]

      kubectl proctor approvals -A
      kubectl proctor approvals refunds-1f00ba4c0ffe        everything that is needed to answer
      kubectl proctor approve refunds-1f00ba4c0ffe          or: reject

    [bold]Exit codes[/]

      0 shown · 4 no such Approval · 5 denied
    """
    cluster = connect(kubeconfig, context, namespace)
    terminal, now = Terminal.here(), datetime.now(UTC)
    if name is not None:
        found = voting.question(cluster, cluster.namespace, name)
        if output is Format.TABLE:
            terminal.say(draw.whole(found, voting.effect_of(cluster, found), now))
        else:
            terminal.write(_as(output, found, name))
        return
    listed = voting.questions(cluster, None if everywhere else cluster.namespace)
    shown = [each for each in listed if every or voting.is_open(each, now)]
    match output:
        case Format.JSON:
            terminal.write(dump.as_json({"items": shown}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"items": shown}))
        case Format.NAME:
            terminal.write("".join(f"{each.metadata.name}\n" for each in shown))
        case Format.TABLE if not shown:
            terminal.note(Text("nothing waits for a person", style="quiet"))
        case Format.TABLE:
            terminal.say(draw.listed(shown, now, terminal.out.width, is_wide=everywhere))


def _as(output: Format, found: object, name: str) -> str:
    if output is Format.NAME:
        return name
    return dump.as_json(found) if output is Format.JSON else dump.as_yaml(found)
