"""`kubectl proctor`: the verbs, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

from typing import Any, ClassVar

import typer
from rich.text import Text

from proctor.cli.errors import CliError
from proctor.cli.grouping import Lazy, group
from proctor.cli.terminal import Terminal
from proctor.cli.wording import printable

_NAME = "kubectl proctor"
VERBS = (
    "status",
    "explain",
    "invoke",
    "tasks",
    "resolve",
    "approvals",
    "approve",
    "reject",
    "logs",
    "plan",
    "rollout",
    "slo",
    "policy",
    "audit",
)
"""In the order of a day's work; each is the function, or the `app`, of the module of that name in `verbs`."""


class Verbs(Lazy):
    """Expected failures end in words, never in a traceback."""

    modules: ClassVar = {verb: f"proctor.cli.verbs.{verb}" for verb in VERBS}

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. What it raises as a CliError is told on standard error."""
        try:
            return super().invoke(ctx)
        except CliError as error:
            tell(error)
            raise typer.Exit(error.code) from error


def tell(error: CliError) -> None:
    """The error's message and its hints."""
    terminal = Terminal.here()
    lines = Text.assemble(("error: ", "bold bad"), printable(error.message))
    for hint in error.hints:
        lines.append_text(Text.assemble(("\n  → ", "quiet"), printable(hint)))
    terminal.note(lines)


app = group(
    _NAME,
    "See, ask and understand the AI agents that proctor runs in this cluster.",
    Verbs,
    "Exit codes of every verb: 0 yes · 1 error · 2 usage · 3 no, not so · 4 not found · 5 denied · 6 timeout",
)


@app.callback()
def _root() -> None:
    """See, ask and understand the AI agents that proctor runs in this cluster."""


def main() -> None:
    """The program `kubectl-proctor`; kubectl finds it by that name and runs it as `kubectl proctor`."""
    app(prog_name=_NAME)


if __name__ == "__main__":
    main()
