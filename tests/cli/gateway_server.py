"""A small gateway over real HTTP: what a caller of proctor's gateway sees, without the agents behind it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, Any], dict[str, str]]


@dataclass
class GatewayState:
    """What the server knows, and what it was asked. `ends_after` is in looks at the task."""

    ends_after: int = 1
    ending: dict[str, Any] = field(default_factory=lambda: {"phase": "Succeeded", "output": "Done."})
    refusals: list[Answer] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    looks: int = 0
    drops: set[int] = field(default_factory=set)
    """The requests, counted from 0, that are carried out and whose answer is lost."""

    def answer(self, method: str, path: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
        """What the gateway says to a request."""
        self.requests.append((method, path, headers))
        if self.refusals:
            return self.refusals.pop(0)
        match method, [*urlsplit(path).path.strip("/").split("/")]:
            case "POST", ["agents", _, _, "tasks"]:
                return self._take(headers.get("idempotency-key", ""), body)
            case "POST", ["agents", _, _, "tasks", task, "cancel"]:
                return self._end(task, {"phase": "Cancelled"})
            case "GET", ["agents", _, _, "tasks"]:
                return self._list(parse_qs(urlsplit(path).query))
            case "GET", ["agents", _, _, "tasks", task, *more] if task in self.tasks:
                return (200, {"items": [CALL]}, {}) if more else self._look(task)
        return problem(404, "NotFound", "there is no such task")

    def _take(self, key: str, body: dict[str, Any]) -> Answer:
        known = next((each for each in self.tasks.values() if each["metadata"]["key"] == key), None)
        if known:
            return 200, known, {}
        task = f"task-{len(self.tasks) + 1}"
        self.tasks[task] = {
            "id": task,
            "agent": {"namespace": "support", "name": "refunds"},
            "phase": "Queued",
            "input": body["input"],
            "conversation": body.get("conversation"),
            "metadata": {"key": key},
            "createdAt": "2026-11-22T12:00:00.000Z",
            "aWordOfTheFuture": 1,
        }
        return 202, self.tasks[task], {}

    def _look(self, task: str) -> Answer:
        self.looks += 1
        if self.looks >= self.ends_after and self.tasks[task]["phase"] in {"Queued", "Running"}:
            return self._end(task, self.ending)
        if self.tasks[task]["phase"] == "Queued":
            self.tasks[task]["phase"] = "Running"
        time.sleep(0.02)
        return 200, self.tasks[task], {}

    def _end(self, task: str, ending: dict[str, Any]) -> Answer:
        self.tasks[task] |= {"finishedAt": "2026-11-22T12:00:03.200Z", "attempts": 1, **ending}
        return 200, self.tasks[task], {}

    def _list(self, query: dict[str, list[str]]) -> Answer:
        found = list(self.tasks.values())[::-1]
        after, limit = query.get("after", [None])[0], int(query["limit"][0])
        begin = next((index + 1 for index, each in enumerate(found) if each["id"] == after), 0)
        page = found[begin : begin + min(limit, 2)]
        following = page[-1]["id"] if begin + len(page) < len(found) else None
        return 200, {"items": page, "next": following}, {}


CALL = {
    "id": "c1",
    "sequence": 1,
    "attempt": 1,
    "kind": "Tool",
    "connector": "crm",
    "name": "get_customer",
    "effect": "Read",
    "arguments": {"id": 7},
    "result": {"name": "Ada"},
    "state": "Succeeded",
    "error": None,
    "startedAt": "2026-11-22T12:00:01.000Z",
    "durationSeconds": 0.012,
}


def problem(status: int, reason: str, detail: str, **headers: str) -> Answer:
    """A refusal as the gateway writes it."""
    body = {"type": f"https://proctor.dev/problems/{reason}", "reason": reason, "status": status, "detail": detail}
    return status, body, {"content-type": "application/problem+json", **headers}


@contextmanager
def running(state: GatewayState) -> Iterator[str]:
    """The server's URL, while it runs on a port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            headers = {key.lower(): value for key, value in self.headers.items()}
            number = len(state.requests)
            status, answer, more = state.answer(self.command, self.path, headers, body)
            if number in state.drops:
                self.close_connection = True
                return
            content = answer["raw"].encode() if "raw" in answer else json.dumps(answer).encode()
            self.send_response(status)
            for key, value in {"content-type": "application/json", "content-length": str(len(content)), **more}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
