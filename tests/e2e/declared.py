"""What the end-to-end tests declare, and how they wait for what must come of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import yaml

Manifest = dict[str, Any]
T = TypeVar("T")
_PERIOD = 0.25


def an_agent(namespace: str, name: str = "clerk", **spec: Any) -> Manifest:
    """An Agent that needs one Connector `llm`; `spec` adds to it or replaces."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Agent",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "owner": {"team": "tests", "contact": "tests@example.com"},
            "purpose": "Be tested.",
            "instructions": "You are tested.",
            "model": {"connector": "llm", "name": "gpt-5-mini"},
            **spec,
        },
    }


def a_model(namespace: str, name: str = "llm", url: str = "http://nobody.invalid/v1") -> Manifest:
    """A Connector to a model, by default one that nobody serves."""
    return {
        "apiVersion": "proctor.dev/v1alpha1",
        "kind": "Connector",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "Model", "url": url},
    }


class Namespace:
    """One test's view of the cluster: its namespace, through kubectl as a user."""

    def __init__(self, kubectl: Callable[..., str], name: str) -> None:
        self._kubectl = kubectl
        self.name = name

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Runs kubectl in the namespace."""
        return self._kubectl("-n", self.name, *args, stdin=stdin)

    def apply(self, *manifests: Manifest) -> None:
        """What a user does with a file."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, kind: str, name: str) -> Manifest:
        """The object as it is."""
        found: Manifest = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        """The objects of the kind in the namespace."""
        words = ["get", kind, "-o", "json", *(["-l", selector] if selector else [])]
        found: list[Manifest] = json.loads(self.kubectl(*words))["items"]
        return found

    def agent(self, name: str = "clerk") -> Manifest:
        """The Agent as it is."""
        return self.get("agents.proctor.dev", name)

    def wait(self, holds: Callable[[Manifest], bool], name: str = "clerk", seconds: float = 60) -> Manifest:
        """The Agent as soon as this holds of it."""
        return eventually(lambda: self.agent(name), holds, seconds)


def eventually(look: Callable[[], T], holds: Callable[[T], bool], seconds: float = 60) -> T:
    """What is seen as soon as it is as it must be. Raises AssertionError with what was seen last."""
    until = time.monotonic() + seconds
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > until:
            shown = json.dumps(seen, indent=1, default=str)[-6000:]
            raise AssertionError(f"not within {seconds} s; last seen: {shown}")
        time.sleep(_PERIOD)


def condition(body: Manifest, type_: str) -> Manifest:
    """The condition of that type; an empty one if there is none."""
    conditions = body.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == type_), {"status": None, "reason": None, "message": ""})


def is_(type_: str, status: str, reason: str | None = None) -> Callable[[Manifest], bool]:
    """Whether the newest spec was judged and the condition has that status, and that reason if one is given."""

    def holds(body: Manifest) -> bool:
        if body.get("status", {}).get("observedGeneration") != body["metadata"].get("generation"):
            return False
        found = condition(body, type_)
        return found["status"] == status and reason in {None, found["reason"]}

    return holds
