"""The tables of a run: figures, writes by kind, and each aim beside what was reached."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.bench.fleet.audit import OPERATOR, PROBE
from tests.bench.fleet.phases import Figures
from tests.bench.fleet.takeover import Takeover

CHILDREN = 6
"""ServiceAccount, NetworkPolicy, PodDisruptionBudget, ControllerRevision, ConfigMap, Deployment."""

_ENOUGH_FOR_A_SLOPE = 1_000

# Argo Rollouts 1.10.2 with its limits raised, 1,000 of them, beside plain Deployments in that same other run.
_PEER_CREATE = 21.0 / 63
_PEER_UPDATE = 12.7 / 35

_ELSEWHERE = """\
Another run on such a machine (2 cores, kwok 0.8.0, 1,000 objects), for orientation; times compare only within a run:
  plain Deployments              create 63/s                                   update 35/s
  Argo Rollouts 1.10.2, default  create 8.1/s   25.5 CPU s  172 MiB   7 writes  update 4.7/s   50.9 CPU s  10 writes
  Argo Rollouts, qps 1000        create 21.0/s  14.9 CPU s  148 MiB   7 writes  update 12.7/s  26.4 CPU s  10 writes
  Argo Rollouts                  leader 16 s after a restart, then 1 Event for each Rollout; idle 0.13-0.15 % of a core
"""


@dataclass(frozen=True)
class Results:
    """All phases of one run."""

    count: int
    load_before: float
    """The machine's load average over a minute before the run began."""
    load_after: float
    """Over a quarter of an hour, at its end."""
    plain_create: Figures
    plain_update: Figures
    create: Figures
    update: Figures
    idle: Figures
    standby: Takeover
    restart: Takeover
    delete: Figures
    orphans: int
    base_rss: float
    """MiB of the operator before there was any Agent."""

    def broken(self) -> list[str]:
        """The invariants that do not hold."""
        found = []
        for taken in (self.standby, self.restart):
            writes = _besides_measurements(taken.figures)
            if writes:
                found.append(f"{taken.figures.name}: {writes} writes, must be 0")
        if self.orphans:
            found.append(f"{self.orphans} objects were left after the Agents were deleted, must be 0")
        return found


def render(results: Results) -> str:
    """All tables."""
    parts = (
        f"{results.count} Agents, one replica each; {os.cpu_count()} cores shared by everything; "
        f"load average before the run {results.load_before:.1f}, after {results.load_after:.1f}",
        _table(_HEAD, _phases(results)),
        "Writes for each Agent, by resource (the API server's audit log; every request granted):",
        _table(("", "create", "update"), _writes(results)),
        _cross_check(results),
        _table(("aim", "wanted", "measured", "reached"), _aims(results)),
        "Writes while idle and after restarts are counted without the lease and without new measurements of Connectors "
        f"(one each five minutes): {_measurements(results)}",
        _ELSEWHERE,
    )
    return "\n\n".join(parts)


_HEAD = (
    "phase", "s", "per s", "to plain", "operator CPU s", "CPU ms each", "max RSS MiB", "its writes each",
    "its GETs each", "all writes each", "API server CPU s",
)  # fmt: skip


def _phases(results: Results) -> Iterable[tuple[str, ...]]:
    yield _row(results.plain_create, None)
    yield _row(results.create, results.plain_create)
    yield _row(results.plain_update, None)
    yield _row(results.update, results.plain_update)
    yield _row(results.idle, None)
    yield _row(results.standby.figures, None)
    yield _row(results.restart.figures, None)
    yield _row(results.delete, None)


def _row(figures: Figures, beside: Figures | None) -> tuple[str, ...]:
    count, used = figures.count, figures.cpu.get("operator")
    mine, everybody = figures.requests.writes(OPERATOR), figures.requests.writes()
    is_waiting = figures.name.startswith("idle")
    return (
        figures.name,
        f"{figures.seconds:.1f}",
        "" if is_waiting else f"{figures.rate:.1f}",
        f"{figures.rate / beside.rate:.2f}" if beside else "",
        f"{used:.2f}" if used is not None else "",
        f"{used / count * 1000:.1f}" if used is not None else "",
        f"{figures.max_rss:.0f}" if used is not None else "",
        f"{mine.total() / count:.2f}" if used is not None else "",
        f"{figures.requests.reads(OPERATOR).total() / count:.2f}" if used is not None else "",
        f"{everybody.total() / count:.1f}",
        f"{figures.cpu['kube-apiserver']:.1f}",
    )


