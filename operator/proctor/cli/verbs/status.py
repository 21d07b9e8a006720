"""`status`: how the agents are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from proctor.api import names
from proctor.cli import dump, observe, options
from proctor.cli.cluster import Cluster
from proctor.cli.connecting import connect
from proctor.cli.draw import agent as draw_agent
from proctor.cli.draw import fleet as draw_fleet
from proctor.cli.errors import Away, CliError, Code, Misused, TimedOut
from proctor.cli.resources import AGENTS, CONNECTORS, PODS
from proctor.cli.terminal import Format, Terminal
from proctor.cli.views import agent as views_agent
from proctor.cli.views import fleet as views_fleet
from proctor.cli.views.fleet import FleetRow
from proctor.cli.views.tone import Tone
from proctor.cli.watching import Watched, looks
from proctor.cli.wording import span

_REDRAW_SECONDS = 1.0


@dataclass(frozen=True)
class Asked:
    """Whose status, and how it is to be written."""

    cluster: Cluster
    namespace: str | None
    name: str | None
    format: Format
    terminal: Terminal


@dataclass(frozen=True)
class Seen:
    """One look: the rows, and how they are shown."""

    rows: tuple[FleetRow, ...]
    whole: object
    draw: Callable[[int], RenderableType]

    @property
    def code(self) -> Code:
        """0 when every agent is ready."""
        return Code.OK if all(row.is_ready for row in self.rows) else Code.NOT_SO


def status(
    name: Annotated[
        str | None, typer.Argument(help="One agent in full; without it, all of them.", metavar="NAME")
    ] = None,
    *,
    namespace: options.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="The agents of every namespace.")
    ] = False,
    output: options.Output = Format.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show every change.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until each is ready or stalled.")] = False,
    timeout: options.Timeout = timedelta(minutes=5),
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show how agents are: ready or not and why, revisions, pods, isolation.

    [bold]Examples[/]

      kubectl proctor status                        the agents of this namespace
      kubectl proctor status -A --watch             all agents, redrawn at every change
      kubectl proctor status refunds -n support     one agent in full
      kubectl proctor status refunds --wait --timeout 2m && ./deploy-shop

    [bold]Exit codes[/]

      0 all ready · 3 at least one is not · 4 no such agent · 5 denied · 6 not ready within --timeout
    """
    if name and all_namespaces:
        raise Misused(
            "status: NAME and --all-namespaces exclude each other", f"kubectl proctor status {name} -n NAMESPACE"
        )
    if watch and wait:
        raise Misused("status: --watch and --wait exclude each other")
    cluster = connect(kubeconfig, context, namespace)
    place = None if all_namespaces else cluster.namespace
    asked = Asked(cluster, place, name, output, Terminal.here())
    if watch:
        _follow(asked)
    seen = _wait(asked, timeout) if wait else _look(asked)
    _show(asked, seen)
    raise typer.Exit(seen.code)


def _look(asked: Asked) -> Seen:
    now = datetime.now(UTC)
    if asked.name is None:
        rows = observe.fleet_rows(asked.cluster, asked.namespace)
        return Seen(rows, {"agents": rows}, lambda width: draw_fleet.fleet(rows, now, width))
    facts = observe.agent_facts(asked.cluster, asked.namespace or "", asked.name)
    view = views_agent.view(facts)
    return Seen((view.summary,), view, lambda width: draw_agent.agent(view, now, width))


def _show(asked: Asked, seen: Seen) -> None:
    terminal = asked.terminal
    match asked.format:
        case Format.JSON:
            terminal.write(dump.as_json(seen.whole))
        case Format.YAML:
            terminal.write(dump.as_yaml(seen.whole))
        case Format.NAME:
            terminal.write("".join(f"agent.{names.GROUP}/{row.name}\n" for row in seen.rows))
        case Format.TABLE if not seen.rows:
            terminal.note(_none(asked))
        case Format.TABLE:
            terminal.say(seen.draw(terminal.out.width))


def _none(asked: Asked) -> Text:
    place = f"namespace {asked.namespace}" if asked.namespace else "this cluster"
    line = Text(f"there are no agents in {place}", style="warn")
    return line if asked.namespace is None else line.append("; -A shows those of every namespace", style="quiet")


def _watched(asked: Asked) -> tuple[Watched, ...]:
    if asked.name is None:
        return (Watched(AGENTS, asked.namespace),)
    return (
        Watched(AGENTS, asked.namespace, (("fieldSelector", f"metadata.name={asked.name}"),)),
        Watched(PODS, asked.namespace, (("labelSelector", f"{names.AGENT}={asked.name}"),)),
        Watched(CONNECTORS, asked.namespace),
    )


def _seen_again(asked: Asked, at_least_every: float) -> Iterator[Seen | CliError]:
    for _ in looks(asked.cluster, _watched(asked), at_least_every=at_least_every):
        try:
            yield _look(asked)
        except Away as fault:
            # An API server that restarts is no reason to make a person start anew.
            yield fault


def _follow(asked: Asked) -> None:
    if asked.format is Format.TABLE and asked.terminal.is_watched:
        _redraw(asked)
    elif asked.format in {Format.TABLE, Format.JSON}:
        _tell(asked)
    else:
        raise Misused(f"status: --watch cannot write {asked.format}", "use -o json: one line for each change")


def _redraw(asked: Asked) -> None:
    console = asked.terminal.out
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for seen in _seen_again(asked, _REDRAW_SECONDS):
            picture = Text(seen.message, style="bad") if isinstance(seen, CliError) else seen.draw(console.width)
            live.update(picture, refresh=True)


def _tell(asked: Asked) -> None:
    before: tuple[FleetRow, ...] = ()
    for seen in _seen_again(asked, 30.0):
        if isinstance(seen, CliError):
            asked.terminal.note(Text(seen.message, style="bad"))
            continue
        for row in views_fleet.changes(before, seen.rows):
            if asked.format is Format.JSON:
                asked.terminal.write(dump.as_json_line(row))
            else:
                asked.terminal.say(draw_fleet.change(row, datetime.now(UTC)))
        before = seen.rows


def _wait(asked: Asked, timeout: timedelta) -> Seen:
    deadline = time.monotonic() + timeout.total_seconds()
    before: tuple[FleetRow, ...] = ()
    for seen in _seen_again(asked, 1.0):
        if isinstance(seen, Seen):
            if seen.rows and all(_has_ended(row) for row in seen.rows):
                return seen
            for row in views_fleet.changes(before, seen.rows):
                asked.terminal.note(draw_fleet.change(row, datetime.now(UTC)))
            before = seen.rows
        if time.monotonic() >= deadline:
            break
    raise _late(before, timeout)


def _has_ended(row: FleetRow) -> bool:
    """Whether waiting longer is of no use: it is ready, or only a person can get it further."""
    return row.is_ready or row.tone in {Tone.BAD, Tone.OFF}


def _late(rows: tuple[FleetRow, ...], timeout: timedelta) -> TimedOut:
    waiting = [row for row in rows if not _has_ended(row)]
    named = ", ".join(f"{row.namespace}/{row.name} ({row.reason})" for row in waiting[:5]) or "there are no agents"
    first = waiting[0] if waiting else None
    hint = f"kubectl proctor explain agent/{first.name} -n {first.namespace}    says why" if first else ""
    return TimedOut(f"not ready within {span(timeout)}: {named}", *([hint] if hint else []))
