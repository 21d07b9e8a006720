"""`resolve`: a person says what became of an effect that nobody knew of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from proctor.api import names
from proctor.cli import options, reaching
from proctor.cli.connecting import connect
from proctor.cli.draw import task as draw
from proctor.cli.draw.parts import Column, table, text
from proctor.cli.errors import Misused
from proctor.cli.reaching import Door, Wanted
from proctor.cli.tasks import Call, Task
from proctor.cli.terminal import Terminal
from proctor.cli.wording import age, short

_LONGEST = 60


class Action(StrEnum):
    """What is decided."""

    MARK_DONE = "MarkDone"
    REDO = "Redo"
    SKIP = "Skip"


def resolve(
    name: options.AgentName,
    call: Annotated[str | None, typer.Argument(metavar="CALL", help="The call's id; none: list them.")] = None,
    action: Annotated[
        Action | None,
        typer.Argument(metavar="ACTION", help="MarkDone: it happened. Redo: it did not, do it. Skip: leave it out."),
    ] = None,
    *,
    result: Annotated[
        str | None,
        typer.Option("--result", metavar="JSON", help="With MarkDone: what the agent is told as its result."),
    ] = None,
    service_account: options.ServiceAccount = None,
    gateway: options.GatewayUrl = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the effects of which nobody knows whether they happened, or say of one what became of it.

    Look at the system first: what you say is what the agent goes on from, and it is recorded in your name. You must be
    one of the Agent's spec.access.resolvers.

    [bold]Examples[/]

      kubectl proctor resolve refunds -n support
      kubectl proctor resolve refunds CALL MarkDone --result '{"refund": "R-17"}'
      kubectl proctor resolve refunds CALL Redo           the same key is sent again
      kubectl proctor resolve refunds CALL Skip

    [bold]Exit codes[/]

      0 listed or decided · 1 nothing to decide · 4 no such task · 5 you may not
    """
    if (call is None) != (action is None):
        raise Misused("a CALL needs an ACTION: MarkDone, Redo or Skip")
    cluster, terminal = connect(kubeconfig, context, namespace), Terminal.here()
    wanted = Wanted(gateway, installation, service_account)
    with reaching.gateway(cluster, cluster.namespace, name, wanted, Door.RESOLVERS) as reached:
        if call is None or action is None:
            _list(terminal, reached.unresolved())
            return
        after = reached.resolve(call.rpartition(".")[0], call, action.value, _result(result, action))
        terminal.note(draw.change(after, datetime.now(UTC)))


def _result(typed: str | None, action: Action) -> Any:
    if typed is None:
        return None
    if action is not Action.MARK_DONE:
        raise Misused("--result goes with MarkDone")
    try:
        return json.loads(typed)
    except ValueError as exc:
        raise Misused(f"--result is not JSON: {exc}") from exc


def _list(terminal: Terminal, found: Sequence[tuple[Task, Sequence[Call]]]) -> None:
    columns = (
        Column("CALL"),
        Column("OF"),
        Column("EFFECT", 1),
        Column("ARGUMENTS", 1, may_shrink=True),
        Column("CALLER", 2),
        Column("AGE", 2),
    )
    now = datetime.now(UTC)
    lines = [
        [
            text(call.id, "name"),
            text(f"{call.connector}/{call.name}"),
            text(call.effect),
            text(short(json.dumps(call.arguments), _LONGEST)),
            text(task.caller),
            text(age(call.started_at, now)),
        ]
        for task, calls in found
        for call in calls
    ]
    if lines:
        terminal.say(table(columns, lines, terminal.out.width))
    else:
        terminal.note(Text("every effect is known", style="quiet"))
