"""`invoke`: send a task to an agent and print its answer."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from proctor.api import names
from proctor.cli import dump, inputs, options, reaching
from proctor.cli.connecting import connect
from proctor.cli.draw import task as draw
from proctor.cli.errors import Code
from proctor.cli.gateway import Gateway, Order
from proctor.cli.reaching import Wanted
from proctor.cli.tasks import Call, Phase, Task
from proctor.cli.terminal import Format, Terminal
from proctor.cli.waiting import Wait, whereabouts

_INTERRUPTED = 130


@dataclass(frozen=True)
class Shown:
    """How the answer is written."""

    terminal: Terminal
    format: Format
    with_calls: bool


def invoke(
    name: options.AgentName,
    input_: Annotated[
        str | None, typer.Argument(metavar="INPUT", help="A text, or JSON ({…} or […]); - reads standard input.")
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Read the input from a file; .json and .yaml as such.", metavar="FILE"),
    ] = None,
    as_text: Annotated[bool, typer.Option("--text", help="Send it as a text, whatever it looks like.")] = False,
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="The conversation to go on with.", metavar="ID")
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            help="stable, candidate or a revision's hash; for those of spec.access.testers.",
            metavar="REVISION",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", help="The same key and input give the same task, not another.", metavar="KEY"
        ),
    ] = None,
    asynchronous: Annotated[bool, typer.Option("--async", help="Print the task's id and do not wait.")] = False,
    with_calls: Annotated[bool, typer.Option("--calls", help="Show what it asked of models and tools.")] = False,
    timeout: options.Timeout = timedelta(minutes=5),
    output: options.Output = Format.TABLE,
    service_account: options.ServiceAccount = None,
    gateway: options.GatewayUrl = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Send a task to an agent and print its answer.

    The answer alone goes to standard output; progress and what it took go to standard error. The task goes on when
    this command does not wait any longer.

    [bold]Examples[/]

      kubectl proctor invoke refunds "Please refund order A-1001" -n support --service-account shop/web
      kubectl proctor invoke refunds '{"order": "A-1001"}' --calls
      kubectl proctor invoke refunds -f case.yaml -o json | jq .output
      kubectl proctor invoke refunds -f case.yaml --revision candidate
      id=$(kubectl proctor invoke refunds -f case.json --async -o name)

    [bold]Exit codes[/]

      0 succeeded · 3 it ended otherwise · 5 you are not let in · 6 no end within --timeout
    """
    cluster = connect(kubeconfig, context, namespace)
    order = Order(inputs.chosen(input_, file, as_text=as_text), key or str(uuid.uuid4()), conversation, revision)
    shown = Shown(Terminal.here(), output, with_calls)
    wanted = Wanted(gateway, installation, service_account)
    with reaching.gateway(cluster, cluster.namespace, name, wanted) as reached:
        wait = Wait(reached, shown.terminal, timeout)
        task = wait.submit(order)
        if asynchronous:
            _accepted(shown, task)
            return
        task = _ended(wait, shown, task)
        _show(shown, task, reached)
    raise typer.Exit(Code.OK if task.phase is Phase.SUCCEEDED else Code.NOT_SO)


def _ended(wait: Wait, shown: Shown, task: Task) -> Task:
    try:
        return wait.for_end(task)
    except KeyboardInterrupt:
        hints = "\n  → ".join(("", *whereabouts(task)))
        shown.terminal.note(Text(f"\ntask {task.id} goes on{hints}"))
        raise typer.Exit(_INTERRUPTED) from None


def _accepted(shown: Shown, task: Task) -> None:
    match shown.format:
        case Format.JSON:
            shown.terminal.write(dump.as_json(task))
        case Format.YAML:
            shown.terminal.write(dump.as_yaml(task))
        case Format.NAME:
            shown.terminal.write(task.id)
        case Format.TABLE:
            shown.terminal.write(task.id)
            shown.terminal.note(Text(f"{task.phase.value}; kubectl proctor tasks {task.agent.name} {task.id}", "quiet"))


def _show(shown: Shown, task: Task, gateway: Gateway) -> None:
    terminal = shown.terminal
    calls = gateway.calls(task.id) if shown.with_calls else ()
    match shown.format:
        case Format.JSON:
            terminal.write(dump.as_json(_whole(task, calls, with_calls=shown.with_calls)))
        case Format.YAML:
            terminal.write(dump.as_yaml(_whole(task, calls, with_calls=shown.with_calls)))
        case Format.NAME:
            terminal.write(task.id)
        case Format.TABLE:
            _answer(terminal, task)
            if shown.with_calls:
                terminal.note(draw.calls(task, calls, terminal.err.width))
            terminal.note(draw.ending(task, datetime.now(UTC)))


def _answer(terminal: Terminal, task: Task) -> None:
    if task.output is None:
        return
    if terminal.is_watched:
        terminal.say(draw.answer(task.output))
    else:
        # As the agent said it: the one who reads is a program, and no terminal.
        terminal.write(task.output if isinstance(task.output, str) else dump.as_json(task.output))


def _whole(task: Task, calls: tuple[Call, ...], *, with_calls: bool) -> dict[str, object]:
    body: dict[str, object] = dump.plain(task)
    return body | ({"calls": dump.plain(calls)} if with_calls else {})
