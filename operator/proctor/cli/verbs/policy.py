"""`policy`: what a policy would change, before it is applied. Nothing in the cluster is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from proctor.api import names
from proctor.api.agent import Agent
from proctor.api.connector import Connector
from proctor.api.meta import Invalid
from proctor.api.policy import ClusterPolicy, Policy
from proctor.cli import dump, manifests, options, reaching
from proctor.cli.checks import documents
from proctor.cli.cluster import Cluster
from proctor.cli.connecting import connect
from proctor.cli.errors import Code, Misused
from proctor.cli.grouping import group
from proctor.cli.manifests import Document, Fault, parsed_path
from proctor.cli.reaching import Wanted
from proctor.cli.resources import AGENTS, CLUSTER_POLICIES, CONNECTORS, NAMESPACES, POLICIES
from proctor.cli.terminal import Format, Terminal
from proctor.cli.verbs.plan import refuse_if_any
from proctor.cli.views import trial
from proctor.cli.views.trial import Change, Place, Tried
from proctor.cli.wording import counted, printable
from proctor.policy import crossing
from proctor.policy.finding import Finding
from proctor.policy.selection import AnyPolicy

_DAY = timedelta(days=1)
_TASKS = 200
_READABLE = 20
_KINDS: Mapping[str, type[Policy | ClusterPolicy]] = {"Policy": Policy, "ClusterPolicy": ClusterPolicy}

app = group(
    "policy",
    "What a policy would change, before it is applied.\n\n"
    "[bold]Examples[/]\n\n"
    "  kubectl proctor policy test -f policy.yaml\n\n"
    "  kubectl proctor policy test -f policy.yaml --calls --service-account shop/web\n\n"
    "[bold]Exit codes[/]\n\n"
    "  0 nothing would be stopped · 1 a policy cannot be read, or cannot hold · 3 something would be stopped",
)


@app.callback()
def policy() -> None:
    """What a policy would change, before it is applied."""


@app.command(name="test")
def tried(
    filename: Annotated[
        list[str], typer.Option("--filename", "-f", help="A file or directory; - is standard input.", metavar="FILE")
    ],
    *,
    calls: Annotated[bool, typer.Option("--calls", help="Also your tasks' calls of the last day.")] = False,
    output: options.Output = Format.TABLE,
    service_account: options.ServiceAccount = None,
    gateway: options.GatewayUrl = None,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show what policies would change for the agents of the cluster, and with --calls for calls that were made.

    A policy of the same name gives way to the one in the file. With --calls every task counts that you may see: ask as
    the identity that sent them.

    [bold]Examples[/]

      kubectl proctor policy test -f policy.yaml
      kubectl proctor policy test -f policies/ -o json
      kubectl proctor policy test -f policy.yaml --calls --service-account shop/web

    [bold]Exit codes[/]

      0 nothing would be stopped · 1 a policy cannot be read, or cannot hold · 3 something would be stopped
    """
    cluster = connect(kubeconfig, context, namespace)
    now, terminal = datetime.now(UTC), Terminal.here()
    new, faults = _read(filename, cluster.namespace, now)
    refuse_if_any(terminal, output, faults)
    policies, places = _policies(cluster), _places(cluster, new)
    found = trial.changes(places, policies, new, now)
    ended: tuple[Tried, ...] = ()
    if calls:
        wanted = Wanted(gateway, installation, service_account)
        meant = [each.place for each in found if each.is_meant]
        ended = tuple(each for place in meant for each in _calls(cluster, place, policies, new, wanted, now))
    _tell(terminal, output, found, ended, is_asked=calls)
    stops = any(finding.blocks for each in found for finding in each.new) or bool(ended)
    raise typer.Exit(Code.NOT_SO if stops else Code.OK)


def _read(filenames: Sequence[str], namespace: str, now: datetime) -> tuple[tuple[AnyPolicy, ...], tuple[Fault, ...]]:
    """The policies of the files, or all that is wrong with them."""
    read, faults = manifests.read(filenames)
    found = [each for each in read if each.kind in _KINDS]
    if not found and not faults:
        others = ", ".join(sorted({each.kind for each in read})) or "nothing"
        hint = "kubectl proctor plan -f FILE    judges agents and Connectors"
        raise Misused(f"{', '.join(filenames)}: no Policy and no ClusterPolicy, but {others}", hint)
    faults += documents.judge(found, None).faults
    if faults:
        return (), faults
    policies = [(each, _policy(each, namespace)) for each in found]
    broken = (
        document.fault(parsed_path(field), fault)
        for document, policy in policies
        for field, fault in crossing.faults_of_policy(policy, now)
    )
    return tuple(policy for _, policy in policies), tuple(broken)


def _policy(document: Document, namespace: str) -> AnyPolicy:
    kind = _KINDS[document.kind]
    metadata = dict(document.body["metadata"])
    if kind is Policy:
        metadata.setdefault("namespace", namespace)
    return kind.parse({**document.body, "metadata": metadata})


