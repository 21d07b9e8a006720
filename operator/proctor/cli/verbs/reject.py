"""`reject`: a person's answer to an Approval."""

from __future__ import annotations

from proctor.cli import answering, options
from proctor.cli.answering import Comment, Digest, Given, Name, Yes
from proctor.cli.connecting import connect
from proctor.cli.voting import Answer


def reject(
    name: Name,
    *,
    comment: Comment = "",
    digest: Digest = None,
    yes: Yes = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Refuse what an Approval asks. The agent is told, with your comment, and may go another way.

    [bold]Examples[/]

      kubectl proctor reject refunds-1f00ba4c0ffe -m 'ask for a receipt first'

    [bold]Exit codes[/]

      0 voted · 1 it is over, or asks something else by now · 4 no such Approval · 5 you are not asked
    """
    given = Given(name, Answer("Reject", comment), digest, yes)
    answering.answer(connect(kubeconfig, context, namespace), given)
