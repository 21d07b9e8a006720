"""`rollout exam`: whether a suite can be used, before anybody is examined by it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Group, RenderableType
from rich.text import Text

from proctor.cli import dump, options
from proctor.cli.draw.parts import Column, table, text
from proctor.cli.errors import Code, Misused
from proctor.cli.terminal import Format, Terminal
from proctor.cli.wording import counted
from proctor.delivery.exam import Suite, SuiteError, parse, text_of, trials


def exam(
    file: Annotated[str, typer.Argument(help="A suite, or a manifest with a ConfigMap of one; - for standard input.")],
    *,
    output: options.Output = Format.TABLE,
) -> None:
    """Read exam suites as the operator would: every mistake at once, each with its case and field. Needs no cluster.

    [bold]Examples[/]

      kubectl proctor rollout exam suite.yaml
      kubectl proctor rollout exam manifests/samples/refunds-upgrade/evals.yaml
      kubectl get configmap refunds-evals -o yaml | kubectl proctor rollout exam -

    [bold]Exit codes[/]

      0 it can be used · 1 it cannot, and why · 2 there is no such file
    """
    terminal = Terminal.here()
    found = [(where, _suite(text_)) for where, text_ in _texts(file)]
    faults = [(where, each) for where, each in found if isinstance(each, SuiteError)]
    for where, error in faults:
        for problem in error.problems:
            terminal.note(Text.assemble(("✗ ", "bad"), text(f"{where}: {problem}")))
    suites = [each for _, each in found if isinstance(each, Suite)]
    _show(terminal, output, suites)
    raise typer.Exit(Code.ERROR if faults else Code.OK)


def _suite(words: str | SuiteError) -> Suite | SuiteError:
    try:
        return words if isinstance(words, SuiteError) else parse(words)
    except SuiteError as error:
        return error


def _texts(file: str) -> list[tuple[str, str | SuiteError]]:
    """The suites in a file: itself, or those of its ConfigMaps."""
    try:
        words = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} cannot be read: {error}") from error
    try:
        maps = [each for each in yaml.safe_load_all(words) if _is_config_map(each)]
    except (yaml.YAMLError, RecursionError):
        maps = []
    return [(each["metadata"]["name"], _of_map(each)) for each in maps] or [(file, words)]


def _is_config_map(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.get("kind") == "ConfigMap"
        and "name" in (document.get("metadata") or {})
    )


def _of_map(document: dict[str, Any]) -> str | SuiteError:
    try:
        return text_of(document.get("data") or {})
    except SuiteError as error:
        return error


def _show(terminal: Terminal, output: Format, suites: list[Suite]) -> None:
    match output:
        case Format.JSON:
            terminal.write(dump.as_json({"suites": suites}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"suites": suites}))
        case Format.NAME:
            terminal.write("".join(f"{case.name}\n" for each in suites for case in each.cases))
        case Format.TABLE:
            for each in suites:
                terminal.say(_drawn(each, terminal.out.width))


def _drawn(suite: Suite, width: int) -> RenderableType:
    columns = (Column("CASE"), Column("ASKED", is_number=True), Column("MUST PASS", may_break=True))
    lines = (
        [
            text(case.name),
            text(f"{case.repeats}x"),
            text(", ".join(type(check).__name__ for check in case.checks) or "Succeeded, nothing else", "quiet"),
        ]
        for case in suite.cases
    )
    head = f"{suite.name}: {counted(len(suite.cases), 'case')}, {counted(len(trials(suite)), 'trial')}"
    return Group(Text.assemble(("● ", "good"), text(head)), table(columns, lines, width))
