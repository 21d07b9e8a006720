"""A caller outside of the cluster: asks the gateway over HTTP, as a ServiceAccount."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from proctor_cluster.cluster import Cluster
from proctor_cluster.errors import ClusterError
from proctor_cluster.forward import forwarded

ENDED = {"Succeeded", "Failed", "Cancelled", "Indeterminate"}
_PERIOD = 0.3


class Answer:
    """A status and its JSON."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body


class Caller:
    """Sends tasks as one ServiceAccount; opens its way to the gateway anew when a gateway has died."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster = cluster
        words = ("-n", namespace, "create", "token", name, "--audience=proctor-gateway", "--duration=1h")
        self._token = cluster.kubectl(*words).strip()
        self._way = ExitStack()
        self._address = ""

    def close(self) -> None:
        """Ends the way to the gateway."""
        self._way.close()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request. A gateway that does not answer is asked again, for two minutes: it may just be coming back."""
        until = time.monotonic() + 120
        while True:
            try:
                return self._once(method, path, body, headers or {})
            except (OSError, http.client.HTTPException, ClusterError):
                self._way.close()
                self._address = ""
                if time.monotonic() > until:
                    raise
                time.sleep(_PERIOD)

    def submit(self, namespace: str, agent: str, question: Any, key: str | None = None) -> Answer:
        """A new task; the answer does not wait for its end."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.ask("POST", f"/agents/{namespace}/{agent}/tasks", {"input": question}, headers)

    def invoke(self, namespace: str, agent: str, question: Any) -> Answer:
        """A new task, and its end."""
        return self.ask("POST", f"/agents/{namespace}/{agent}/invoke", {"input": question})

    def task(self, namespace: str, agent: str, task: str) -> dict[str, Any]:
        """The task as it is."""
        found: dict[str, Any] = self.ask("GET", f"/agents/{namespace}/{agent}/tasks/{quote(task)}").body
        return found

    def calls(self, namespace: str, agent: str, task: str) -> list[dict[str, Any]]:
        """What the task asked of models and tools."""
        found: list[dict[str, Any]] = self.ask("GET", f"/agents/{namespace}/{agent}/tasks/{quote(task)}/calls").body[
            "items"
        ]
        return found

    def _once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if not self._address:
            way = forwarded(self._cluster, "proctor-system", "service/proctor-gateway", 8080)
            self._address = self._way.enter_context(way)
        connection = http.client.HTTPConnection(self._address, timeout=90)
        try:
            sent = json.dumps(body) if body is not None else None
            given = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **headers}
            connection.request(method, path, sent, given)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status in {502, 503} and "proctor.dev" not in text:
            raise OSError(f"no gateway: {response.status}")
        return Answer(response.status, json.loads(text) if text else None)
