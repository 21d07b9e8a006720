"""Checks from inside a sandbox what its network lets through: `python -m proctor_agent.probe`.

The operator runs this in a pod that is shaped like an agent's, because a NetworkPolicy that nothing enforces looks
the same in the API as one that is enforced. Only the standard library: the probe must start in no time.
"""

from __future__ import annotations

import argparse
import errno
import json
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_DESCRIPTION = """\
Opens a TCP connection to each address and says what came of it: one line of JSON on stdout and in the
termination message of the container.

  Connected    the connection was opened
  Refused      something answered that there is no service, or that the way is closed (also ICMP unreachable)
  TimedOut     nothing answered: what a NetworkPolicy that drops packets looks like
  Unresolved   the name has no address, or nobody could be asked for it: says nothing about the network policy
"""

_PERIOD = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Probe, report, and return 0 whatever was found: the verdict is the operator's."""
    arguments = _parser().parse_args(argv)
    found = settled(arguments.allowed, arguments.forbidden, arguments.timeout, arguments.settle)
    line = json.dumps(found, separators=(",", ":"))
    print(line)  # noqa: T201 - this is the output
    try:
        arguments.termination_log.write_text(line + "\n", encoding="utf-8")
    except OSError as exc:
        print(f"{arguments.termination_log}: {exc.strerror}", file=sys.stderr)  # noqa: T201
    return 0


def settled(allowed: str, forbidden: Sequence[str], seconds: float, settle: float) -> dict[str, object]:
    """What came of each address at last: probed again for up to `settle` seconds until the fence is as it should be.

    A network plugin programs a new pod's rules some time after the pod has started: until then it is open, or closed.
    """
    until = time.monotonic() + settle
    while True:
        found = probe(allowed, forbidden, seconds)
        outcomes = found["forbidden"]
        is_open = isinstance(outcomes, dict) and "Connected" in outcomes.values()
        if time.monotonic() > until or (found["allowed"] == "Connected" and not is_open):
            return found
        time.sleep(_PERIOD)


def probe(allowed: str, forbidden: Sequence[str], seconds: float) -> dict[str, object]:
    """What came of each address, `host:port`; all are tried at once, so that the whole takes `seconds` at most."""
    attempts = [_Attempt(address, seconds) for address in (allowed, *forbidden)]
    until = time.monotonic() + seconds
    for attempt in attempts:
        attempt.join(max(0.0, until - time.monotonic()))
    outcomes = [attempt.outcome for attempt in attempts]
    return {"allowed": outcomes[0], "forbidden": dict(zip(forbidden, outcomes[1:], strict=True))}


class _Attempt(threading.Thread):
    """One connection.

    A thread, because a name server that does not answer holds the resolver up beyond any timeout; a daemon, so that
    the process does not wait for it.
    """

    def __init__(self, address: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self._host, self._port = _parted(address)
        self._seconds = seconds
        self.outcome = "Unresolved"
        self.start()

    def run(self) -> None:
        """Resolve, then connect to the first address."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
        except OSError:
            return
        self.outcome = "TimedOut"
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(self._seconds)
            try:
                connection.connect(address)
            except TimeoutError:
                return
            except OSError as exc:
                self.outcome = "TimedOut" if exc.errno == errno.ETIMEDOUT else "Refused"
            else:
                self.outcome = "Connected"


def _parted(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def _address(text: str) -> str:
    _parted(text)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proctor_agent.probe",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--allowed", type=_address, required=True, metavar="HOST:PORT", help="must be reachable")
    parser.add_argument(
        "--forbidden", type=_address, action="append", default=[], metavar="HOST:PORT", help="must not be; repeatable"
    )
    parser.add_argument("--timeout", type=float, default=3.0, metavar="SECONDS", help="of each (%(default)s)")
    parser.add_argument(
        "--settle", type=float, default=0.0, metavar="SECONDS", help="how long a network may take (%(default)s)"
    )
    parser.add_argument(
        "--termination-log", type=Path, default=Path("/dev/termination-log"), metavar="FILE", help="(%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
