"""A person's word in an upgrade. It is an annotation that the operator obeys or refuses; the spec is never written."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from proctor.api import names
from proctor.api.agent import Agent
from proctor.cli import observe, options
from proctor.cli.cluster import MERGE_PATCH, Cluster
from proctor.cli.connecting import connect
from proctor.cli.draw.parts import text
from proctor.cli.errors import CliError, Code, Misused, NotFound, TimedOut
from proctor.cli.resources import AGENTS, CONTROLLER_REVISIONS, EVENTS
from proctor.cli.terminal import Terminal
from proctor.cli.views import answers
from proctor.cli.views.rollout import numbered
from proctor.cli.wording import span

_LOOK_SECONDS = 0.5
_FIELD_MANAGER = "kubectl-proctor"
_EVENTS_SECONDS = 3.0

Wait = Annotated[
    timedelta,
    typer.Option(
        "--timeout",
        help="How long to wait for the operator's answer; 0s: not at all. Default: 30s.",
        parser=options.duration,
        metavar="DURATION",
        show_default=False,
    ),
]
_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True)
class Said:
    """A command, as it is written down on the Agent."""

    verb: str
    revision: str

    def written(self, nonce: str) -> str:
        """The annotation's value. The nonce makes the same command, given twice, two."""
        return f"{self.verb}@{self.revision}/{nonce}"


