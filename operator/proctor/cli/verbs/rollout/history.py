"""`rollout history` and `rollout diff`: the revisions that are kept, and what tells one from another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from proctor.api import names
from proctor.api.agent import Agent
from proctor.cli import dump, observe, options
from proctor.cli.connecting import connect
from proctor.cli.draw import changes
from proctor.cli.draw.parts import text
from proctor.cli.draw.revisions import revisions
from proctor.cli.errors import Code, NotFound
from proctor.cli.resources import CONTROLLER_REVISIONS
from proctor.cli.terminal import Format, Terminal
from proctor.cli.views import agent as agents
from proctor.cli.views.agent import RevisionView
from proctor.cli.views.differences import differences
from proctor.plan import image
from proctor.plan.world import Manifest, label_of

Side = Annotated[str | None, typer.Argument(metavar="NO|HASH")]


def history(
    name: options.AgentName,
    *,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the revisions that are kept, the newest first: which serve, which were refused, which have served.

    [bold]Examples[/]

      kubectl proctor rollout history refunds
      kubectl proctor rollout history refunds -o name          the hashes alone

    [bold]Exit codes[/]

      0 listed · 4 no such agent
    """
    cluster = connect(kubeconfig, context, namespace)
    agent = observe.agent(cluster, cluster.namespace, name)
    mine = f"{names.AGENT}={name}"
    kept = agents.revisions(agent, cluster.list(CONTROLLER_REVISIONS, cluster.namespace, labelSelector=mine))
    terminal = Terminal.here()
    match output:
        case Format.JSON:
            terminal.write(dump.as_json({"revisions": kept}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"revisions": kept}))
        case Format.NAME:
            terminal.write("".join(f"{each.revision}\n" for each in kept))
        case Format.TABLE:
            served = agent.status.revision.served
            terminal.say(revisions(kept, datetime.now(UTC), terminal.out.width, served))


def diff(
    name: options.AgentName,
    before: Side = None,
    after: Side = None,
    *,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show what tells two revisions apart: instructions, model, tools and their definitions, image, limits.

    By default the stable revision and the one that is tried or was refused; without such a one, the stable revision and
    the one before it.

    [bold]Examples[/]

      kubectl proctor rollout diff refunds
      kubectl proctor rollout diff refunds 3 5

    [bold]Exit codes[/]

      0 they are the same · 3 they differ · 4 no such agent or revision
    """
    cluster = connect(kubeconfig, context, namespace)
    agent = observe.agent(cluster, cluster.namespace, name)
    mine = f"{names.AGENT}={name}"
    items = cluster.list(CONTROLLER_REVISIONS, cluster.namespace, labelSelector=mine)
    kept = agents.revisions(agent, items)
    old, new = _sides(agent, kept, before, after)
    bundles = {label_of(each, names.REVISION): each for each in items}
    found = tuple(differences(_bundle(bundles[old.revision]), _bundle(bundles[new.revision])))
    terminal = Terminal.here()
    match output:
        case Format.JSON:
            terminal.write(dump.as_json({"before": old, "after": new, "differences": found}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"before": old, "after": new, "differences": found}))
        case Format.NAME:
            terminal.write("".join(f"{each.path}\n" for each in found))
        case Format.TABLE:
            terminal.say(text(f"{_called(old)} → {_called(new)}", "head"))
            terminal.say(changes.changes(found) if found else text("they are the same", "quiet"))
    raise typer.Exit(Code.NOT_SO if found else Code.OK)


def _bundle(item: Manifest) -> dict[str, Any]:
    """What the revision is made of; the spec's fields by their own names, without `spec.` before each."""
    data = dict(item["data"])
    spec = data.pop("spec", {})
    # A tag that stood for two things makes two of one name: that they differ has to be seen.
    runtime = {**spec.get("runtime", {}), "digest": image.of_record(item).digest}
    return {**spec, "runtime": runtime, **data}


def _called(revision: RevisionView) -> str:
    role = f", {revision.role}" if revision.role else ""
    return f"{revision.number} ({revision.revision}{role})"


def _sides(
    agent: Agent, kept: tuple[RevisionView, ...], before: str | None, after: str | None
) -> tuple[RevisionView, RevisionView]:
    status = agent.status.revision
    tried = status.candidate or next(iter(status.blocked), None)
    if before is None:
        served = next((each for each in status.served if each != status.stable), None)
        before = status.stable if tried else status.previous or served
        after = tried or status.stable
    elif after is None:
        after = status.stable
    return _named(agent, kept, before), _named(agent, kept, after)


def _named(agent: Agent, kept: tuple[RevisionView, ...], wanted: str | None) -> RevisionView:
    for each in kept:
        if wanted is not None and wanted in {str(each.number), each.revision}:
            return each
    known = ", ".join(f"{each.number} ({each.revision})" for each in kept) or "none"
    what = f"revision {wanted} of {agent.metadata.name} is not kept" if wanted else "there is no other revision yet"
    raise NotFound(what, f"there are: {known}")
