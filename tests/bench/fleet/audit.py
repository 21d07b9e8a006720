"""The API server's own count of requests, from its audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

OPERATOR = "system:serviceaccount:proctor-system:proctor-operator"
PROBE = "isolation probes"
"""Pods and NetworkPolicies of which there is one in each namespace, however many Agents it has."""

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_HEARTBEATS = frozenset({"leases", "nodes", "nodes/status"})


class Request(NamedTuple):
    """What was asked for: by whom, what, of which resource, and whether it was granted."""

    user: str
    verb: str
    resource: str
    """With its subresource, e.g. `agents/status`."""
    is_granted: bool


@dataclass(frozen=True)
class Requests:
    """The requests of one phase."""

    counts: Counter[Request]

    def writes(self, user: str | None = None) -> Counter[str]:
        """Granted writes by resource, of one user or of everybody; without leases and nodes, and without Events."""
        found: Counter[str] = Counter()
        for request, count in self.counts.items():
            is_of = user is None or request.user == user
            if is_of and request.is_granted and request.verb in WRITES and request.resource not in _HEARTBEATS:
                found[request.resource] += count
        return found

    def refused(self, user: str) -> int:
        """Writes of the user that were refused, e.g. by a conflict."""
        return sum(
            count
            for request, count in self.counts.items()
            if request.user == user and not request.is_granted and request.verb in WRITES
        )

    def reads(self, user: str) -> Counter[str]:
        """Reads of single objects by the user, by resource, whatever came of them."""
        found: Counter[str] = Counter()
        for request, count in self.counts.items():
            if request.user == user and request.verb == "get" and request.resource != "leases":
                found[request.resource] += count
        return found


class AuditLog:
    """Reads the log onwards: each call of `take` returns what was added since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def take(self) -> Requests:
        """The requests that were answered since the last call."""
        return Requests(Counter(map(_request, self._lines())))

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield json.loads(line)


def _request(line: dict[str, Any]) -> Request:
    what = line.get("objectRef", {})
    resource = "/".join(filter(None, (what.get("resource"), what.get("subresource"))))
    if what.get("name", "").startswith("proctor-isolation-probe"):
        resource = PROBE
    return Request(line["user"]["username"], line["verb"], resource, line["responseStatus"].get("code", 0) < 300)