def _policies(cluster: Cluster) -> tuple[AnyPolicy, ...]:
    own = [_live(Policy, each) for each in cluster.list(POLICIES)]
    everywhere = [_live(ClusterPolicy, each) for each in cluster.list(CLUSTER_POLICIES)]
    return tuple(each for each in (*own, *everywhere) if each is not None)


def _live(kind: type[Policy | ClusterPolicy], body: dict[str, object]) -> AnyPolicy | None:
    try:
        return kind.parse(body)
    except Invalid:
        return None


def _places(cluster: Cluster, tried: Sequence[AnyPolicy]) -> Iterable[Place]:
    spaces = {each.metadata.namespace for each in tried if isinstance(each, Policy)}
    everywhere = any(isinstance(each, ClusterPolicy) for each in tried)
    labels = {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in cluster.look(NAMESPACES).items}
    connectors: dict[str, dict[str, Connector]] = {}
    for body in cluster.list(CONNECTORS):
        found = Connector.parse(body)
        connectors.setdefault(found.metadata.namespace, {})[found.metadata.name] = found
    for body in cluster.list(AGENTS):
        agent = Agent.parse(body)
        place = agent.metadata.namespace
        if everywhere or place in spaces:
            yield Place(agent, connectors.get(place, {}), labels.get(place, {}))


def _calls(
    cluster: Cluster,
    place: Place,
    policies: Sequence[AnyPolicy],
    tried: Sequence[AnyPolicy],
    wanted: Wanted,
    now: datetime,
) -> tuple[Tried, ...]:
    metadata = place.agent.metadata
    with reaching.gateway(cluster, metadata.namespace, metadata.name, wanted) as reached:
        recent = [each for each in reached.tasks(_TASKS) if each.created_at >= now - _DAY]
        made = [(each, reached.calls(each.id)) for each in recent]
    return trial.calls(place, policies, tried, made, now)


def _tell(
    terminal: Terminal, output: Format, found: Sequence[Change], ended: Sequence[Tried], *, is_asked: bool
) -> None:
    match output:
        case Format.JSON:
            terminal.write(dump.as_json(_plain(found, ended)))
        case Format.YAML:
            terminal.write(dump.as_yaml(_plain(found, ended)))
        case Format.NAME:
            terminal.write("".join(f"{each.place.name}\n" for each in found if each.new or each.gone))
        case Format.TABLE:
            _draw(terminal, found, ended, is_asked=is_asked)


def _draw(terminal: Terminal, found: Sequence[Change], ended: Sequence[Tried], *, is_asked: bool) -> None:
    table = Table(box=None, header_style="quiet", pad_edge=False)
    for column in ("AGENT", "", "MODE", "RULE"):
        table.add_column(column, no_wrap=True)
    table.add_column("WHY", overflow="fold", min_width=_READABLE)
    for each in found:
        for sign, style, findings in (("+", "bad", each.new), ("-", "good", each.gone)):
            for finding in findings:
                mode = "Excepted" if finding.excepted_by else finding.mode
                row = (each.place.name, sign, mode, finding.rule, printable(finding.message))
                table.add_row(*(Text(text, style=style if index == 1 else "") for index, text in enumerate(row)))
    if table.row_count:
        terminal.say(table)
    meant = sum(each.is_meant for each in found)
    stopped = sum(any(finding.blocks for finding in each.new) for each in found)
    terminal.note(Text(f"{counted(meant, 'agent')} {'is' if meant == 1 else 'are'} meant; {stopped} would be stopped"))
    if not meant:
        terminal.note(Text("→ spec.selector, and of a Policy metadata.namespace, say whom it means", style="quiet"))
    for one in ended:
        said = f"{one.agent} {one.task} {one.call}: {trial.word(one.before)} → {trial.word(one.after)}"
        terminal.say(Text(printable(said)))
    if is_asked:
        terminal.note(Text(f"{len(ended)} calls of the last day would end differently"))


def _plain(found: Sequence[Change], ended: Sequence[Tried]) -> dict[str, object]:
    return {
        "agents": [
            {
                "agent": each.place.name,
                "meant": each.is_meant,
                "new": [_finding(finding) for finding in each.new],
                "gone": [_finding(finding) for finding in each.gone],
            }
            for each in found
        ],
        "calls": [
            {
                "agent": each.agent,
                "task": each.task,
                "call": each.call,
                "before": trial.word(each.before),
                "after": trial.word(each.after),
            }
            for each in ended
        ],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "policy": finding.policy,
        "rule": finding.rule,
        "mode": str(finding.mode),
        "severity": str(finding.severity),
        "message": finding.message,
        "path": finding.path or None,
        "exceptedBy": finding.excepted_by,
    }
