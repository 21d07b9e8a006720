"""A small API server over real HTTP, with an operator in it that answers a person's word to an upgrade."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from proctor.api import names

Body = dict[str, Any]


@dataclass
class State:
    """One Agent and its revisions, and what was asked of them."""

    agent: Body
    revisions: list[Body] = field(default_factory=list)
    events: list[Body] = field(default_factory=list)
    patches: list[tuple[str, Body]] = field(default_factory=list)
    answer: tuple[str, str] | None = ("CommandDone", "done")
    """The Event with which the operator answers; None: it is away."""
    phases: list[Body] = field(default_factory=list)
    """What status.rollout becomes, one for each look."""
    refuses: int = 0
    """The HTTP status with which a patch is refused."""
    overwrites: str | None = None
    """A command that somebody else gives right after ours."""

    def look(self) -> Body:
        """The Agent, as it is at this look."""
        if self.phases:
            self.agent["status"] |= self.phases.pop(0)
        return self.agent

    def patch(self, content_type: str, body: Body) -> Body:
        """A patch, and what the operator does about it."""
        self.patches.append((content_type, body))
        annotations = self.agent["metadata"].setdefault("annotations", {})
        annotations |= body["metadata"]["annotations"]
        if self.overwrites:
            annotations[names.COMMAND] = self.overwrites
        elif self.answer is not None:
            self.agent["status"]["lastHandledCommand"] = annotations[names.COMMAND]
            self.events.append(_event(*self.answer))
        return self.agent


def _event(reason: str, message: str) -> Body:
    about = {"kind": "Agent", "name": "refunds"}
    at = datetime.now(UTC).isoformat()
    return {"metadata": {}, "involvedObject": about, "reason": reason, "message": message, "lastTimestamp": at}


@contextmanager
def running(state: State) -> Iterator[str]:
    """Serve the state; the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path)
            kind = path.path.split("/namespaces/support/")[-1].split("/")[0]
            items = {"controllerrevisions": state.revisions, "events": state.events}.get(kind, [])
            if "watch=true" in path.query:
                self._write(200, None)
            elif path.path.endswith("/agents/refunds"):
                self._write(200, state.look())
            else:
                self._write(200, {"metadata": {}, "items": items})

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if state.refuses:
                told = {"kind": "Status", "status": "Failure", "message": "no", "code": state.refuses}
                self._write(state.refuses, told)
                return
            self._write(200, state.patch(self.headers["content-type"], body))

        def log_message(self, *_: object) -> None:
            return

        def _write(self, status: int, body: Body | None) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
