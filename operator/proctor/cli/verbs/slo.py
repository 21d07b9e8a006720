"""`slo`: objectives in the forms of others: OpenSLO, rules for Prometheus. Nothing in the cluster is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from proctor.api.agent import Agent
from proctor.api.meta import Invalid
from proctor.api.objectives import Objective
from proctor.cli import dump, manifests, options
from proctor.cli.connecting import connect
from proctor.cli.errors import CliError, Misused
from proctor.cli.grouping import group
from proctor.cli.resources import AGENTS
from proctor.cli.terminal import Terminal
from proctor.slo import openslo, prometheus

app = group(
    "slo",
    "Objectives in the forms of other tools: OpenSLO documents, rules for Prometheus.\n\n"
    "[bold]Examples[/]\n\n"
    "  kubectl proctor slo export refunds -n support --openslo\n\n"
    "  kubectl proctor slo export -f agent.yaml --prometheus > rules.yaml\n\n"
    "  kubectl proctor slo import -f openslo.yaml --indicator TaskSuccess\n\n"
    "[bold]Exit codes[/]\n\n"
    "  0 written to standard output · 1 a document says what an Agent cannot say · 4 there is no such agent",
)

Files = Annotated[
    list[str] | None, typer.Option("--filename", "-f", help="A file; - is standard input.", metavar="FILE")
]


@app.command(name="export")
def export(
    name: Annotated[str | None, typer.Argument(help="The agent; or a file with -f.", metavar="NAME")] = None,
    *,
    filename: Files = None,
    as_openslo: Annotated[bool, typer.Option("--openslo", help="OpenSLO v1 documents.")] = False,
    as_rules: Annotated[bool, typer.Option("--prometheus", help="A rule file for Prometheus.")] = False,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Write an agent's objectives as OpenSLO documents, or as Prometheus' recording and alerting rules.

    [bold]Examples[/]

      kubectl proctor slo export refunds -n support --openslo
      kubectl proctor slo export -f agent.yaml --prometheus > rules.yaml && promtool check rules rules.yaml

    [bold]Exit codes[/]

      0 written · 2 usage · 4 there is no such agent
    """
    if as_openslo == as_rules:
        raise Misused("say either --openslo or --prometheus")
    if (name is None) == (not filename):
        raise Misused("say either the NAME of an agent or -f FILE")
    if filename:
        agents = [_read(each.body) for each in _documents(filename) if each.kind == AGENTS.kind]
    else:
        cluster = connect(kubeconfig, context, namespace)
        agents = [_read(cluster.get(AGENTS, cluster.namespace, str(name)))]
    Terminal.here().write(_as_openslo(agents) if as_openslo else _as_rules(agents))


@app.command(name="import")
def import_(
    *,
    filename: Files = None,
    indicator: Annotated[
        str | None, typer.Option(help="What a document without one of ours counts.", metavar="TYPE[=THRESHOLD]")
    ] = None,
) -> None:
    """Read OpenSLO documents, and write them as the `slos` of an Agent's spec, to be put into its manifest.

    [bold]Examples[/]

      kubectl proctor slo import -f openslo.yaml
      kubectl proctor slo import -f openslo.yaml --indicator Latency=10s

    [bold]Exit codes[/]

      0 written · 1 a document says what an Agent cannot say · 2 usage
    """
    if not filename:
        raise Misused("say -f FILE")
    found = [_imported(each, _indicator(indicator)) for each in _documents(filename) if each.kind == "SLO"]
    if not found:
        raise CliError("there is no SLO of openslo/v1 in it")
    Terminal.here().write(dump.as_yaml({"slos": found}))


def _documents(names: Iterable[str]) -> tuple[manifests.Document, ...]:
    documents, faults = manifests.read(names)
    if faults:
        raise Misused(f"{faults[0].place}: {faults[0].message}")
    return documents


def _read(body: dict[str, Any]) -> Agent:
    metadata = {"namespace": "default", **body.get("metadata", {})}
    try:
        return Agent.parse({**body, "metadata": metadata})
    except Invalid as exc:
        raise CliError(
            f"Agent {metadata.get('name')}: {exc}", "kubectl proctor plan -f FILE --offline says more"
        ) from exc


def _as_openslo(agents: Iterable[Agent]) -> str:
    made = (
        openslo.exported(agent.metadata.namespace, agent.metadata.name, each)
        for agent in agents
        for each in agent.spec.slos
    )
    return "---\n".join(dump.as_yaml(each) for each in made)


def _as_rules(agents: Iterable[Agent]) -> str:
    groups = [
        group
        for agent in agents
        for group in prometheus.groups(agent.metadata.namespace, agent.metadata.name, agent.spec.slos)
    ]
    return dump.as_yaml({"groups": groups})


def _indicator(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    type_, _, threshold = text.partition("=")
    return {"type": type_, **({"threshold": threshold} if threshold else {})}


def _imported(document: manifests.Document, otherwise: dict[str, Any] | None) -> dict[str, Any]:
    try:
        item = openslo.imported(document.body, otherwise)
        Objective.model_validate(item)
    except openslo.Unusable as exc:
        raise CliError(f"{document.place()}: {document.subject}: {exc}") from exc
    except ValueError as exc:
        raise CliError(f"{document.place()}: {document.subject} is no objective of an Agent: {exc}") from exc
    return item
