"""One value, one spelling: JSON by RFC 8785, without floats.

A float has many spellings and loses digits on the way: money is text or micros, a rate is text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_LARGEST: Final = 2**53 - 1
"""Above it, readers that keep numbers as doubles (RFC 8785, section 3.2.2.3) see another number."""
_DEEPEST: Final = 64
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: to make it takes longer than to write a small value with it."""


class NotCanonical(ValueError):  # noqa: N818 - a fact about a value
    """The value cannot be written, or the text is not the one spelling of what it says."""


def encode(value: Any) -> bytes:
    """The value's one spelling in UTF-8. Raises NotCanonical for floats, large integers and what is not JSON."""
    try:
        return _ENCODER.encode(_checked(value, _DEEPEST)).encode()
    except UnicodeEncodeError as exc:
        raise NotCanonical("a text holds half of a surrogate pair") from exc


def decode(text: bytes) -> Any:
    """The value of a canonical text. Raises NotCanonical for any other spelling of it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise NotCanonical("not JSON") from exc
    if encode(value) != text:
        raise NotCanonical("not in canonical form")
    return value


def _checked(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise NotCanonical(f"integer {value} is beyond 2^53 - 1: write it as text")
        return int(value)
    if depth == 0:
        raise NotCanonical(f"nested deeper than {_DEEPEST}")
    if isinstance(value, Mapping):
        # For ASCII the order of the texts is that of their UTF-16.
        is_plain = all(isinstance(key, str) and key.isascii() for key in value)
        keys = sorted(value) if is_plain else sorted(value, key=_order)
        return {key: _checked(value[key], depth - 1) for key in keys}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_checked(each, depth - 1) for each in value]
    raise NotCanonical(f"a record holds no {type(value).__name__}")


def _order(key: Any) -> bytes | str:
    """The place of a key: by UTF-16 code units, which for ASCII is the text itself."""
    if not isinstance(key, str):
        raise NotCanonical(f"a key is {type(key).__name__}, not text")
    return key.encode("utf-16-be", "surrogatepass")
