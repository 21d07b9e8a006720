"""`rollout simulate`: what an upgrade will cost in tasks and errors, before it is begun."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from proctor.api.agent import Agent
from proctor.cli import dump, observe, options
from proctor.cli.connecting import connect
from proctor.cli.draw.parts import Column, table, text
from proctor.cli.errors import Misused
from proctor.cli.terminal import Format, Terminal
from proctor.delivery.evidence.power import Forecast, Plan, Stage, forecast

_MIN_TASKS = 20
_SEED = 20_260_301
"""Fixed: the same question has the same answer."""


@dataclass(frozen=True)
class Given:
    """What was said on the command line; None where it was not."""

    margin: float | None
    weights: tuple[float, ...]
    alpha: float | None
    beta: float | None
    min_tasks: int | None
    max_tasks: int | None
    step_margin: float | None


def simulate(
    name: Annotated[
        str | None, typer.Argument(help="Take steps and margins of this agent; without it, no cluster is needed.")
    ] = None,
    *,
    base_rate: Annotated[float, typer.Option("--base-rate", help="The share of bad tasks of stable.")] = 0.05,
    worse: Annotated[float | None, typer.Option("--worse", help="The share of bad tasks of a bad candidate.")] = None,
    margin: Annotated[float | None, typer.Option("--margin", help="By how much it may be worse.")] = None,
    weights: Annotated[str, typer.Option("--weights", help="Percent, step by step, such as 10,25,50.")] = "",
    alpha: Annotated[float | None, typer.Option("--alpha", help="Accepted chance of a false rollback.")] = None,
    beta: Annotated[float | None, typer.Option("--beta", help="Accepted chance of a false promotion.")] = None,
    min_tasks: Annotated[int | None, typer.Option("--min-tasks", help="Tasks of the candidate at each weight.")] = None,
    max_tasks: Annotated[int | None, typer.Option("--max-tasks", help="Tasks of both after which it ends.")] = None,
    step_margin: Annotated[
        float | None, typer.Option("--step-margin", help="By how much it may be worse when a weight is raised.")
    ] = None,
    runs: Annotated[int, typer.Option("--runs", help="Upgrades to play through for each line.", min=10)] = 100,
    output: options.Output = Format.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Play upgrades through: how many tasks a verdict takes, and what a bad candidate costs until it is caught.

    A small margin is dear: halving it takes about four times the tasks. The tests and their rules are those that the
    operator uses (docs/evidence.md); times of day, pauses, approvals and exams are not played.

    [bold]Examples[/]

      kubectl proctor rollout simulate --base-rate 0.05 --margin 0.10 --weights 10,50
      kubectl proctor rollout simulate refunds --base-rate 0.02

    [bold]Exit codes[/]

      0 simulated · 2 numbers that make no upgrade · 4 no such agent
    """
    given = Given(margin, _shares(weights), alpha, beta, min_tasks, max_tasks, step_margin)
    agent = observe.agent(cluster := connect(kubeconfig, context, namespace), cluster.namespace, name) if name else None
    plan = _plan(given, agent)
    if not 0 <= base_rate < 1:
        raise Misused(f"--base-rate {base_rate} is no share: give a number from 0 to 1")
    chance = Random(_SEED)  # noqa: S311 - a simulation
    candidates = (base_rate, min(base_rate + plan.margin, 1.0), worse or min(base_rate + 5 * plan.margin, 1.0))
    found = tuple(forecast(plan, base_rate, each, runs, chance.random) for each in candidates)
    terminal = Terminal.here()
    match output:
        case Format.JSON:
            terminal.write(dump.as_json({"plan": plan, "forecasts": found}))
        case Format.YAML:
            terminal.write(dump.as_yaml({"plan": plan, "forecasts": found}))
        case Format.NAME:
            raise Misused("rollout simulate: there are no names to write")
        case Format.TABLE:
            terminal.say(_drawn(plan, found, terminal.out.width))


def _shares(words: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) / 100 for each in words.split(",") if each.strip())
    except ValueError as wrong:
        raise Misused(f"--weights {words}: numbers with commas between them are needed, such as 10,25,50") from wrong


def _plan(given: Given, agent: Agent | None) -> Plan:
    rules = agent.spec.rollout if agent else None
    stages = tuple(Stage(share, given.min_tasks or _MIN_TASKS) for share in given.weights)
    if rules and not stages:
        stages = tuple(
            Stage(step.weight / 100, given.min_tasks or (step.until.min_tasks if step.until else _MIN_TASKS))
            for step in rules.steps
            if step.weight is not None and step.weight < 100  # noqa: PLR2004 - at 100 % nothing is compared
        )
    analysis = rules.analysis if rules else None
    margins = [float(each.margin) for each in analysis.metrics] if analysis else []
    try:
        return Plan(
            stages or (() if agent else (Stage(0.1, given.min_tasks or _MIN_TASKS), Stage(0.5, _MIN_TASKS))),
            given.margin or min(margins, default=0.10),
            given.alpha or (float(analysis.alpha) if analysis else 0.05),
            given.beta or (float(analysis.beta) if analysis else 0.10),
            given.max_tasks or (analysis.max_tasks if analysis else 2000),
            analysis.exposure.max_candidate_tasks if analysis else None,
            given.step_margin or (float(analysis.step_margin) if analysis and analysis.step_margin else None),
        )
    except ValueError as wrong:
        raise Misused(f"rollout simulate: {wrong}", "give --weights, or steps with weights in spec.rollout") from wrong


def _drawn(plan: Plan, found: tuple[Forecast, ...], width: int) -> RenderableType:
    way = ", ".join(f"{stage.share:.0%} ({stage.min_tasks} tasks)" for stage in plan.stages)
    limit = f", at most {plan.max_candidate_tasks} of the candidate" if plan.max_candidate_tasks else ""
    step = f", step margin {plan.step_margin:g}" if plan.step_margin else ""
    terms = f"alpha {plan.alpha:g}, beta {plan.beta:g}, at most {plan.max_tasks} tasks{limit}"
    columns = (
        Column("IF THE CANDIDATE"),
        Column("FAILS", is_number=True),
        Column("PROMOTED", is_number=True),
        Column("ROLLED BACK", is_number=True),
        Column("UNDECIDED", is_number=True),
        Column("TASKS", is_number=True),
        Column("ITS TASKS", is_number=True),
        Column("EXTRA FAILURES", 1, is_number=True),
    )
    names = ("is alike", "is worse by the margin", "is bad")
    lines = (
        [
            text(name),
            text(f"{each.candidate:.1%}"),
            text(f"{each.promoted:.0%}", "good"),
            text(f"{each.rolled_back:.0%}", "bad"),
            text(f"{each.undecided:.0%}", "quiet"),
            text(each.tasks),
            text(each.exposed),
            text(f"{each.extra_bad:.1f}"),
        ]
        for name, each in zip(names, found, strict=True)
    )
    head = f"stable fails {found[0].stable:.1%}; weights {way}; margin {plan.margin:g}{step}; {terms}"
    foot = f"medians of {found[0].runs} upgrades each; an undecided one holds, and a person or spec.rollout decides"
    return Group(text(head), table(columns, lines, width), text(foot, "quiet"))
