"""Remembers the gateway's checkpoints where the gateway cannot reach them, and raises the alarm if one does not follow.

The ConfigMap `proctor-record` is written by the operator alone. A checkpoint is anchored only with a proof that the log
still begins as it did; what fails that is told by an Event, a metric and an entry beside the anchor, which stays as it
was: it is the evidence.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from proctor.api import names
from proctor.audit import memory
from proctor.audit.anchors import Alarm, Same, judge
from proctor.audit.memory import Memory
from proctor.audit.notes import BadNote, Verifier, unchecked
from proctor.plan.said import NoAnswer
from proctor.plan.world import Event, Manifest
from proctor.shell import metrics
from proctor.shell.errors import Blocked, Retry
from proctor.shell.ports import Clock, Kube
from proctor.shell.record import LogSaid

log = structlog.get_logger()


class Record(Protocol):
    """The gateway's record. It never raises."""

    async def logs(self) -> Sequence[LogSaid] | NoAnswer:
        """All logs that are kept."""

    async def checkpoint(self, log: str) -> str | NoAnswer:
        """The log's newest signed checkpoint."""

    async def consistency(self, log: str, old: int, new: int) -> list[bytes] | NoAnswer:
        """The proof that the log at one size begins with the log at another."""


class Anchorer:
    """One round looks at every log. `retention` is how long the gateway keeps a closed one."""

    def __init__(
        self, kube: Kube, record: Record, clock: Clock, namespace: str, retention: timedelta, file: Path | None = None
    ) -> None:
        self._kube = kube
        self._record = record
        self._clock = clock
        self._namespace = namespace
        self._retention = retention
        self._file = file

    async def run(self, seconds: float) -> None:
        """Never returns."""
        while True:
            try:
                await self.round()
            except (Retry, Blocked) as exc:
                log.warning("the record is not anchored", reason=str(exc))
            except Exception:
                log.exception("a round of anchoring failed")
            await asyncio.sleep(seconds)

    async def round(self) -> None:
        """Look at every log once. Raises Retry or Blocked if the ConfigMap cannot be read or written."""
        logs = await self._record.logs()
        if isinstance(logs, NoAnswer):
            log.info("the record cannot be asked", reason=logs.reason)
            return
        found = await self._kube.get("ConfigMap", self._namespace, names.RECORD)
        data: dict[str, str] = dict((found or {}).get("data") or {})
        try:
            known = memory.load(data)
        except BadNote as exc:
            log.error("what was anchored cannot be read; nothing is written over it", error=str(exc))  # noqa: TRY400
            metrics.ANCHOR_ALARMS.labels("Unreadable").inc()
            return
        raised = [alarm for each in logs if (alarm := await self._look(each, known, data))]
        raised += self._missing(known, {each.id for each in logs}, data)
        if data != ((found or {}).get("data") or {}):
            written = await self._kube.apply(_manifest(self._namespace, data, found))
            await self._tell([*raised, *_new_keys(known, memory.load(data))], written)
        metrics.ANCHORED.set(self._clock.now().timestamp())

    async def _look(self, said: LogSaid, known: dict[str, Memory], data: dict[str, str]) -> Alarm | None:
        """Anchor the log's newest checkpoint in `data`, or say what is wrong with it."""
        before = known.get(said.id)
        if not said.signed_size or (before and before.is_closed and before.checkpoint.size == said.signed_size):
            return None
        note = await self._record.checkpoint(said.id)
        if isinstance(note, NoAnswer):
            log.info("a checkpoint cannot be had", log=said.id, reason=note.reason)
            return None
        proof = await self._proof(said, before, note)
        if isinstance(proof, NoAnswer):
            log.info("a proof cannot be had", log=said.id, reason=proof.reason)
            if not proof.is_refused:
                return None
            proof = []
        last = before.checkpoint if before else None
        verdict = judge(last, note, _trusted(said, before), proof)
        if isinstance(verdict, Alarm):
            return self._raise(said.id, verdict, note, data)
        now = self._now()
        if before is None:
            kept = memory.first(said.id, said.verifier, note, now, is_closed=said.is_closed)
        elif isinstance(verdict, Same) and before.is_closed == said.is_closed:
            return None
        else:
            kept = before.advanced(note, now, is_closed=said.is_closed)
        data[said.id] = memory.entry(kept)[1]
        await self._write_down(kept)
        return None

    async def _proof(self, said: LogSaid, before: Memory | None, note: str) -> list[bytes] | NoAnswer:
        try:
            new = unchecked(note).size
        except BadNote:
            return []
        old = before.checkpoint.size if before else 0
        return await self._record.consistency(said.id, old, new) if 0 < old < new else []

    def _missing(self, known: dict[str, Memory], there: set[str], data: dict[str, str]) -> list[Alarm]:
        """Logs that were anchored and are gone before their time."""
        raised = []
        for each in known.values():
            if each.log in there:
                continue
            last = datetime.fromisoformat(each.history[-1].at)
            if each.is_closed and self._clock.now() - last > self._retention - timedelta(days=1):
                data.pop(each.log)
                continue
            alarm = Alarm("LogMissing", f"log {each.log} of {each.checkpoint.size} records is gone")
            if self._raise(each.log, alarm, each.note, data):
                raised.append(alarm)
        return raised

    def _raise(self, name: str, alarm: Alarm, note: str, data: dict[str, str]) -> Alarm | None:
        """The alarm, if it is not raised already."""
        metrics.ANCHOR_ALARMS.labels(alarm.reason).inc()
        log.error("the record is not what it was", log=name, reason=alarm.reason, message=alarm.message)
        key, text = memory.alarm_entry(name, alarm, note, self._now())
        if key in data and json.loads(data[key])["reason"] == alarm.reason:
            return None
        data[key] = text
        return alarm

    async def _tell(self, raised: Sequence[Alarm], about: Manifest) -> None:
        for each in raised:
            event = Event(f"Record{each.reason}", each.message, "Warning")
            await self._kube.tell(about, event, self._clock.now())

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")

    async def _write_down(self, kept: Memory) -> None:
        if self._file is None:
            return
        line = json.dumps({"log": kept.log, **kept.history[-1].dump(), "checkpoint": kept.note})
        try:
            await asyncio.to_thread(_append, self._file, line)
        except OSError as exc:
            log.warning("the anchor file cannot be written", error=str(exc))


def _trusted(said: LogSaid, before: Memory | None) -> list[Verifier]:
    """The key that the log had when it was first seen: a log never changes its key."""
    try:
        return [Verifier.parse(before.verifier if before else said.verifier)]
    except BadNote:
        return []


def _new_keys(before: dict[str, Memory], after: dict[str, Memory]) -> list[Alarm]:
    """Logs under a key that no log had before. It may be a rotation; whoever did not order one should hear of it."""
    known = {Verifier.parse(each.verifier).key for each in before.values()}
    return [
        Alarm("KeyChanged", f"log {each.log} is signed by another key than the logs before it: {each.verifier}")
        for each in after.values()
        if known and each.log not in before and Verifier.parse(each.verifier).key not in known
    ]


def _manifest(namespace: str, data: dict[str, str], found: Manifest | None) -> Manifest:
    metadata = {"name": names.RECORD, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "proctor"}}
    if found is not None:
        # Onto the version that was read: whatever another wrote in between is looked at first.
        metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _append(file: Path, line: str) -> None:
    with file.open("a") as opened:
        opened.write(line + "\n")
