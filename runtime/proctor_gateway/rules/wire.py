"""JSON as it goes over the wire: in UTF-8, without white space."""

from __future__ import annotations

import json
from typing import Any, Final

# Made once: to make one takes longer than to write a small value with it.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def written(value: Any) -> bytes:
    """The value as JSON."""
    return _ENCODER.encode(value).encode()
