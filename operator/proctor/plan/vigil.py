"""The watch over a promoted revision: what it is watched for, and how far that is kept.

A revision may fail as often as the stable one did, or as its objectives allow, and a margin more: what it was promoted
with is not held against it. One e-CUSUM for each metric; their average alarms, so that many metrics raise no more false
alarms than one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp
from typing import Any

from proctor.api.agent import AgentSpec
from proctor.delivery.evidence.capital import Tally
from proctor.delivery.evidence.mixture import log_mean
from proctor.delivery.evidence.watch import Watch
from proctor.plan import comparison
from proctor.plan.comparison import Ledger, Measure
from proctor.plan.said import Finished, OutcomeItem
from proctor.plan.world import Manifest

_LOWEST, _HIGHEST = 0.01, 0.9
_HALF = 0.5


@dataclass(frozen=True)
class Vigil:
    """What was seen of the promoted revision so far."""

    cursor: str = ""
    """The last task that was seen, in the order in which tasks end."""
    watches: tuple[tuple[Measure, Watch], ...] = ()

    @property
    def log_evidence(self) -> float:
        """The evidence that the revision has become worse than it may be, as a logarithm."""
        return log_mean([watch.log_evidence for _, watch in self.watches]) if self.watches else 0.0

    def alarm(self, run_length: int) -> str | None:
        """What there is to say if it alarms; one false alarm in so many tasks is accepted."""
        if not self.watches or exp(min(self.log_evidence, 700.0)) < run_length:
            return None
        measure, worst = max(self.watches, key=lambda each: each[1].log_evidence)
        return (
            f"{worst.bad} of {worst.tasks} tasks bad in {measure.name} since the promotion, "
            f"more than a share of {worst.bound:.3g} was to be expected"
        )


def vigil_of(kept: Manifest | None, ledger: Ledger, spec: AgentSpec) -> Vigil:
    """The watch as it was kept with the evidence; at its beginning, by what the comparison has shown."""
    known = (kept or {}).get("data") or {}
    text = known.get("watch")
    # A revision that is promoted once more is watched anew.
    if not text or known.get("upgrade") != ledger.upgrade:
        return Vigil("", tuple((each, Watch.begin(_bound(each, ledger, spec))) for each in ledger.measures))
    data = json.loads(text)
    watches = tuple(
        (each, _read(data["watches"][each.name])) for each in ledger.measures if each.name in data["watches"]
    )
    return Vigil(data["cursor"], watches)


def watched(vigil: Vigil, said: Finished) -> Vigil:
    """With the tasks that ended since."""
    watches = vigil.watches
    for item in said.items:
        watches = tuple((measure, _after(watch, measure, item)) for measure, watch in watches)
    return Vigil(said.items[-1].cursor if said.items else vigil.cursor, watches)


def kept(vigil: Vigil) -> str:
    """As it is kept with the evidence."""
    watches = {
        measure.name: {"bound": watch.bound, "logs": watch.logs, "tasks": watch.tasks, "bad": watch.bad}
        for measure, watch in vigil.watches
    }
    return json.dumps({"cursor": vigil.cursor, "watches": watches}, separators=(",", ":"))


def _bound(measure: Measure, ledger: Ledger, spec: AgentSpec) -> float:
    account = ledger.capital.accounts.get(measure.name)
    seen = _share((account.stable, account.candidate)) if account else None
    target = next((each.target for each in spec.slos if each.name == measure.name), None)
    allowed = float(1 - target / 100) if target is not None else 0.0
    expected = max(allowed, seen if seen is not None else 0.0)
    return min(_HIGHEST, max(_LOWEST, expected + float(measure.margin)))


def _share(tallies: Iterable[Tally]) -> float | None:
    both = list(tallies)
    tasks = sum(each.n for each in both)
    return sum(each.bad for each in both) / tasks if tasks else None


def _after(watch: Watch, measure: Measure, item: OutcomeItem) -> Watch:
    bad = comparison.badness(item, measure.indicator)
    return watch if bad is None else watch.after(bad=bad > _HALF)


def _read(data: dict[str, Any]) -> Watch:
    begun = Watch.begin(float(data["bound"]))
    logs = tuple(float(each) for each in data["logs"])
    return replace(begun, logs=logs, tasks=int(data["tasks"]), bad=int(data["bad"]))
