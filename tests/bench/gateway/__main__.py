"""`python -m tests.bench.gateway [--seconds 5] [--connections 1 32 128] [--envoy PROGRAM] [--litellm PROGRAM]`.

`--without 0 2` loads the whole gateway and one without its two outermost layers; all from 0 on if it is not given.
Prints a table: each server on core 0 in turn, load and upstream on core 1. Needs nginx and wrk, and two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.gateway import contenders
from tests.bench.gateway.added import Way, measure
from tests.bench.gateway.contenders import Contender
from tests.bench.gateway.load import Sample, sample, script
from tests.bench.gateway.subject import LAYERS

_SERVER, _LOAD = 0, 1
_WARM_SECONDS = 2
_WARM_CONNECTIONS = 8
_MEMORY = Path("/dev/shm")


def main() -> None:
    """Run all, and print what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--envoy")
    parser.add_argument("--litellm")
    parser.add_argument("--without", type=int, nargs="+", default=range(len(LAYERS) + 1), metavar="LAYERS")
    options = parser.parse_args()
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as found, contextlib.ExitStack() as stack:
        directory = Path(found)
        bare = stack.enter_context(contenders.upstream(directory, _LOAD))
        _say(f"load average {os.getloadavg()[0]:.1f} before")
        _say("")
        heads = [f"requests/s at {each} | p50 / p99 ms | CPU ms each" for each in options.connections]
        _say(f"| on one core | {' | '.join(heads)} | MiB |")
        _say("|---" * (3 * len(heads) + 2) + "|")
        _show(bare, options, directory)
        for begin in _others(options, directory):
            with begin() as contender:
                _show(contender, options, directory)
        _say("")
        _show_added(directory)
        _say("")
        _say(f"load average {os.getloadavg()[0]:.1f} after; each cell {options.seconds} s")


def _others(
    options: argparse.Namespace, directory: Path
) -> Iterator[Callable[[], contextlib.AbstractContextManager[Contender]]]:
    if options.envoy:
        yield lambda: contenders.envoy(directory, _SERVER, options.envoy)
    for count in options.without:
        yield lambda count=count: contenders.gateway(directory / f"without-{count}", _SERVER, LAYERS[:count])  # type: ignore[misc]
    if options.litellm:
        yield lambda: contenders.litellm(directory, _SERVER, options.litellm)


def _show(contender: Contender, options: argparse.Namespace, directory: Path) -> None:
    lua = script(directory, contender.tokens)
    sample(contender.url, lua, _WARM_CONNECTIONS, _WARM_SECONDS, contender.process, _LOAD)
    found = [
        sample(contender.url, lua, connections, options.seconds, contender.process, _LOAD)
        for connections in options.connections
    ]
    _say(f"| {contender.name} | {' | '.join(_cells(each) for each in found)} | {contender.process.rss_mib():.0f} |")


def _show_added(directory: Path) -> None:
    _say("| one at a time, ms | directly p50 | through the gateway p50 / p99 | added p50 |")
    _say("|---|---|---|---|")
    port = contenders.SYSTEM_PORT
    with (
        contenders.system(directory, _LOAD),
        contenders.gateway(directory / "added", _SERVER, model_port=port) as found,
    ):
        through = Way(int(found.url.rpartition(":")[2]), "/mcp/bank", found.tokens)
        for each in measure(Way(port, "/mcp", ["none"]), through, _LOAD):
            added = each.through - each.direct
            _say(f"| {each.name} | {each.direct:.2f} | {each.through:.2f} / {each.through_p99:.1f} | {added:.2f} |")


def _cells(each: Sample) -> str:
    refused = f" ({each.refused} refused)" if each.refused else ""
    return f"{each.rate:,.0f}{refused} | {each.p50:.2f} / {each.p99:.1f} | {each.cpu:.2f}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
