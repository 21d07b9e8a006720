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
_CONTAINERS: Final = (dict, list)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
"""Made once: to make it takes longer than to write a small value with it. Sorting is right for keys of ASCII alone."""
_IN_ORDER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class NotCanonical(ValueError):  # noqa: N818 - a fact about a value
    """The value cannot be written, or the text is not the one spelling of what it says."""


def encode(value: Any) -> bytes:
    """The value's one spelling in UTF-8. Raises NotCanonical for floats, large integers and what is not JSON."""
    try:
        if type(value) is str or (type(value) in _CONTAINERS and _is_plain(value, _DEEPEST)):
            return _ENCODER.encode(value).encode()
        return _IN_ORDER.encode(_checked(value, _DEEPEST)).encode()
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


def _is_plain(value: Any, depth: int) -> bool:
    """Whether the encoder alone gives the one spelling: all that a record usually holds. It saves a copy of it."""
    is_object = type(value) is dict
    if depth == 0 or (is_object and not _has_plain_keys(value)):
        return False
    for each in value.values() if is_object else value:
        kind = type(each)
        if kind is str or each is None or kind is bool:
            continue
        if kind is int:
            if not -_LARGEST <= each <= _LARGEST:
                return False
        elif kind in _CONTAINERS:
            if not _is_plain(each, depth - 1):
                return False
        elif not isinstance(each, str):
            return False
    return True


def _has_plain_keys(value: Mapping[Any, Any]) -> bool:
    for key in value:  # noqa: SIM110 - a generator takes several times as long
        if type(key) is not str or not key.isascii():
            return False
    return True


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
