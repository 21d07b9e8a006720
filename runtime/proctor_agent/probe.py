"""Checks from inside a sandbox what its network lets through: `python -m proctor_agent.probe`.

The operator runs this in a pod that is shaped like an agent's, because a NetworkPolicy that nothing enforces looks
the same in the API as one that is enforced. Only the standard library: the probe must start in no time.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

_DESCRIPTION = """\
Opens a TCP connection to each address and says what came of it: one line of JSON on stdout and in the
termination message of the container.

  Connected    the connection was opened
  Refused      something answered that there is no service, or that the way is closed (also ICMP unreachable)
  TimedOut     nothing answered: what a NetworkPolicy that drops packets looks like
  Unresolved   the name has no address
"""
Result = str


def main(argv: Sequence[str] | None = None) -> int:
    """Probe, report, and return 0 whatever was found: the verdict is the operator's."""
    arguments = _parser().parse_args(argv)
    found = asyncio.run(probe(arguments.allowed, arguments.forbidden, arguments.timeout))
    line = json.dumps(found, separators=(",", ":"))
    print(line)  # noqa: T201 - this is the output
    try:
        arguments.termination_log.write_text(line + "\n", encoding="utf-8")
    except OSError as exc:
        print(f"{arguments.termination_log}: {exc.strerror}", file=sys.stderr)  # noqa: T201
    return 0


async def probe(allowed: str, forbidden: Sequence[str], timeout: float) -> dict[str, object]:  # noqa: ASYNC109 - of each connection
    """What came of each address, `host:port`; all are tried at once, so that the whole takes one timeout."""
    results = await asyncio.gather(*(_try(address, timeout) for address in (allowed, *forbidden)))
    return {"allowed": results[0], "forbidden": dict(zip(forbidden, results[1:], strict=True))}


async def _try(address: str, seconds: float) -> Result:
    host, port = _parted(address)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "TimedOut"
    except socket.gaierror:
        return "Unresolved"
    except OSError as exc:
        return "TimedOut" if exc.errno == errno.ETIMEDOUT else "Refused"
    writer.close()
    return "Connected"


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
        "--termination-log", type=Path, default=Path("/dev/termination-log"), metavar="FILE", help="(%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
