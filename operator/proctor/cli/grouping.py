"""How verbs are grouped, and how each of them behaves; the module of a verb is loaded only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperGroup

_SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}


class Lazy(TyperGroup):
    """Loads the verb that is asked for alone: a help text must not wait for what it does not show."""

    modules: ClassVar[Mapping[str, str]] = {}
    """By verb, in the order in which they are listed: the module of the function of that name, or of a group `app`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the parent's signature
        """The names of the verbs."""
        return list(self.modules)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the parent's signature
        """The verb; None if there is none of that name."""
        if cmd_name not in self.modules:
            return None
        module = importlib.import_module(self.modules[cmd_name])
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        return _command(cmd_name, getattr(module, cmd_name))


def group(name: str, told: str, verbs: type[TyperGroup] = TyperGroup, epilog: str | None = None) -> typer.Typer:
    """A group of verbs with this help. Errors are not made pretty: expected ones are told in words, others are bugs."""
    return typer.Typer(
        name=name,
        cls=verbs,
        help=told,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )


def _command(name: str, function: Callable[..., Any]) -> Any:
    one = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    one.command(name=name, context_settings=_SETTINGS)(function)
    return typer.main.get_command(one)