def _writes(results: Results) -> Iterable[tuple[str, ...]]:
    created, updated = (each.requests.writes(OPERATOR) for each in (results.create, results.update))
    for resource in sorted(created | updated):
        yield resource, f"{created[resource] / results.count:.2f}", f"{updated[resource] / results.count:.2f}"
    reconciled = [each.reconciles for each in (results.create, results.update)]
    yield "(reconciles, not writes)", *(f"{_of_agents(each) / results.count:.2f}" for each in reconciled)


def _besides_measurements(figures: Figures) -> int:
    # Each Connector is probed every five minutes, and its status says when: that goes on, restart or not.
    writes = figures.requests.writes(OPERATOR)
    return writes.total() - writes["connectors/status"]


def _measurements(results: Results) -> int:
    phases = (results.idle, results.standby.figures, results.restart.figures)
    return sum(each.requests.writes(OPERATOR)["connectors/status"] for each in phases)


def _of_agents(reconciles: dict[tuple[str, str], int]) -> int:
    return sum(count for (kind, _), count in reconciles.items() if kind == "Agent")


def _cross_check(results: Results) -> str:
    phases = (results.create, results.update, results.delete)
    told = sum(each.writes.total() for each in phases)
    noted = sum(each.requests.writes(OPERATOR).total() + each.requests.refused(OPERATOR) for each in phases)
    return f"Writes by the operator's own metrics: {told}; by the API server's audit log: {noted}"


def _aims(results: Results) -> Iterable[tuple[str, ...]]:
    count = results.count
    created, updated = (each.requests.writes(OPERATOR) for each in (results.create, results.update))
    own = created.total() - created["events"] - created[PROBE]
    create_ratio = results.create.rate / results.plain_create.rate
    update_ratio = results.update.rate / results.plain_update.rate
    phases = (results.idle, results.standby.figures, results.restart.figures)
    idle, handed, after = map(_besides_measurements, phases)
    most = max(results.update.max_rss, results.restart.figures.max_rss)
    each = max(0.0, most - results.base_rss) / count
    restarting = results.restart.leading - (results.restart.started or 0)
    yield _aim("writes to create, without Events and probes", CHILDREN + 2, own / count, "≤")
    yield _aim("status writes through an update", 4, updated["agents/status"] / count, "≤")
    yield _aim("creation, to plain Deployments", 0.4, create_ratio, "≥")
    yield _aim("update, to plain Deployments (2 x Argo Rollouts tuned)", 2 * _PEER_UPDATE, update_ratio, "≥")
    yield _aim("writes in an idle minute", 0, idle, "≤")
    yield _aim("s to the next leader, standing by", 3, results.standby.leading, "≤")
    yield _aim("s to the next leader, after its start", 3, restarting, "≤")
    yield _aim("writes after a hand-over", 0, handed, "≤")
    yield _aim("writes after a restart", 0, after, "≤")
    yield _aim("objects left after deletion", 0, results.orphans, "≤")
    if count >= _ENOUGH_FOR_A_SLOPE:
        yield _aim("MiB at 10,000 Agents, by the slope of this run", 300, results.base_rss + 10_000 * each, "≤")


def _aim(what: str, wanted: float, measured: float, relation: str) -> tuple[str, ...]:
    is_reached = measured <= wanted + 0.005 if relation == "≤" else measured >= wanted - 0.005
    return what, f"{relation} {wanted:.4g}", f"{measured:.4g}", "yes" if is_reached else "NO"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown that also reads well in a terminal."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = [_line(line, widths) for line in lines]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if index == 0 else ":") for index, width in enumerate(widths)) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join((first, *others)) + " |"
