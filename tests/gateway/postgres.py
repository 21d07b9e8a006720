"""A real PostgreSQL, started for the tests as a user without privileges, reached by a socket in its own directory."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HOMES = "/usr/lib/postgresql"


@dataclass(frozen=True)
class Server:
    """A running server."""

    binaries: Path
    directory: Path
    user: str | None

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        _run(self, "createdb", "-h", str(self.directory), "-U", "proctor", name)
        return f"postgresql://proctor@/{name}?host={self.directory}"


def binaries() -> Path | None:
    """Where the server's programs are, if they are installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    homes = sorted(Path(_HOMES).glob("*/bin/initdb"))
    return homes[-1].parent if homes else None


@contextlib.contextmanager
def running(home: Path) -> Iterator[Server]:
    """A server that serves inside."""
    user = _unprivileged() if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="proctor-pg-", dir="/tmp") as found:
        directory = Path(found)
        if user is not None:
            shutil.chown(directory, user)
        server = Server(home, directory, user)
        data = str(directory / "data")
        _run(server, "initdb", "-D", data, "-U", "proctor", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off -c max_connections=240"
        _run(server, "pg_ctl", "-D", data, "-o", options, "-l", str(directory / "log"), "-w", "start")
        try:
            yield server
        finally:
            _run(server, "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _run(server: Server, program: str, *arguments: str) -> None:
    # initdb and pg_ctl refuse to work for root.
    command = [str(server.binaries / program), *arguments]
    done = subprocess.run(
        command,
        user=server.user,
        cwd=server.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, f"{program}: {done.stdout}"


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
