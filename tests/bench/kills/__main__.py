"""One run of so many kills, kept in a file beside those before it, and the table of all of them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench.kills.campaign import campaign
from tests.bench.kills.report import Report, keep, kept, table
from tests.gateway import postgres


def main() -> None:
    """Run a campaign and print what it has shown; 1 if something was done twice or a success was not true."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kills")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--towns", type=int, default=4, help="so many installations beside each other")
    parser.add_argument("--runs", type=Path, help="a file of runs: this one is added, and the table is of all of them")
    parser.add_argument("--keep", type=Path, help="a directory for logs that shall be there afterwards")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="proctor-kills-") as found:
        report = _run(chosen.keep or Path(found), chosen)
    if chosen.runs:
        keep(report, chosen.runs)
    sys.stdout.write(table(kept(chosen.runs) if chosen.runs else [report]) + "\n")
    sys.exit(int(not report.is_true))


def _run(directory: Path, chosen: argparse.Namespace) -> Report:
    if chosen.store == "sqlite":
        return asyncio.run(campaign(directory, None, chosen.kills, chosen.seed, chosen.towns))
    home = postgres.binaries()
    if home is None:
        sys.exit("PostgreSQL is not installed")
    with postgres.running(home) as server:
        return asyncio.run(campaign(directory, server, chosen.kills, chosen.seed, chosen.towns))


if __name__ == "__main__":
    main()
