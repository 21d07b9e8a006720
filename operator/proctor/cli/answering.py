"""What `approve` and `reject` have in common: the question is shown whole, and only then answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from proctor.api.approval import Approval
from proctor.cli import voting
from proctor.cli.cluster import Cluster
from proctor.cli.draw import approval as draw
from proctor.cli.errors import CliError, Misused
from proctor.cli.terminal import Terminal
from proctor.cli.voting import Answer
from proctor.cli.wording import printable

Name = Annotated[str, typer.Argument(metavar="NAME", help="The Approval.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Why; the agent and the record are told.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again. Needs --digest, to say what was looked at.")]
Digest = Annotated[
    str | None,
    typer.Option("--digest", metavar="SHA256", help="Answer only if this is what is asked: the digest that was shown."),
]


_EXAMPLE = "in single quotes, for the shell: '{\"amount\": 199}'"


@dataclass(frozen=True)
class Given:
    """What the command line says."""

    name: str
    answer: Answer
    digest: str | None
    is_sure: bool


def answer(cluster: Cluster, given: Given) -> None:
    """Show the question, make sure, vote. Raises CliError when it is not what was looked at."""
    if given.is_sure and given.digest is None:
        hint = f"kubectl proctor approvals {given.name} -n {cluster.namespace}    shows it"
        raise Misused("--yes needs --digest: say which question you have looked at", hint)
    terminal, now = Terminal.here(), datetime.now(UTC)
    found = voting.question(cluster, cluster.namespace, given.name)
    asked = found.spec.subject.digest
    if given.digest is not None and asked not in {given.digest, f"sha256:{given.digest}"}:
        said = f"--digest {given.digest} is not what {given.name} asks: its digest is {asked}"
        raise CliError(printable(said), voting.shown_by(found))
    if left := _left_out(found, given.answer):
        terminal.note(Text(f"Left out      {left}: --arguments are all of the call's", "warn"))
    if not given.is_sure:
        terminal.note(draw.whole(found, voting.effect_of(cluster, found), now))
        if given.answer.filled is not None:
            terminal.note(Text(f"Filled in     {printable(json.dumps(given.answer.filled))}", "warn"))
        voting.check(found, given.answer, now)
        typer.confirm(f"{given.answer.decision}?", abort=True, err=True)
    user = voting.vote(cluster, found, given.answer, now)
    terminal.note(Text(f"{given.name}: {given.answer.decision} by {printable(user)}", "good"))


def _left_out(asked: Approval, said: Answer) -> str:
    """The arguments that the call has and the person's have not: theirs take the place of all."""
    call, arguments = asked.spec.subject.tool_call, (said.filled or {}).get("arguments")
    missing = call.arguments.keys() - arguments.keys() if call is not None and arguments is not None else ()
    return printable(", ".join(sorted(missing)))


def filled_in(arguments: str | None, output: str | None) -> dict[str, Any] | None:
    """What was typed for the agent's arguments or for its output. Raises Misused unless it is JSON, and one of both."""
    if arguments is not None and output is not None:
        raise Misused("--arguments are for a call, --answer is for a question: give one of them")
    if arguments is not None:
        value = _json("--arguments", arguments)
        if not isinstance(value, dict):
            raise Misused("--arguments is not a JSON object", _EXAMPLE)
        return {"arguments": value}
    return None if output is None else {"output": _json("--answer", output)}


def _json(option: str, typed: str) -> Any:
    try:
        return json.loads(typed)
    except ValueError as exc:
        raise Misused(f"{option} is not JSON: {exc}", _EXAMPLE) from exc
