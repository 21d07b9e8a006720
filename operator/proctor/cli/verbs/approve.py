"""`approve`: a person's answer to an Approval."""

from __future__ import annotations

from typing import Annotated

import typer

from proctor.cli import answering, options
from proctor.cli.answering import Comment, Digest, Given, Name, Yes
from proctor.cli.connecting import connect
from proctor.cli.voting import Answer


def approve(
    name: Name,
    *,
    comment: Comment = "",
    arguments: Annotated[
        str | None, typer.Option("--arguments", metavar="JSON", help="Agree to the call with these arguments instead.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--answer", metavar="JSON", help="The answer that the agent could not give.")
    ] = None,
    digest: Digest = None,
    yes: Yes = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Agree to what an Approval asks. Everything about it is shown first.

    The vote is yours: the API server holds that nobody votes for another, and that you are one of those who are asked.

    [bold]Examples[/]

      kubectl proctor approve refunds-1f00ba4c0ffe -m 'seen the photos'
      kubectl proctor approve refunds-1f00ba4c0ffe --arguments '{"order_id": "O-1", "amount": 199}'
      kubectl proctor approve refunds-2c0ffee1f00d --answer '{"decision": "decline"}'

    [bold]Exit codes[/]

      0 voted · 1 it is over, or asks something else by now · 4 no such Approval · 5 you are not asked
    """
    said = Answer("Approve", comment, answering.filled_in(arguments, output))
    answering.answer(connect(kubeconfig, context, namespace), Given(name, said, digest, yes))
