"""Processes on a core of their own: begun, measured from outside, ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Process:
    """A process that serves. Its numbers are those of the kernel, its children's included."""

    pid: int
    out: Path

    def cpu_seconds(self) -> float:
        """What it and its children have taken of the core."""
        return sum(_cpu(pid) for pid in self._family())

    def rss_mib(self) -> float:
        """What it and its children hold of the memory."""
        return sum(_rss(pid) for pid in self._family())

    def _family(self) -> list[int]:
        found, rest = [], [self.pid]
        while rest:
            pid = rest.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                rest += [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found


@contextlib.contextmanager
def pinned(
    core: int, command: Sequence[str], out: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """The command on that core, until the end of the block. What it prints is in the file `out`."""
    with out.open("wb") as file:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield Process(process.pid, out)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str, body: bytes, headers: Mapping[str, str], process: Process) -> None:
    """Wait until the URL answers with 200. Raises RuntimeError with what the process said."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})  # noqa: S310 - loopback
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            if answer.status == 200:
                return
        time.sleep(0.3)
    raise RuntimeError(f"{url} does not answer; the process said: {process.out.read_text()[-2000:]}")


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _rss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0
