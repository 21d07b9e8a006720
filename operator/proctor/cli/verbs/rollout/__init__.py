"""`rollout`: how a change becomes what serves, and a person's word in it. The spec is never written."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

_MODULES = {
    "status": "status",
    "promote": "commands",
    "abort": "commands",
    "retry": "commands",
    "pause": "commands",
    "resume": "commands",
    "undo": "commands",
    "history": "history",
    "diff": "history",
    "simulate": "simulate",
    "exam": "exam",
}
VERBS = tuple(_MODULES)
"""In the order of a day's work."""


class Verbs(TyperGroup):
    """Loads the verb that is asked for alone."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the parent's signature
        """The names of the verbs."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the parent's signature
        """The verb; None if there is none of that name."""
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"proctor.cli.verbs.rollout.{_MODULES[cmd_name]}")
        one = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        one.command(name=cmd_name, context_settings={"help_option_names": ["-h", "--help"]})(getattr(module, cmd_name))
        return typer.main.get_command(one)


app = typer.Typer(
    name="rollout",
    cls=Verbs,
    help="See upgrades, and decide on them: promote, abort, retry, go back.\n\n"
    "[bold]Examples[/]\n\n"
    "  kubectl proctor rollout status refunds --watch\n\n"
    "  kubectl proctor rollout abort refunds\n\n"
    "  kubectl proctor rollout undo refunds --to-revision 3\n\n"
    "[bold]Exit codes[/]\n\n"
    "  of status: 0 settled or promoted · 3 rolled back, failed or aborted · 7 under way · 8 a person is needed; "
    "of the commands: 0 done · 3 refused",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def rollout() -> None:
    """See upgrades, and decide on them: promote, abort, retry, go back."""
