"""An agent program under test: started by a command, or running somewhere already."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

SCHEMA = {
    "type": "object",
    "required": ["decision", "confidence"],
    "properties": {
        "decision": {"type": "string", "enum": ["approve", "decline"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "additionalProperties": False,
}
MAX_STEPS = 6
CONFIG: Mapping[str, Any] = {
    "name": "conformance",
    "namespace": "default",
    "revision": "0123456789",
    "instructions": "You decide refunds.",
    "model": {"name": "conformance-model", "parameters": {"temperature": 0}},
    "tools": [
        {"connector": "crm", "allow": ["get_customer"]},
        {"connector": "payments", "allow": ["refund"]},
    ],
    "output": {"schema": SCHEMA},
    "limits": {"timeoutSeconds": 20, "maxSteps": MAX_STEPS, "maxTokens": 20000},
}
"""The agent that every program is run as; docs/agent-contract.md shows it."""

READY_SECONDS = 60


@dataclass(frozen=True)
class Agent:
    """An agent that takes tasks at `url`; `process` is None if somebody else started it."""

    url: str
    process: subprocess.Popen[bytes] | None = None

    async def invoke(
        self,
        token: str | None,
        task_input: Any = "Customer C-1042 asks for a refund.",
        *,
        task_id: str = "task-1",
        attempt: int = 1,
        seconds: float = 15,
    ) -> httpx2.Response:
        """Send one task, due in `seconds`."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        task = {"id": task_id, "attempt": attempt, "deadline": deadline, "input": task_input, "conversation": None}
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
            return await client.post(f"{self.url}/invoke", json={"task": task}, headers=headers)

    def is_ready(self) -> bool:
        """Whether /healthz answers 200."""
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=2, trust_env=False).status_code == 200
        except httpx2.HTTPError:
            return False

    def stop(self) -> None:
        """Send SIGTERM."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def started(
    command: Sequence[str],
    gateway_url: str,
    directory: Path,
    *,
    config: Mapping[str, Any] = CONFIG,
    wait_until_ready: bool = True,
    port: int | None = None,
    **extra: str,
) -> Iterator[Agent]:
    """The agent run by `command` as an agent pod would run it; it is ready when the block begins.

    `extra` are further variables of its environment.
    """
    file = directory / "agent.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    port = port or _free_port()
    # As in the pod: nothing of the environment but what the contract names, so that no credential or proxy leaks in.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        # An image holds bytecode; the environment of a developer may not, and each start would compile anew.
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "proctor-tests-bytecode"),
        "PROCTOR_AGENT_CONFIG": str(file),
        "PROCTOR_AGENT_PORT": str(port),
        "PROCTOR_GATEWAY_URL": gateway_url,
        "OPENAI_BASE_URL": f"{gateway_url}/v1",
        **extra,
    }
    with (directory / "agent.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        agent = Agent(f"http://127.0.0.1:{port}", process)
        try:
            if wait_until_ready:
                await_ready(agent, directory / "agent.log")
            yield agent
        finally:
            process.kill()
            process.wait()


def await_ready(agent: Agent, log: Path | None = None) -> None:
    """Return when the agent takes tasks; fail, with the end of its log, when it does not come to that."""
    until = time.monotonic() + READY_SECONDS
    while not agent.is_ready():
        dead = agent.process is not None and agent.process.poll() is not None
        if dead or time.monotonic() > until:
            said = log.read_text(errors="replace")[-4000:] if log else f"{agent.url}/healthz does not answer 200"
            raise AssertionError(f"the agent did not become ready:\n{said}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    print(json.dumps(CONFIG, indent=2))  # noqa: T201 - the file that an agent needs to be checked
