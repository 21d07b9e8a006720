"""Runs other programs."""

from __future__ import annotations

import os
import subprocess
from typing import IO, TYPE_CHECKING

from proctor_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SHOWN_LINES = 30
_SHOWN_WIDTH = 600


class CommandError(ClusterError):
    """A program ended with an error. The text holds its name, its exit code and the end of what it said."""

    def __init__(self, argv: Sequence[str], code: int, said: str) -> None:
        """``argv`` is shown as it is: secrets go to programs by standard input or files, never as arguments."""
        tail = "\n".join(f"  {_shortened(line)}" for line in said.strip().splitlines()[-_SHOWN_LINES:])
        super().__init__(f"{' '.join(argv)}: exit code {code}\n{tail}".rstrip())
        self.code = code
        self.said = said


def _shortened(line: str) -> str:
    return line if len(line) <= _SHOWN_WIDTH else f"{line[:_SHOWN_WIDTH]} … ({len(line)} characters)"


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program and return its standard output. Raises CommandError; ``env`` is added to the environment."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise CommandError(words, -1, f"no end within {timeout} s") from late
    except OSError as missing:
        raise CommandError(words, 127, str(missing)) from missing
    if done.returncode:
        raise CommandError(words, done.returncode, done.stderr or done.stdout)
    return done.stdout


def run_to_log(argv: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Run a long program whose output, both streams, goes to the file ``log``. Raises CommandError with its end."""
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        code = _exit_code(words, out, env)
    if code:
        raise CommandError(words, code, f"{log.read_text(errors='replace')}\n(all of it: {log})")


def _exit_code(words: Sequence[str], out: IO[str], env: Mapping[str, str] | None) -> int:
    try:
        return subprocess.run(
            words, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False
        ).returncode
    except OSError as missing:
        raise CommandError(words, 127, str(missing)) from missing


def last_line(log: Path) -> str:
    """The last line written to ``log`` so far; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
