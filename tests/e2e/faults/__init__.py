"""Manifests that the API server must refuse: each a valid one with one fault, and what the refusal must say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.api.manifests import GONE, changed, load

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Fault:
    """One fault: what it is, in which valid manifest it is made, and the field and the reason that are named."""

    base: str
    what: str
    changes: dict[str, Any]
    field: str
    reason: str

    def manifest(self) -> dict[str, Any]:
        """The faulty manifest."""
        return changed(load(self.base), self.changes)


def _read(path: Path) -> list[Fault]:
    return [
        Fault(
            base,
            row["what"],
            row.get("set", {}) | dict.fromkeys(row.get("gone", ()), GONE),
            row["field"],
            row["reason"],
        )
        for base, rows in yaml.safe_load(path.read_text()).items()
        for row in rows
    ]


FAULTS: Final = tuple(fault for path in sorted(_HERE.glob("*.yaml")) for fault in _read(path))
