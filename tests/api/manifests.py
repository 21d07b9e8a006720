"""The valid manifests of every kind, and small changes to them."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

VALID: Final = Path(__file__).parent / "valid"
NAMES: Final = sorted(path.stem for path in VALID.glob("*.yaml"))
GONE: Final = object()
"""In a change: the field is taken away."""

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def load(name: str) -> dict[str, Any]:
    """The manifest `tests/api/valid/<name>.yaml`."""
    body: dict[str, Any] = yaml.safe_load((VALID / f"{name}.yaml").read_text())
    return body


def changed(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with other values at paths such as `spec.steps[0].needs`. Objects on the way appear."""
    copied = copy.deepcopy(dict(manifest))
    for path, value in changes.items():
        *way, last = [int(index) if index else name for name, index in _STEP.findall(path)]
        place: Any = copied
        for step in way:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return copied
