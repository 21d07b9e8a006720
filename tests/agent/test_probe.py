"""What the probe of the network's isolation says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


@contextmanager
def open_port() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def silent_port() -> Iterator[str]:
    """An address that answers nothing, as behind a policy that drops: a listener whose queue is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


def closed_port() -> str:
    """An address at which nobody listens."""
    with open_port() as address:
        return address


def probe(allowed: str, *forbidden: str, log: Path) -> dict[str, object]:
    """Run the probe, and see that it writes the same line to both places."""
    arguments = ["--allowed", allowed, *(part for address in forbidden for part in ("--forbidden", address))]
    command = [sys.executable, "-m", "proctor_agent.probe", *arguments, "--timeout", "1", "--termination-log", str(log)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    assert found.stdout == log.read_text()
    assert found.stdout.count("\n") == 1
    line: dict[str, object] = json.loads(found.stdout)
    return line


def test_each_address_has_its_outcome(tmp_path: Path) -> None:
    """Connected, Refused, TimedOut and Unresolved are told apart, all within one timeout."""
    refused = closed_port()
    with open_port() as connected, silent_port() as silent:
        found = probe(connected, refused, silent, "nowhere.invalid:80", connected, log=tmp_path / "log")
    assert found == {
        "allowed": "Connected",
        "forbidden": {
            refused: "Refused",
            silent: "TimedOut",
            "nowhere.invalid:80": "Unresolved",
            connected: "Connected",
        },
    }


@pytest.mark.parametrize("address", ["nothing", "host:", ":80", "host:http"])
def test_an_address_is_host_and_port(address: str) -> None:
    """What is no `host:port` is refused with a usage error."""
    command = [sys.executable, "-m", "proctor_agent.probe", "--allowed", address]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_a_missing_termination_log_is_no_failure() -> None:
    """Where the termination message cannot be written the line is on stdout all the same."""
    command = [
        sys.executable,
        "-m",
        "proctor_agent.probe",
        "--allowed",
        closed_port(),
        "--termination-log",
        "/none/log",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == {"allowed": "Refused", "forbidden": {}}


def test_a_fence_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """What is open at first and closed within the time to settle is reported as closed."""
    with open_port() as gateway:
        server = socket.create_server(("127.0.0.1", 0))
        forbidden = f"127.0.0.1:{server.getsockname()[1]}"
        arguments = [f"--allowed={gateway}", f"--forbidden={forbidden}", f"--termination-log={tmp_path / 'log'}"]
        command = [sys.executable, "-m", "proctor_agent.probe", *arguments, "--settle=20", "--timeout=1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probing:
            server.accept()[0].close()
            server.close()
            found = json.loads(probing.communicate(timeout=30)[0])
    assert found == {"allowed": "Connected", "forbidden": {forbidden: "Refused"}}


def test_a_fence_that_never_comes_is_reported_as_missing(tmp_path: Path) -> None:
    """When the time to settle is over, what is open is reported as open."""
    with open_port() as gateway, open_port() as forbidden:
        arguments = [f"--allowed={gateway}", f"--forbidden={forbidden}", f"--termination-log={tmp_path / 'log'}"]
        command = [sys.executable, "-m", "proctor_agent.probe", *arguments, "--settle=1", "--timeout=1"]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout)
    assert found == {"allowed": "Connected", "forbidden": {forbidden: "Connected"}}
