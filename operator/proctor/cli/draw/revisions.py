"""The revisions of an agent that are kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from rich.console import RenderableType

from proctor.cli.draw.parts import Column, table, text
from proctor.cli.views.agent import RevisionView
from proctor.cli.wording import age

_ROLES = {"stable": "good", "candidate": "busy", "blocked": "bad"}


def revisions(
    found: Iterable[RevisionView], now: datetime, width: int, served: Collection[str] | None = None
) -> RenderableType:
    """In the order given; with those that have served, whether each has."""
    columns = (
        Column("NO", is_number=True),
        Column("REVISION"),
        Column("ROLE"),
        *((Column("SERVED"),) if served is not None else ()),
        Column("AGE", 1),
        Column("MODEL", 2),
        Column("IMAGE", 3),
    )
    lines = (
        [
            text(each.number),
            text(each.revision, "hash"),
            text(each.role or "kept", _ROLES.get(each.role, "quiet")),
            *((text("yes" if each.revision in served else "no", "quiet"),) if served is not None else ()),
            text(age(each.created, now), "quiet"),
            text(each.model),
            text(each.ran, "quiet"),
        ]
        for each in found
    )
    return table(columns, lines, width)
