"""What a person wants to send: a text, or JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from proctor.cli.errors import Misused

_STRUCTURED = {".json", ".yaml", ".yml"}


def chosen(argument: str | None, file: Path | None, *, as_text: bool) -> Any:
    """The input from the argument, the file, or standard input (for `-`, or where neither is given and it is piped)."""
    if argument is not None and file is not None:
        raise Misused("INPUT and --file exclude each other")
    if file is not None and str(file) != "-":
        return from_file(file, as_text=as_text)
    if argument in {None, "-"}:
        if argument is None and file is None and sys.stdin.isatty():
            raise Misused(
                "an input is needed",
                'kubectl proctor invoke NAME "What is asked"',
                "or -f FILE, or - for standard input",
            )
        return parsed(sys.stdin.read().rstrip("\n"), "standard input", as_text=as_text)
    return parsed(argument or "", "INPUT", as_text=as_text)


def from_file(path: Path, *, as_text: bool) -> Any:
    """The file's JSON or YAML by its ending; any other file as text. Raises Misused."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Misused(f"{path} cannot be read: {exc}") from exc
    if as_text or path.suffix not in _STRUCTURED:
        return text if as_text else parsed(text.rstrip("\n"), str(path), as_text=False)
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as exc:
        raise Misused(f"{path} is not what its ending says: {exc}", "--text sends it as it is") from exc


def parsed(text: str, source: str, *, as_text: bool) -> Any:
    """JSON if it begins like an object or a list, else the text itself: nobody means a list by accident."""
    if as_text or not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError as exc:
        raise Misused(f"{source} begins like JSON, but is none: {exc}", "--text sends it as a text") from exc
