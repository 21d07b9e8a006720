"""The fleet as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from proctor.cli.draw.parts import Column, table, text, toned
from proctor.cli.views.fleet import FleetRow
from proctor.cli.views.tone import Tone
from proctor.cli.wording import age, counted

_COLUMNS = (
    Column("NAMESPACE", 1),
    Column("NAME"),
    Column("READY"),
    Column("REASON", 1),
    Column("STABLE", 3),
    Column("CANDIDATE", 2),
    Column("PHASE", 6),
    Column("PODS", 2),
    Column("ISOLATION", 4),
    Column("MODEL", 7),
    Column("OWNER", 8),
    Column("AGE", 5),
)
_ISOLATION = {"Verified": Tone.GOOD, "NotEnforced": Tone.WARN}


def fleet(rows: Sequence[FleetRow], now: datetime, width: int) -> RenderableType:
    """The table, and below it how many there are of which kind."""
    lines = table(_COLUMNS, (_cells(row, now) for row in rows), width)
    return Group(lines, Text(), summary(rows))


def summary(rows: Sequence[FleetRow]) -> Text:
    """`12 agents: 10 ready, 2 not`."""
    ready = sum(row.is_ready for row in rows)
    parts = [counted(len(rows), "agent"), f"{ready} ready"]
    off = sum(row.tone is Tone.OFF for row in rows)
    bad = len(rows) - ready - off
    parts += [f"{off} stopped"] if off else []
    line = Text(" · ".join(parts), style="quiet")
    return line.append(f" · {bad} not ready", style="bad") if bad else line


def change(row: FleetRow, now: datetime) -> Text:
    """One line about an agent that changed."""
    parts = [now.astimezone().strftime("%H:%M:%S"), f"{row.namespace}/{row.name}", f"Ready={row.ready}", row.reason]
    parts += [f"stable={row.stable}"] if row.stable else []
    parts += [f"candidate={row.candidate}"] if row.candidate else []
    parts += [f"phase={row.phase}"] if row.phase else []
    parts += [f"pods={pod_count(row)}"] if row.replicas is not None else []
    line = text("  ".join(parts), row.tone.value)
    return line.append(f"  {text(row.message).plain}", style="quiet") if row.message else line


def pod_count(row: FleetRow) -> str:
    """`1/2`: ready of wanted."""
    return "-" if row.replicas is None else f"{row.ready_replicas or 0}/{row.replicas}"


def _cells(row: FleetRow, now: datetime) -> Sequence[Text]:
    is_short = row.replicas is not None and (row.ready_replicas or 0) < row.replicas and row.tone is not Tone.OFF
    isolation = _ISOLATION.get(row.isolation or "", Tone.UNKNOWN) if row.isolation else Tone.QUIET
    return [
        text(row.namespace, "quiet"),
        text(row.name, "name"),
        toned(row.tone, row.ready),
        text(row.reason, row.tone.value if row.tone is not Tone.GOOD else ""),
        text(row.stable or "-", "hash" if row.stable else "quiet"),
        text(row.candidate or "-", "busy" if row.candidate else "quiet"),
        text(row.phase or "-"),
        text(pod_count(row), "warn" if is_short else ""),
        text(row.isolation or "-", isolation.value if isolation is not Tone.GOOD else ""),
        text(row.model or "-"),
        text(row.owner or "-", "quiet"),
        text(age(row.created, now), "quiet"),
    ]
