"""Ways that an upgrade can go, short enough to go each of them many times; and the agent that goes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.declared import Manifest, an_agent

# Half of what a hasty revision does fails at once; the rest takes long: it still has tasks when it is withdrawn.
RULES = """
rules:
  - name: half-fails
    when: {system: {contains: Be hasty}, task: {lacks: exam}}
    probability: 0.5
    then: {error: {status: 400, message: too hasty to be understood}}
  - name: half-is-slow
    when: {system: {contains: Be hasty}, task: {lacks: exam}}
    then: {text: done, delaySeconds: 4}
  - name: turns-bad
    when: {system: {contains: Turn bad}, task: {contains: late}}
    then: {error: {status: 400, message: not what it was}}
  - name: fails-its-exam
    when: {system: {contains: Be wrong}, task: {contains: exam}}
    then: {text: no idea}
  - {name: answer, when: {turn: 0}, then: {text: done, delaySeconds: 0.1}}
"""
SUITE = """
name: golden
cases:
  - {name: asked, inputs: an exam, expected_output: done}
"""
_OBJECTIVE = {"name": "answered", "indicator": {"type": "TaskSuccess"}, "target": "95", "window": "28d"}
_FIRST = {"weight": 25, "until": {"minTasks": 4, "minDuration": "2s"}}
_SECOND = {"weight": 50, "until": {"minTasks": 8, "minDuration": "2s"}}


@dataclass(frozen=True)
class Track:
    """One way: what is wanted, and how it ends."""

    instructions: str
    steps: tuple[Manifest, ...]
    outcome: tuple[str, str]
    """Type and reason."""
    ends_in: str
    watch: str = "4s"
    question: str = "a question"
    after: str = "a question"
    """What is asked once the candidate was promoted."""
    all_succeed: bool = True
    """Whether no caller ever sees a failure."""

    @property
    def rollout(self) -> dict[str, Any]:
        """The rules of the upgrade. The margin is wide, so that a few dozen tasks decide."""
        return {
            "steps": list(self.steps),
            "progressDeadline": "90s",
            "scaleDownDelay": "3s",
            "abortScaleDownDelay": "3s",
            "rollback": {"drain": "30s", "watch": {"for": self.watch, "runLength": 100}},
            "analysis": {"metrics": [{"name": "answered", "margin": "0.3"}], "exposure": {"maxCandidateTasks": 5000}},
        }


PROMOTED = Track(
    "You answer.",
    (
        {"evals": {}},
        {"replay": {"tasks": 4}},
        {"mirror": {"percent": 100, "minTasks": 4}},
        _FIRST,
        {"pause": {"duration": "3s"}},
        {**_SECOND, "approval": {"groups": ["sre"], "timeout": "1h"}},
    ),
    ("Promoted", "Promoted"),
    "Settled",
)
WITHDRAWN = Track(
    "You answer. Be hasty.",
    ({"evals": {}}, _FIRST, _SECOND),
    ("RolledBack", "Harm"),
    "Failed",
    all_succeed=False,
)
REVERTED = Track(
    "You answer. Turn bad.",
    (_SECOND,),
    ("RolledBack", "WatchAlarm"),
    "Failed",
    watch="40s",
    after="a late question",
    all_succeed=False,
)
REFUSED = Track("You answer. Be wrong.", ({"evals": {}}, _FIRST), ("Failed", "ExamFailed"), "Failed")

Moment = Callable[[Manifest], bool]


def moment(phase: str, *, step: int | None = None, stage: str | None = None) -> Moment:
    """Whether the status is of that phase of an upgrade, at that step or stage if one is named."""

    def holds(status: Manifest) -> bool:
        rollout = status.get("rollout") or {}
        is_there = rollout.get("phase") == phase and bool(rollout.get("id"))
        return is_there and (step is None or rollout.get("step") == step) and rollout.get("stage") == stage

    return holds


PHASES: dict[str, tuple[Track, Moment]] = {
    "starting": (PROMOTED, moment("Progressing")),
    "exam": (PROMOTED, moment("Examining", step=0)),
    "replay": (PROMOTED, moment("Replaying", step=1)),
    "mirror": (PROMOTED, moment("Mirroring", step=2)),
    "first weight": (PROMOTED, moment("Collecting", step=3)),
    "pause": (PROMOTED, moment("Paused", step=4)),
    "approval": (PROMOTED, moment("AwaitingApproval", step=5)),
    "second weight": (PROMOTED, moment("Collecting", step=5)),
    "promoting": (PROMOTED, moment("Promoting")),
    "retiring": (PROMOTED, moment("Watching", stage="Retiring")),
    "watching": (PROMOTED, moment("Watching")),
    "harm at the first weight": (WITHDRAWN, moment("Collecting", step=1)),
    "withdrawing": (WITHDRAWN, moment("Aborting", stage="Withdrawing")),
    "draining": (WITHDRAWN, moment("Aborting", stage="Draining")),
    "scaling down": (WITHDRAWN, moment("Aborting", stage="ScalingDown")),
    "watching what turns bad": (REVERTED, moment("Watching")),
    "reverting": (REVERTED, moment("Reverting")),
    "withdrawing what was promoted": (REVERTED, moment("Aborting", stage="Withdrawing")),
    "exam that fails": (REFUSED, moment("Examining", step=0)),
}
"""Every phase of an upgrade, on a way that leads through it."""


def the_agent(namespace: str) -> Manifest:
    """The agent that goes these ways: two pods, so that a promotion has to wait for the second one."""
    return an_agent(
        namespace,
        instructions=PROMOTED.instructions,
        # What one way spoils must not keep the next one from beginning.
        slos=[{**_OBJECTIVE, "gate": {"rollout": False}}],
        evals=[{"name": "golden", "configMapRef": {"name": "suite"}, "minPass": "1"}],
        access={"callers": [{"serviceAccount": {"namespace": "shop", "name": "web"}}]},
        runtime={"replicas": 2, "concurrency": 8},
        rollout=PROMOTED.rollout,
    )
