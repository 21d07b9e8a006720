"""The long form: so many kills on one store, and the table."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.bench.kills.campaign import Report, campaign, table
from tests.gateway import postgres


def main() -> None:
    """Run a campaign and print what it has shown; 1 if something was done twice or a success was not true."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kills")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="proctor-kills-") as found:
        report = _run(Path(found), chosen.store, chosen.kills, chosen.seed)
    sys.stdout.write(table(report) + "\n")
    sys.exit(int(bool(report.untold) or any(max(each.effects, default=0) > 1 for each in report.tallies.values())))


def _run(directory: Path, store: str, kills: int, seed: int) -> Report:
    if store == "sqlite":
        return asyncio.run(campaign(directory, f"sqlite:///{directory}/store.db", kills, seed))
    home = postgres.binaries()
    if home is None:
        sys.exit("PostgreSQL is not installed")
    with postgres.running(home) as server:
        return asyncio.run(campaign(directory, server.database(), kills, seed, gateways=2))


if __name__ == "__main__":
    main()
