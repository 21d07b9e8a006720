"""`kubectl proctor`: the verbs, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from proctor.cli.errors import CliError
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


class Verbs(TyperGroup):
    """Loads the verb that is asked for alone; expected failures end in words, never in a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the parent's signature
        """The names of the verbs."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the parent's signature
        """The verb; None if there is none of that name."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"proctor.cli.verbs.{cmd_name}")
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        one = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        one.command(name=cmd_name, context_settings={"help_option_names": ["-h", "--help"]})(getattr(module, cmd_name))
        return typer.main.get_command(one)

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


app = typer.Typer(
    name=_NAME,
    cls=Verbs,
    help="See, ask and understand the AI agents that proctor runs in this cluster.",
    epilog="Exit codes of every verb: 0 yes · 1 error · 2 usage · 3 no, not so · 4 not found · 5 denied · 6 timeout",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """See, ask and understand the AI agents that proctor runs in this cluster."""


def main() -> None:
    """The program `kubectl-proctor`; kubectl finds it by that name and runs it as `kubectl proctor`."""
    app(prog_name=_NAME)


if __name__ == "__main__":
    main()
