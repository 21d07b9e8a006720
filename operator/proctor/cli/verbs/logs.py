"""`logs`: what an agent's pods say, all of them together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.text import Text

from proctor.api import names
from proctor.cli import observe, options, tailing
from proctor.cli.connecting import connect
from proctor.cli.draw import log as draw
from proctor.cli.errors import CliError, Misused, NotFound
from proctor.cli.tailing import Tail
from proctor.cli.terminal import Format, Terminal
from proctor.cli.views.log import LogLine
from proctor.cli.wording import printable


def logs(
    name: options.AgentName,
    *,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Only the pods of this revision.", metavar="HASH")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Only the lines of this task.", metavar="ID")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay, and show what comes, from new pods too.")
    ] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the containers that crashed last.")] = False,
    since: options.Since = None,
    tail: Annotated[int | None, typer.Option("--tail", help="The last lines of each pod.", min=0)] = None,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show the logs of all of an agent's pods as one, in the order of time.

    A line of JSON is shown as time, level, message and fields; -o json prints it as it was written.

    [bold]Examples[/]

      kubectl proctor logs refunds -n support --since 10m
      kubectl proctor logs refunds --follow --revision 7f3a91c2d4
      kubectl proctor logs refunds --task ID            what one task made the agent say
      kubectl proctor logs refunds -o json | jq .message
    """
    if output not in {Format.TABLE, Format.JSON}:
        raise Misused(f"logs: they cannot be written as {output}", "-o json prints each line as it was written")
    cluster = connect(kubeconfig, context, namespace)
    place = cluster.namespace
    selector = f"{names.AGENT}={name}" + (f",{names.REVISION}={revision}" if revision else "")
    query = {
        "sinceSeconds": str(max(1, int(since.total_seconds()))) if since else "",
        "tailLines": "" if tail is None else str(tail),
        "previous": "true" if previous else "",
    }
    wanted = Tail(cluster, place, selector, tuple(query.items()))
    terminal = Terminal.here()
    pods = wanted.pods()
    if not pods and not follow:
        # Raises if there is no such agent; else it is the agent that has no pods.
        observe.agent(cluster, place, name)
        raise _no_pods(place, name, revision)

    def on_fault(error: CliError) -> None:
        terminal.note(Text(printable(error.message), style="warn"))

    found = tailing.followed(wanted, on_fault) if follow else tailing.collected(wanted, pods, on_fault)
    _show(terminal, output, (each for each in found if each.is_about(task)), name)


def _show(terminal: Terminal, output: Format, found: Iterable[LogLine], name: str) -> None:
    for each in found:
        if output is Format.JSON:
            terminal.write(printable(each.raw) if terminal.is_watched else each.raw)
        elif terminal.is_watched:
            terminal.out.print(draw.line(each, name), soft_wrap=True)
        else:
            terminal.say(draw.line(each, name))


def _no_pods(namespace: str, name: str, revision: str | None) -> NotFound:
    which = f" of revision {revision}" if revision else ""
    return NotFound(
        f"Agent {namespace}/{name} has no pods{which}",
        f"kubectl proctor explain agent/{name} -n {namespace}    says why",
    )
