"""`rollout status`: where an upgrade is, for people and for pipelines."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
from proctor.cli.draw import rollout as draw
from proctor.cli.errors import Away, CliError, Misused, TimedOut
from proctor.cli.resources import AGENTS
from proctor.cli.terminal import Format, Terminal
from proctor.cli.views import rollout as views
from proctor.cli.views.rollout import Change, RolloutView
from proctor.cli.watching import Watched, looks
from proctor.cli.wording import span

_REDRAW_SECONDS = 1.0


@dataclass(frozen=True)
class Asked:
    """Whose upgrade, and how it is told."""

    cluster: Cluster
    name: str
    format: Format
    terminal: Terminal


def status(
    name: options.AgentName,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay until the upgrade has ended.")] = False,
    timeout: Annotated[
        timedelta | None,
        typer.Option(
            "--timeout",
            help="With --watch: how long at most, for example 30m; default: as long as it takes.",
            parser=options.duration,
            metavar="DURATION",
        ),
    ] = None,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show where an upgrade is: steps, traffic, exam, evidence; and what a person may do.

    [bold]Examples[/]

      kubectl proctor rollout status refunds
      kubectl proctor rollout status refunds --watch             a live picture until it has ended
      kubectl apply -f agent.yaml && kubectl proctor rollout status refunds --watch --timeout 2h    in a pipeline

    [bold]Exit codes[/]

      0 settled or promoted · 3 rolled back, failed, aborted, or gone back from · 4 no such agent · 6 not ended within
      --timeout · 7 under way · 8 a person is needed (held, paused, approval)
    """
    if timeout is not None and not watch:
        raise Misused("rollout status: --timeout needs --watch")
    cluster = connect(kubeconfig, context, namespace)
    asked = Asked(cluster, name, output, Terminal.here())
    seen = _follow(asked, timeout) if watch else _look(asked)
    if not (watch and asked.terminal.is_watched and output is Format.TABLE):
        _show(asked, seen, is_last_of_many=watch)
    raise typer.Exit(seen.code)


def _look(asked: Asked) -> RolloutView:
    return views.view(observe.agent(asked.cluster, asked.cluster.namespace, asked.name))


def _show(asked: Asked, seen: RolloutView, *, is_last_of_many: bool) -> None:
    match asked.format:
        case Format.JSON if is_last_of_many:
            return
        case Format.JSON:
            asked.terminal.write(dump.as_json(seen))
        case Format.YAML:
            asked.terminal.write(dump.as_yaml(seen))
        case Format.NAME:
            asked.terminal.write(f"agent.{names.GROUP}/{seen.name}")
        case Format.TABLE:
            asked.terminal.say(draw.rollout(seen, datetime.now(UTC), asked.terminal.out.width))


def _seen_again(asked: Asked) -> Iterator[RolloutView | CliError]:
    watched = Watched(AGENTS, asked.cluster.namespace, (("fieldSelector", f"metadata.name={asked.name}"),))
    for _ in looks(asked.cluster, (watched,), at_least_every=_REDRAW_SECONDS):
        try:
            yield _look(asked)
        except Away as fault:
            # An API server that restarts is no reason to make a pipeline start anew.
            yield fault


def _follow(asked: Asked, timeout: timedelta | None) -> RolloutView:
    if asked.format is Format.TABLE and asked.terminal.is_watched:
        console = asked.terminal.out
        with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
            for seen in _until_ended(asked, timeout):
                live.update(_picture(seen, console.width), refresh=True)
        return _last(seen)
    before: Change | None = None
    for seen in _until_ended(asked, timeout):
        if isinstance(seen, CliError):
            asked.terminal.note(Text(seen.message, style="bad"))
            continue
        told = views.change(seen)
        if told != before:
            _tell(asked, told, seen)
        before = told
    return _last(seen)


def _picture(seen: RolloutView | CliError, width: int) -> RenderableType:
    if isinstance(seen, CliError):
        return Text(seen.message, style="bad")
    return draw.rollout(seen, datetime.now(UTC), width)


def _tell(asked: Asked, told: Change, seen: RolloutView) -> None:
    if asked.format is Format.JSON:
        asked.terminal.write(dump.as_json_line(seen))
    else:
        asked.terminal.note(draw.change(told, seen, datetime.now(UTC)))


def _until_ended(asked: Asked, timeout: timedelta | None) -> Iterator[RolloutView | CliError]:
    deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
    for seen in _seen_again(asked):
        yield seen
        if isinstance(seen, RolloutView) and seen.has_ended:
            return
        if deadline is not None and time.monotonic() >= deadline:
            where = seen.message if isinstance(seen, CliError) else f"{seen.phase}: {seen.headline}"
            raise TimedOut(f"the upgrade has not ended within {span(timeout or timedelta())}: {where}")


def _last(seen: RolloutView | CliError) -> RolloutView:
    if isinstance(seen, CliError):
        raise seen
    return seen
