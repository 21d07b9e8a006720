"""Killed at any moment, the record stays whole, and nothing of which anybody was told that it is durable is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from proctor.audit.archive import files_of
from proctor.audit.notes import Verifier, unchecked
from proctor.audit.records import Record
from proctor.audit.verifier import verify
from proctor_gateway.record import reading
from proctor_gateway.store.database import Database
from tests.gateway.house import record_keys

_STRIKES = 40


@pytest.mark.slow
async def test_killed_at_every_statement_and_at_random_moments(store: str, directory: Path):
    """Some eighty lives, each killed with SIGKILL in the middle of appending, on both engines."""
    acks = directory / "acks"
    command = [sys.executable, "-m", "tests.gateway.appender", store, str(record_keys(directory)), str(acks)]
    await asyncio.to_thread(subprocess.run, [*command, str(_STRIKES)], check=True, timeout=240)
    told = acks.read_text().split()
    assert len(told) > _STRIKES
    assert "FAULT" not in told
    database = Database(store)
    async with database.running():
        logs = await database.read(reading.logs)
        files, trusted, kept = {}, [], []
        for log in logs:
            notes = await database.read(lambda c, log=log: reading.notes(c, log.id, 0, 100_000))
            lines = await database.read(lambda c, log=log: reading.lines(c, log.id, 0, 1_000_000))
            by_size = {unchecked(note).size: note for note in notes}
            files[log.id] = files_of(lines[: max(by_size)], by_size)
            trusted.append(Verifier.parse(log.verifier))
            kept += [Record.parse(line) for line in lines]
    assert verify(files, trusted).is_whole
    ids = [each.fields["id"] for each in kept if "id" in each.fields]
    assert len(ids) == len(set(ids))
    assert set(told) <= set(ids)
    # One log throughout: each life went on with it, and said so.
    assert len(logs) == 1
    assert sum(each.type == "log.recovered" for each in kept) > _STRIKES
