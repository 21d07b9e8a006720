"""Content digests: the same content gives the same digest, whatever the order of its keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""Made once: to make it takes longer than to write a small value with it."""
_PINNED = ("name", "description", "inputSchema", "outputSchema", "annotations")


def canonical(value: object) -> bytes:
    """JSON with sorted keys, no white space, UTF-8: RFC 8785 for values without floats of extreme size."""
    return _ENCODER.encode(value).encode()


def sha256(value: object) -> str:
    """`sha256:` and the hex digest of the value's canonical JSON."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def short(value: object, length: int = 10) -> str:
    """The first `length` hex characters of the value's digest: enough for a name, not for a proof."""
    return hashlib.sha256(canonical(value)).hexdigest()[:length]


def of_tool(definition: Mapping[str, Any]) -> str:
    """The digest that pins an MCP tool's definition: all that a model is told about the tool, nothing else."""
    return sha256({key: definition[key] for key in _PINNED if definition.get(key) is not None})
