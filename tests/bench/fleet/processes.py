"""The run's own processes: started, measured from /proc, ended by their ids. None outlives the run."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.fleet.errors import RunError

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 20.0
_SHOWN_LINES = 15
_LIBC = ctypes.CDLL(None)


class Process:
    """One running program. Its output goes to a log of its own."""

    def __init__(self, name: str, running: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._running = running
        self._log = log

    @classmethod
    async def start(
        cls, name: str, argv: Sequence[str | Path], logs: Path, env: Mapping[str, str] | None = None
    ) -> Process:
        """Starts the program; `env` is added to the environment."""
        log = logs / f"{name}.log"
        with log.open("ab") as out:
            running = await asyncio.create_subprocess_exec(
                *map(str, argv),
                env={**os.environ, **(env or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # A Ctrl-C at the terminal is ours to handle: the control plane must not go before the operator.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return cls(name, running, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running.pid

    def check(self) -> None:
        """Raises RunError if the process has ended, with the end of its log."""
        code = self._running.returncode
        if code is not None:
            raise RunError(f"{self.name} ended with code {code}:\n{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of the log."""
        lines = self._log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        return "\n".join(f"  {line[:300]}" for line in lines)

    def cpu_seconds(self) -> float:
        """User and system time so far; 0 after the end."""
        try:
            after_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(after_name[11]) + int(after_name[12])) / _TICKS

    def rss_mib(self) -> float:
        """Resident memory now."""
        return self._status("VmRSS")

    def max_rss_mib(self) -> float:
        """The most resident memory since the start."""
        return self._status("VmHWM")

    async def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not help; returns when the process is gone, with its exit code."""
        self.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                return await self._running.wait()
        except TimeoutError:
            self._running.kill()
            return await self._running.wait()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        if self._running.returncode is None:
            self._running.send_signal(signal.SIGTERM)

    def _status(self, field: str) -> float:
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def _die_with_parent() -> None:
    # Otherwise a run that is killed would leave a control plane behind.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
