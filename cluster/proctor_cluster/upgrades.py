"""The demonstration's second act: three changes of the agent while callers go on asking, and what becomes of each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proctor_cluster import diagnosis, install
from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import progress, say
from proctor_cluster.traffic import flowing

if TYPE_CHECKING:
    from collections.abc import Callable

    from proctor_cluster.stage import Stage

SAMPLE: Final = install.MANIFESTS / "samples" / "refunds-upgrade"
_NAMESPACE, _AGENT = "support", "refunds"
_QUESTION = "Customer C-1042 asks for a refund of order O-50042 (50 EUR): parcel {} leaks"
_SECONDS = 600
_LOOK_SECONDS = 1.0
_OVER = frozenset({"Failed", "Settled", "Watching"})


@dataclass(frozen=True)
class Change:
    """A change of the agent, and how its upgrade must end."""

    name: str
    story: str
    outcome: str


CHANGES: Final = (
    Change("generous", "A change that pays whatever is asked for: it fails its exam and gets no task", "Failed"),
    Change("hasty", "A change that passes the exam and fails three of ten live tasks", "RolledBack"),
    Change("polite", "A change that is no worse", "Promoted"),
)


def show(stage: Stage) -> None:
    """Each change in turn. Raises ClusterError when one does not end as it must."""
    with flowing(stage.cluster, _NAMESPACE, _AGENT, _QUESTION) as ended:
        for change in CHANGES:
            _try(stage, change, lambda: str(ended))
    say(f"\nTasks by revision: {ended}")


def _try(stage: Stage, change: Change, detail: Callable[[], str]) -> None:
    stage.title(change.story)
    seen = _status(stage)["rollout"].get("lastOutcome")
    path = SAMPLE / "candidates" / f"{change.name}.yaml"
    stage.kubectl("-n", _NAMESPACE, "patch", "agent", _AGENT, "--type=merge", f"--patch-file={path}")
    with progress(f"the upgrade {change.name}", lambda: f"{_where(stage)}; {detail()}"):
        outcome = _outcome(stage, seen)
    if outcome["type"] != change.outcome:
        report = diagnosis.report(stage.cluster, [_NAMESPACE, install.NAMESPACE])
        raise ClusterError(f"{change.name} was to be {change.outcome}, and ended so: {json.dumps(outcome)}\n{report}")
    say(f"{outcome['type']}: {outcome.get('message', '')}")
    say(f"Live tasks that met revision {outcome['revision']}: {outcome.get('exposed', 0)}")
    stage.kubectl("-n", _NAMESPACE, "get", "agents")
    stage.proctor("rollout", "status", _AGENT, "-n", _NAMESPACE, codes=frozenset({0, 3}))


def _outcome(stage: Stage, seen: dict[str, Any] | None) -> dict[str, Any]:
    """How the next upgrade after the one that was seen ends, its pods gone. Raises ClusterError if it is late."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        rollout = _status(stage)["rollout"]
        last = rollout.get("lastOutcome")
        if last is not None and last != seen and rollout["phase"] in _OVER:
            found: dict[str, Any] = last
            return found
        time.sleep(_LOOK_SECONDS)
    report = diagnosis.report(stage.cluster, [_NAMESPACE, install.NAMESPACE])
    raise ClusterError(f"the upgrade has not ended within {_SECONDS} s: {_where(stage)}\n{report}")


def _status(stage: Stage) -> dict[str, Any]:
    agent = json.loads(stage.cluster.kubectl("-n", _NAMESPACE, "get", "agent", _AGENT, "-o", "json"))
    status: dict[str, Any] = agent["status"]
    return status


def _where(stage: Stage) -> str:
    rollout = _status(stage)["rollout"]
    verdict = rollout.get("verdict", {}).get("text", "")
    return " ".join(filter(None, (rollout["phase"], f"{rollout.get('weight') or 0} %", verdict)))
