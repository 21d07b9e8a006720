"""`plan`: what would be done if these manifests were applied. Touches nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from proctor.api import names
from proctor.cli import dump, manifests, options, planning
from proctor.cli.checks import documents
from proctor.cli.connecting import connect
from proctor.cli.draw import plan as draw
from proctor.cli.errors import CliError, Code, Misused
from proctor.cli.manifests import Fault
from proctor.cli.surroundings import Surroundings, needs_cluster
from proctor.cli.terminal import Format, Terminal
from proctor.cli.views.changeset import ChangeSet
from proctor.cli.wording import counted


def plan(
    filename: Annotated[
        list[str] | None,
        typer.Option("--filename", "-f", help="A file, a directory, or - for standard input.", metavar="FILE"),
    ] = None,
    *,
    kustomize: Annotated[
        Path | None, typer.Option("--kustomize", "-k", help="A directory for kubectl kustomize.", metavar="DIR")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no cluster: what the files do not hold does not exist.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="An obstacle is an error, too: exit code 1.")] = False,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show what proctor would do if these manifests were applied, touching nothing.

    The manifests are checked as strictly as by the API server, with file and line. Then the operator's own planner is
    asked, in this program: is there a new revision and why, which objects come, change and go, what stands in the way.

    [bold]Examples[/]

      kubectl proctor plan -f agent.yaml
      kubectl proctor plan -k overlays/production
      helm template agents | kubectl proctor plan -f -
      kubectl proctor plan -f deploy/ --offline --strict      in a pull request, without a cluster

    [bold]Exit codes[/]

      0 nothing would change · 3 something would · 1 a manifest is invalid, or (--strict) would stall
    """
    terminal = Terminal.here()
    now = datetime.now(UTC)
    if not filename and not kustomize:
        raise Misused("plan: manifests are needed", "kubectl proctor plan -f FILE", "kubectl proctor plan -k DIRECTORY")
    read, faults = manifests.read(filename or (), kustomize)
    verdict = documents.judge(read, namespace)
    refuse_if_any(terminal, output, (*faults, *verdict.faults))
    if not read:
        raise Misused(
            f"there are no manifests in {', '.join((*(filename or ()), *([str(kustomize)] if kustomize else ())))}"
        )
    if offline:
        change_set = planning.offline(read, namespace or "default", now)
        if verdict.unasked:
            unasked = counted(verdict.unasked, "rule")
            terminal.note(Text(f"▲ {unasked} of the kinds can be asked of the API server alone: not checked", "warn"))
    else:
        change_set = _online(
            terminal, output, read, Surroundings(connect(kubeconfig, context, namespace), installation)
        )
    _show(terminal, output, change_set)
    raise typer.Exit(_code(change_set, is_strict=strict))


def _online(
    terminal: Terminal, output: Format, read: tuple[manifests.Document, ...], surroundings: Surroundings
) -> ChangeSet:
    try:
        change_set = planning.online(read, surroundings, datetime.now(UTC))
    except CliError as error:
        raise needs_cluster(error) from error
    refuse_if_any(terminal, output, tuple(surroundings.faults))
    if change_set is None:
        raise CliError("the API server refused the manifests without saying why")
    return change_set


def refuse_if_any(terminal: Terminal, output: Format, faults: tuple[Fault, ...]) -> None:
    """Show the faults of manifests, each with its place, and exit; go on if there are none."""
    if not faults:
        return
    if output is Format.JSON:
        terminal.write(dump.as_json({"faults": faults}))
    elif output is Format.YAML:
        terminal.write(dump.as_yaml({"faults": faults}))
    else:
        terminal.note(draw.faults(faults))
    raise typer.Exit(Code.ERROR)


def _show(terminal: Terminal, output: Format, change_set: ChangeSet) -> None:
    match output:
        case Format.JSON:
            terminal.write(dump.as_json(change_set))
        case Format.YAML:
            terminal.write(dump.as_yaml(change_set))
        case Format.NAME:
            changed = [each for each in change_set.manifests if each.state != "same"]
            terminal.write("".join(f"{each.kind.lower()}.{names.GROUP}/{each.name}\n" for each in changed))
        case Format.TABLE:
            terminal.say(draw.plan(change_set))


def _code(change_set: ChangeSet, *, is_strict: bool) -> Code:
    agents = [each.agent for each in change_set.manifests if each.agent] + list(change_set.affected)
    if is_strict and any(each.obstacles for each in agents):
        return Code.ERROR
    return Code.NOT_SO if change_set.changes_something else Code.OK
