"""`explain`: what a kind or a field means; or why an agent is as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from proctor.api import kinds, names
from proctor.cli import dump, examples, observe, options
from proctor.cli.cluster import Cluster
from proctor.cli.connecting import connect
from proctor.cli.draw import lexicon as draw_lexicon
from proctor.cli.draw import why as draw_why
from proctor.cli.errors import Code, Misused, NotFound
from proctor.cli.resources import PODS
from proctor.cli.terminal import Format, Terminal
from proctor.cli.views import lexicon, why
from proctor.cli.views.lexicon import UnknownWord
from proctor.cli.views.tone import Tone

_OPERATOR = f"app.kubernetes.io/name={names.OPERATOR}"


def explain(
    what: Annotated[
        str | None, typer.Argument(help="A kind, a field of one, or agent/NAME.", metavar="KIND[.FIELD…] | agent/NAME")
    ] = None,
    *,
    output: options.Output = Format.TABLE,
    installation: options.Installation = names.INSTALL_NAMESPACE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Explain a kind or a field; or why an agent is in the state that it is in.

    Of a field: its type, default, bounds and rules, with an example. Of an agent: the chain of causes, what pods and
    Events say, and the next step a person should take.

    [bold]Examples[/]

      kubectl proctor explain                                 all kinds
      kubectl proctor explain agent.spec.rollout
      kubectl proctor explain connector.spec.tools.effect
      kubectl proctor explain agent/refunds -n support        why is it not ready?

    [bold]Exit codes[/]

      0 explained; of agent/NAME: it is ready · 3 of agent/NAME: it is not · 4 there is no such kind, field or agent
    """
    terminal = Terminal.here()
    if what is None:
        _kinds(terminal, output)
    elif "/" in what:
        cluster = connect(kubeconfig, context, namespace)
        raise typer.Exit(_why(terminal, output, cluster, _agent_of(what), installation))
    else:
        _field(terminal, output, what)


def _kinds(terminal: Terminal, output: Format) -> None:
    found = lexicon.all_kinds()
    match output:
        case Format.JSON:
            terminal.write(dump.as_json({"kinds": found}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"kinds": found}))
        case Format.NAME:
            terminal.write("".join(f"{each.name.lower()}\n" for each in found))
        case Format.TABLE:
            terminal.say(draw_lexicon.kinds(found, terminal.out.width))


def _field(terminal: Terminal, output: Format, what: str) -> None:
    try:
        told = lexicon.explain(what)
    except UnknownWord as unknown:
        raise NotFound(str(unknown), "kubectl proctor explain    lists the kinds") from unknown
    match output:
        case Format.JSON:
            terminal.write(dump.as_json(told))
        case Format.YAML:
            terminal.write(dump.as_yaml(told))
        case Format.NAME:
            terminal.write("".join(f"{told.path}.{each.name}\n" for each in told.fields))
        case Format.TABLE:
            kind, *path = told.path.split(".")
            example = examples.at(kinds.named(kind), tuple(path))
            terminal.say(draw_lexicon.explanation(told, example, min(terminal.out.width, 120)))


def _agent_of(what: str) -> str:
    kind, _, name = what.partition("/")
    if kind.lower() not in {kinds.AGENT.singular, kinds.AGENT.plural, kinds.AGENT.short} or not name:
        raise Misused(f"{what}: only an agent's state can be explained", "kubectl proctor explain agent/NAME")
    return name


def _why(terminal: Terminal, output: Format, cluster: Cluster, name: str, installation: str) -> Code:
    now = datetime.now(UTC)
    facts = observe.agent_facts(cluster, cluster.namespace, name)
    told = why.story(facts, cluster.look(PODS, installation, labelSelector=_OPERATOR), now)
    match output:
        case Format.JSON:
            terminal.write(dump.as_json(told))
        case Format.YAML:
            terminal.write(dump.as_yaml(told))
        case Format.NAME:
            terminal.write("".join(f"{each.title}\n" for each in told.causes))
        case Format.TABLE:
            terminal.say(draw_why.story(told, now, terminal.out.width))
    return Code.OK if told.tone is Tone.GOOD else Code.NOT_SO
