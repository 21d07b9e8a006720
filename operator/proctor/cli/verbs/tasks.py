"""`tasks`: what was sent to an agent, how it stands, and what each task did."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from proctor.api import names
from proctor.cli import dump, options, reaching
from proctor.cli.connecting import connect
from proctor.cli.draw import task as draw
from proctor.cli.errors import Away, Code, Misused
from proctor.cli.gateway import Busy, Gateway
from proctor.cli.reaching import Wanted
from proctor.cli.tasks import Phase, Task
from proctor.cli.terminal import Format, Terminal
from proctor.cli.wording import printable

_LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Asked:
    """Which tasks, and how they are written."""

    gateway: Gateway
    terminal: Terminal
    format: Format
    most: int
    phase: Phase | None


def tasks(
    name: options.AgentName,
    task: Annotated[str | None, typer.Argument(metavar="ID", help="One task in full, with its calls.")] = None,
    *,
    cancel: Annotated[str | None, typer.Option("--cancel", help="Cancel this task.", metavar="ID")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show every change.")] = False,
    phase: Annotated[Phase | None, typer.Option("--phase", help="Only those in this phase.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many at most, the newest first.", min=1)] = 20,
    output: options.Output = Format.TABLE,
    service_account: options.ServiceAccount = None,
    gateway: options.GatewayUrl = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the tasks that you sent to an agent, show one with its calls, or cancel one.

    Everybody sees their own tasks: ask as the same identity as the one that sent them.

    [bold]Examples[/]

      kubectl proctor tasks refunds -n support --service-account shop/web
      kubectl proctor tasks refunds --phase Failed
      kubectl proctor tasks refunds ID                  one task: input, answer, every call
      kubectl proctor tasks refunds ID --watch          until it ends
      kubectl proctor tasks refunds --cancel ID

    [bold]Exit codes[/]

      0 shown; of one task with --watch: it succeeded · 3 it ended otherwise · 4 no such task · 5 you are not let in
    """
    if cancel and (task or watch):
        raise Misused("tasks: --cancel stands alone", f"kubectl proctor tasks {name} --cancel {cancel}")
    cluster = connect(kubeconfig, context, namespace)
    with reaching.gateway(cluster, cluster.namespace, name, Wanted(gateway, installation, service_account)) as reached:
        asked = Asked(reached, Terminal.here(), output, limit, phase)
        if cancel:
            _cancel(asked, cancel)
        elif task:
            raise typer.Exit(_one(asked, task, is_watched=watch))
        elif watch:
            _watch(asked)
        else:
            _list(asked, _found(asked))


def _found(asked: Asked) -> tuple[Task, ...]:
    return tuple(asked.gateway.tasks(asked.most, asked.phase))


def _list(asked: Asked, found: tuple[Task, ...]) -> None:
    terminal = asked.terminal
    match asked.format:
        case Format.JSON:
            terminal.write(dump.as_json({"items": found}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"items": found}))
        case Format.NAME:
            terminal.write("".join(f"{each.id}\n" for each in found))
        case Format.TABLE if not found:
            terminal.note(Text("no tasks of yours at this agent", style="warn"))
        case Format.TABLE:
            terminal.say(draw.tasks(found, datetime.now(UTC), terminal.out.width))


def _cancel(asked: Asked, task: str) -> None:
    after = asked.gateway.cancel(task)
    if asked.format is Format.JSON:
        asked.terminal.write(dump.as_json(after))
    else:
        asked.terminal.note(draw.ending(after, datetime.now(UTC)))


def _one(asked: Asked, task: str, *, is_watched: bool) -> Code:
    terminal = asked.terminal
    seen = asked.gateway.task(task)
    if is_watched:
        seen = _until_end(asked, seen)
    calls = asked.gateway.calls(task)
    match asked.format:
        case Format.JSON:
            terminal.write(dump.as_json({**dump.plain(seen), "calls": dump.plain(calls)}))
        case Format.YAML:
            terminal.write(dump.as_yaml({**dump.plain(seen), "calls": dump.plain(calls)}))
        case Format.NAME:
            terminal.write(seen.id)
        case Format.TABLE:
            terminal.say(draw.task(seen, calls, datetime.now(UTC), terminal.out.width))
    return Code.OK if not is_watched or seen.phase is Phase.SUCCEEDED else Code.NOT_SO


def _until_end(asked: Asked, seen: Task) -> Task:
    """The task when it has ended; until then it is drawn anew on a terminal, and told by lines elsewhere."""
    terminal = asked.terminal
    if not terminal.is_watched:
        while not seen.has_ended:
            before, seen = seen, asked.gateway.task(seen.id, _LOOK_SECONDS)
            if before.phase != seen.phase:
                terminal.note(draw.change(seen, datetime.now(UTC)))
        return seen
    with Live(console=terminal.out, auto_refresh=False, transient=True) as live:
        while not seen.has_ended:
            picture = draw.task(seen, asked.gateway.calls(seen.id), datetime.now(UTC), terminal.out.width)
            live.update(picture, refresh=True)
            seen = asked.gateway.task(seen.id, _LOOK_SECONDS)
    return seen


def _watch(asked: Asked) -> None:
    terminal = asked.terminal
    if terminal.is_watched and asked.format is Format.TABLE:
        with Live(console=terminal.out, auto_refresh=False) as live:
            while True:
                live.update(draw.tasks(_again(asked), datetime.now(UTC), terminal.out.width), refresh=True)
                time.sleep(_LOOK_SECONDS)
    before: dict[str, Task] = {}
    while True:
        for each in reversed(_again(asked)):
            if before.get(each.id) == each:
                continue
            before[each.id] = each
            if asked.format is Format.JSON:
                terminal.write(dump.as_json_line(each))
            else:
                terminal.say(draw.change(each, datetime.now(UTC)))
        time.sleep(_LOOK_SECONDS)


def _again(asked: Asked) -> tuple[Task, ...]:
    while True:
        try:
            return _found(asked)
        except (Away, Busy) as fault:
            # A gateway that restarts is no reason to make a person start anew.
            asked.terminal.note(Text(f"{printable(fault.message)}; again in {_LOOK_SECONDS:g} s", "quiet"))
            time.sleep(_LOOK_SECONDS)
