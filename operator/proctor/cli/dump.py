"""Views as JSON and YAML: the same facts as the table shows, with names that scripts can rely on."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from enum import Enum
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from proctor.api.fields import format_time
from proctor.cli.wording import UNSAFE


def plain(value: Any) -> Any:
    """The value as JSON's own types: camelCase names, RFC 3339 times, nothing that is not known."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [plain(each) for each in value]
    if dataclasses.is_dataclass(value):
        fields = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
        return {to_camel(name): plain(each) for name, each in fields if each is not None}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True, exclude_none=True)
        case datetime():
            return format_time(value)
        case Enum():
            return value.value
        case _:
            return value


def as_json(value: Any) -> str:
    """Indented JSON. Characters that command a terminal are escaped: somebody may look at it in one."""
    return _harmless(json.dumps(plain(value), indent=2, ensure_ascii=False))


def as_json_line(value: Any) -> str:
    """JSON on one line."""
    return _harmless(json.dumps(plain(value), ensure_ascii=False))


def _harmless(text: str) -> str:
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_TEXT: Final = "tag:yaml.org,2002:str"


class _Readable(yaml.SafeDumper):
    """YAML for people: no anchors, long texts as blocks."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the parent's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if UNSAFE.search(text):
        return dumper.represent_scalar(_TEXT, text, style='"')
    if "\n" in text:
        return dumper.represent_scalar(_TEXT, text, style="|")
    is_plain = dumper.resolve(yaml.ScalarNode, text, (True, False)) == _TEXT  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(_TEXT, text, style=None if is_plain else '"')


_Readable.add_representer(str, _text)


def as_yaml(value: Any) -> str:
    """YAML with the keys in the order of the view. What commands a terminal is escaped, as in JSON."""
    # Texts with such characters are in double quotes, where the escapes of JSON mean the same.
    return _harmless(yaml.dump(plain(value), Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120))