def promote(
    name: options.AgentName,
    *,
    full: Annotated[bool, typer.Option("--full", help="Past all further steps: it becomes stable.")] = False,
    timeout: Wait = _PATIENCE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Move an upgrade on to its next step, or with --full past all of them.

    It is your decision then, not that of the evidence; the record says so. A step that needs an Approval is not passed.

    [bold]Examples[/]

      kubectl proctor rollout promote refunds
      kubectl proctor rollout promote refunds --full

    [bold]Exit codes[/]

      0 done · 3 refused, or there is no upgrade · 4 no such agent · 5 denied · 6 no answer within --timeout
    """
    _say(connect(kubeconfig, context, namespace), name, "promote-full" if full else "promote", timeout)


def abort(
    name: options.AgentName,
    *,
    timeout: Wait = _PATIENCE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Withdraw an upgrade: no new task for the candidate, its tasks end, its pods go; stable goes on serving.

    [bold]Examples[/]

      kubectl proctor rollout abort refunds

    [bold]Exit codes[/]

      0 done · 3 refused, or there is no upgrade · 4 no such agent · 5 denied · 6 no answer within --timeout
    """
    _say(connect(kubeconfig, context, namespace), name, "abort", timeout)


def retry(
    name: options.AgentName,
    *,
    timeout: Wait = _PATIENCE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Try a blocked revision again. It goes on with its evidence: trying often does not make a promotion likelier.

    [bold]Examples[/]

      kubectl proctor rollout retry refunds && kubectl proctor rollout status refunds --watch

    [bold]Exit codes[/]

      0 done · 3 refused, or nothing is blocked · 4 no such agent · 5 denied · 6 no answer within --timeout
    """
    _say(connect(kubeconfig, context, namespace), name, "retry", timeout)


def pause(
    name: options.AgentName,
    *,
    timeout: Wait = _PATIENCE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Stop an upgrade where it is, at its present weight, until somebody says resume.

    [bold]Examples[/]

      kubectl proctor rollout pause refunds

    [bold]Exit codes[/]

      0 done · 3 refused, or there is no upgrade · 4 no such agent · 5 denied · 6 no answer within --timeout
    """
    _say(connect(kubeconfig, context, namespace), name, "pause", timeout)


def resume(
    name: options.AgentName,
    *,
    timeout: Wait = _PATIENCE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Let a paused or held upgrade go on at its step.

    [bold]Examples[/]

      kubectl proctor rollout resume refunds

    [bold]Exit codes[/]

      0 done · 3 refused, or there is no upgrade · 4 no such agent · 5 denied · 6 no answer within --timeout
    """
    _say(connect(kubeconfig, context, namespace), name, "resume", timeout)


def undo(
    name: options.AgentName,
    *,
    to_revision: Annotated[
        str | None,
        typer.Option(
            "--to-revision",
            help="The number of `rollout history`, or a revision's hash; default: the stable revision before this one.",
            metavar="NO|HASH",
        ),
    ] = None,
    timeout: Wait = _PATIENCE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Go back to an older revision, the whole of it: instructions, model, tools, image, limits.

    The spec stays as it is, so what a repository declares and what serves differ: status says so, and a change of the
    spec ends it. Within spec.rollout.rollback.window it goes back at once, else through the steps.

    [bold]Examples[/]

      kubectl proctor rollout undo refunds
      kubectl proctor rollout undo refunds --to-revision 3

    [bold]Exit codes[/]

      0 done · 3 refused · 4 no such agent or revision · 5 denied · 6 no answer within --timeout
    """
    cluster = connect(kubeconfig, context, namespace)
    agent = observe.agent(cluster, cluster.namespace, name)
    _send(cluster, agent, Said("undo", _older(cluster, agent, to_revision)), timeout)


def _older(cluster: Cluster, agent: Agent, wanted: str | None) -> str:
    revision = agent.status.revision
    if wanted is None:
        before = revision.previous or next((each for each in revision.served if each != revision.stable), None)
        if before is None:
            raise Misused("no other revision has served", f"kubectl proctor rollout history {agent.metadata.name}")
        return before
    mine = f"{names.AGENT}={agent.metadata.name}"
    kept = numbered(cluster.list(CONTROLLER_REVISIONS, agent.metadata.namespace, labelSelector=mine))
    found = kept.get(int(wanted)) if wanted.isdigit() and int(wanted) in kept else None
    found = found or next((each for each in kept.values() if each == wanted), None)
    if found is None:
        known = ", ".join(f"{number} ({each})" for number, each in sorted(kept.items())) or "none"
        raise NotFound(f"revision {wanted} of {agent.metadata.name} is not kept", f"there are: {known}")
    return found


def _say(cluster: Cluster, name: str, verb: str, timeout: timedelta) -> None:
    agent = observe.agent(cluster, cluster.namespace, name)
    revision = agent.status.revision
    target = next(iter(revision.blocked), None) if verb == "retry" else revision.candidate
    if target is None:
        place = f"{agent.metadata.namespace}/{name}"
        what = "no revision is blocked" if verb == "retry" else "there is no upgrade under way"
        terminal = Terminal.here()
        terminal.note(Text.assemble(("✗ ", "bad"), text(f"{place}: {what}")))
        raise typer.Exit(Code.NOT_SO)
    _send(cluster, agent, Said(verb, target), timeout)


def _send(cluster: Cluster, agent: Agent, said: Said, timeout: timedelta) -> None:
    namespace, name = agent.metadata.namespace, agent.metadata.name
    value, begun = said.written(secrets.token_hex(4)), datetime.now(UTC)
    body = {"metadata": {"annotations": {names.COMMAND: value}}}
    cluster.send(
        "PATCH",
        AGENTS.path(namespace, name),
        body,
        f"Agent {namespace}/{name}",
        content_type=MERGE_PATCH,
        fieldManager=_FIELD_MANAGER,
    )
    terminal = Terminal.here()
    if not timeout:
        terminal.say(text(f"{value} was said; the operator has not been waited for"))
        return
    _await(cluster, agent, value, timeout)
    answer = _answer(cluster, agent, begun)
    if answer is None:
        after = observe.agent(cluster, namespace, name).status.rollout
        terminal.say(
            Text.assemble(("● ", "good"), text(f"{said.verb}: heard; {after.phase if after else 'no rollout'}"))
        )
        return
    terminal.say(Text.assemble(("✗ ", "bad") if answer.is_refusal else ("● ", "good"), text(answer.message)))
    raise typer.Exit(Code.NOT_SO if answer.is_refusal else Code.OK)


def _await(cluster: Cluster, agent: Agent, value: str, timeout: timedelta) -> None:
    deadline = time.monotonic() + timeout.total_seconds()
    while time.monotonic() < deadline:
        now = observe.agent(cluster, agent.metadata.namespace, agent.metadata.name)
        if now.status.last_handled_command == value:
            return
        if now.metadata.annotations.get(names.COMMAND) != value:
            raise CliError(f"somebody else said {now.metadata.annotations.get(names.COMMAND)} before it was heard")
        time.sleep(_LOOK_SECONDS)
    where = f"kubectl get pods -n {names.INSTALL_NAMESPACE}    is the operator there?"
    raise TimedOut(f"the operator has not answered {value} within {span(timeout)}; it will when it is back", where)


def _answer(cluster: Cluster, agent: Agent, begun: datetime) -> answers.Answer | None:
    """What the operator said to it. Events come a moment after the status, or not at all: then the status must do."""
    deadline = time.monotonic() + _EVENTS_SECONDS
    while time.monotonic() < deadline:
        found = cluster.look(EVENTS, agent.metadata.namespace)
        answer = answers.to_command(found.items, agent.metadata.name, begun)
        if answer is not None or found.withheld:
            return answer
        time.sleep(_LOOK_SECONDS)
    return None
