"""Pods as a person asks about them: does it run, since when, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctor.api import names
from proctor.api.agent import Profile
from proctor.cli.views.tone import Tone
from proctor.cli.wording import moment
from proctor.plan.world import Manifest, label_of

_STRENGTH = list(Profile)


@dataclass(frozen=True)
class PodView:
    """One pod of an agent."""

    name: str
    revision: str
    state: str
    tone: Tone
    is_ready: bool
    restarts: int
    node: str
    created: datetime | None
    profile: Profile
    problem: str = ""


def views(items: Iterable[Manifest]) -> tuple[PodView, ...]:
    """The pods, those of one revision together, the newest first."""
    shown = [_view(each) for each in items]
    # Two stable sorts: newest first within a revision whose newest pod is newest.
    shown.sort(key=lambda pod: pod.name)
    shown.sort(key=lambda pod: str(pod.created), reverse=True)
    return tuple(shown)


def weakest(running: Iterable[PodView]) -> str | None:
    """The weakest profile among the pods: a fence is as high as its lowest part."""
    found = [pod.profile for pod in running]
    return min(found, key=_STRENGTH.index).value if found else None


def _view(pod: Manifest) -> PodView:
    status, metadata = pod.get("status", {}), pod["metadata"]
    containers = status.get("containerStatuses", [])
    is_ready = bool(containers) and all(each.get("ready") for each in containers)
    state, problem = _state(pod, containers)
    return PodView(
        name=metadata["name"],
        revision=label_of(pod, names.REVISION) or "",
        state=state,
        tone=_tone(state, problem, is_ready=is_ready),
        is_ready=is_ready,
        restarts=sum(int(each.get("restartCount", 0)) for each in containers),
        node=pod.get("spec", {}).get("nodeName", ""),
        created=moment(metadata.get("creationTimestamp")),
        profile=_profile(pod.get("spec", {})),
        problem=problem,
    )


def _tone(state: str, problem: str, *, is_ready: bool) -> Tone:
    if state == "Terminating":
        return Tone.OFF
    if is_ready:
        return Tone.GOOD
    return Tone.BAD if problem else Tone.BUSY


def _state(pod: Manifest, containers: list[dict[str, Any]]) -> tuple[str, str]:
    """The word that `kubectl get pods` shows, and what is wrong in full."""
    status = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating", ""
    for container in containers:
        state = container.get("state", {})
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason") not in {"ContainerCreating", "PodInitializing"}:
            return waiting.get("reason", "Waiting"), _why_waiting(container, waiting)
        if ended:
            return ended.get("reason", "Terminated"), f"exit code {ended.get('exitCode')}"
        if waiting:
            return waiting["reason"], ""
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason", "Unschedulable"), condition.get("message", "")
    return status.get("phase", "Unknown"), ""


def _why_waiting(container: dict[str, Any], waiting: dict[str, Any]) -> str:
    ended = container.get("lastState", {}).get("terminated")
    last = f"last exit code {ended.get('exitCode')} ({ended.get('reason', 'Error')})" if ended else ""
    return "; ".join(each for each in (last, waiting.get("message", "")) if each)


def _profile(spec: dict[str, Any]) -> Profile:
    if spec.get("runtimeClassName"):
        return Profile.ISOLATED
    return Profile.HARDENED if spec.get("hostUsers") is False else Profile.STANDARD
