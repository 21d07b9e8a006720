"""The demo's systems as processes, as their images run them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

KEY = "a-key-for-tests"


@dataclass(frozen=True)
class System:
    """A system that serves at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request with the key."""
        headers = {"Authorization": f"Bearer {KEY}", **options.pop("headers", {})}
        return httpx2.request(method, self.url + path, headers=headers, trust_env=False, timeout=20, **options)


@contextmanager
def running(*arguments: str) -> Iterator[System]:
    """`proctor-demo` with these arguments, serving when the block begins."""
    port = _free_port()
    command = [sys.executable, "-m", "proctor_demo.main", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, "API_KEY": KEY})
    system = System(f"http://127.0.0.1:{port}", process)
    try:
        _await_healthy(system)
        yield system
    finally:
        process.terminate()
        process.wait(15)


def _await_healthy(system: System) -> None:
    until = time.monotonic() + 60
    while True:
        assert system.process.poll() is None, "the system ended at its start"
        try:
            if httpx2.get(f"{system.url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            assert time.monotonic() < until, "the system did not start"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
