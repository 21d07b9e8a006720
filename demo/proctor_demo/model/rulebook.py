"""The rules file on disk: loaded, checked, and read anew when it changes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from proctor_demo.model.rules import RuleSet


class InvalidRules(Exception):  # noqa: N818 - it names what happened
    """A rules file that cannot be used; the message names each rule and field at fault."""


class Rulebook:
    """The rules in a file. A changed file is taken over if it is valid; else the former rules stay in force."""

    def __init__(self, path: Path) -> None:
        """Load `path`.

        Raises:
            InvalidRules: the file cannot be read or says something wrong.
        """
        self._path = path
        self._stamp = self._stamped()
        self._rules = load(path)
        self.generation = 1
        self.error: str | None = None

    def current(self) -> RuleSet:
        """The rules in force now."""
        if (stamp := self._stamped()) != self._stamp:
            self._stamp = stamp
            self._take_over()
        return self._rules

    def _take_over(self) -> None:
        try:
            self._rules = load(self._path)
        except InvalidRules as exc:
            self.error = str(exc)
            print(f"proctor-demo: the former rules stay in force: {exc}", file=sys.stderr)
        else:
            self.error = None
            self.generation += 1

    def _stamped(self) -> tuple[int, int, int] | None:
        # The inode too: a mounted ConfigMap changes by a swapped symbolic link, possibly within one clock tick.
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def load(path: Path) -> RuleSet:
    """The rules in a file.

    Raises:
        InvalidRules: it cannot be read or says something wrong.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as exc:
        raise InvalidRules(f"{path}: {exc}") from exc
    try:
        return RuleSet.model_validate(document)
    except ValidationError as exc:
        lines = [f"  {_place(error['loc'], document)}: {_reason(error)}" for error in exc.errors()]
        raise InvalidRules("\n".join([f"{path} is not valid:", *lines])) from exc


def _place(location: Sequence[int | str], document: Any) -> str:
    """Name the rule and the field, as the file's author sees them."""
    match location:
        case ["rules", int(index), *rest]:
            return f"rule {_rule_name(document, index)}: {_path(rest) or 'rule'}"
        case _:
            return _path(location) or "file"


def _rule_name(document: Any, index: int) -> str:
    rule = document["rules"][index]
    name = rule.get("name") if isinstance(rule, Mapping) else None
    return f"{name!r}" if name else f"number {index + 1}"


def _path(location: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return str(error["msg"]).removeprefix("Value error, ")
