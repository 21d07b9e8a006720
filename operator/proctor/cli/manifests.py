"""Manifests as kubectl reads them, with the line of every field, so that a fault can be pointed at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from proctor.cli.errors import Misused
from proctor.plan.world import Manifest

Path_ = tuple[str | int, ...]
"""Where a value is inside an object: ("spec", "tools", 0, "allow")."""

_ENDINGS = {".yaml", ".yml", ".json"}


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a document, where, and what would be right."""

    place: str
    subject: str
    path: str
    message: str


@dataclass(frozen=True)
class Document:
    """One object of a file."""

    source: str
    index: int
    """Which one in the file, from 1."""
    body: Manifest
    lines: Mapping[Path_, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind that it says it is; empty if it says none."""
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        """Its name; empty if it has none."""
        return str((self.body.get("metadata") or {}).get("name", ""))

    @property
    def namespace(self) -> str:
        """The namespace that it names; empty if it names none."""
        return str((self.body.get("metadata") or {}).get("namespace", ""))

    @property
    def subject(self) -> str:
        """What to call it in a message."""
        return " ".join(each for each in (self.kind or "object", self.name) if each)

    def place(self, path: Path_ = ()) -> str:
        """`file:line` of the field, or of the nearest thing around it that has a line."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return f"{self.source}:{self.lines[path[:end]]}"
        return f"{self.source} document {self.index}"

    def fault(self, path: Path_, message: str) -> Fault:
        """A fault of this document."""
        return Fault(self.place(path), self.subject, spoken(path), message)


def spoken(path: Path_) -> str:
    """The path as a person writes it: `spec.tools[0].allow`."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return "".join(parts).removeprefix(".")


def parsed_path(text: str) -> Path_:
    """The path in the API server's words: `spec.tools[0].allow`, `spec.env[NAME]`, `<nil>` for the whole object."""
    parts = re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", text if text != "<nil>" else "")
    return tuple(int(inside) if inside.isdigit() else inside or plain for inside, plain in parts)


def read(names: Iterable[str], kustomize: Path | None = None) -> tuple[tuple[Document, ...], tuple[Fault, ...]]:
    """The documents of the files, of the files in the directories, and (for `-`) of standard input.

    `kustomize` is a directory that kubectl builds first. Raises Misused for a file that cannot be read, and for a
    build that fails. What is no YAML, or YAML that means two things, is a Fault.
    """
    documents: list[Document] = []
    faults: list[Fault] = []
    built = [(f"kustomize {kustomize}", _built(kustomize))] if kustomize else []
    for source, text in (*built, *_texts(names)):
        try:
            documents += _parsed(source, text)
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            faults.append(Fault(f"{source}:{line}", "YAML", "", f"{exc.problem or exc.context}"))
        except yaml.YAMLError as exc:
            faults.append(Fault(source, "YAML", "", str(exc)))
    return tuple(documents), tuple(faults)


def _texts(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name == "-":
            yield "stdin", sys.stdin.read()
            continue
        for path in _files(Path(name)):
            try:
                yield str(path), path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as exc:
                raise Misused(f"{path} cannot be read: {exc}") from exc


def _built(directory: Path) -> str:
    try:
        done = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=False)
    except OSError as exc:
        raise Misused(f"kubectl is needed to build {directory}: {exc}", "or pipe the manifests: -f -") from exc
    if done.returncode:
        said = re.search(r'err="(.*)"\s*$', done.stderr)
        raise Misused(f"kubectl kustomize {directory}: {said[1] if said else done.stderr.strip()}")
    return done.stdout


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix in _ENDINGS and each.is_file())
    if not found:
        raise Misused(f"directory {path} has no file that ends in .yaml, .yml or .json")
    return found


def _parsed(source: str, text: str) -> Iterator[Document]:
    for index, (body, lines) in enumerate(_bodies(text), start=1):
        if not isinstance(body, dict):
            line = lines.get((), 1)
            mark = yaml.Mark(source, 0, line - 1, 0, None, 0)
            raise yaml.MarkedYAMLError(
                problem="a manifest must be an object with apiVersion and kind", problem_mark=mark
            )
        yield from _items(Document(source, index, body, lines))


def _items(document: Document) -> Iterator[Document]:
    """The document, or what it holds if it is a list of objects."""
    items = document.body.get("items")
    if not (document.kind == "List" or document.kind.endswith("List")) or not isinstance(items, list):
        yield document
        return
    for number, item in enumerate(items):
        inside = ("items", number)
        lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == inside}
        yield Document(document.source, document.index, item if isinstance(item, dict) else {}, lines)


def _bodies(text: str) -> Iterator[tuple[Any, dict[Path_, int]]]:
    if text.lstrip().startswith("{"):
        # JSON may be indented by tabs, YAML may not.
        try:
            yield json.loads(text), {}
        except ValueError:
            pass
        else:
            return
    loader = _AsKubectl(text)
    try:
        while loader.check_node():
            node: Any = loader.get_node()
            lines: dict[Path_, int] = {}
            _note_lines(loader, node, (), lines)
            body = loader.construct_document(node)
            if body is not None:
                yield _as_json(body), lines
    finally:
        loader.dispose()


def _note_lines(loader: _AsKubectl, node: yaml.Node, path: Path_, lines: dict[Path_, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            key = _key(loader.construct_object(key_node))
            line = key_node.start_mark.line + 1
            if key in seen and key != "<<":
                raise yaml.MarkedYAMLError(
                    problem=f"the field {spoken((*path, key))} is there twice, first on line {seen[key]}",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = line
            lines[(*path, key)] = line
            _note_lines(loader, value, (*path, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, each in enumerate(node.value):
            _note_lines(loader, each, (*path, index), lines)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _key(key: object) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    return str(key)


class _AsKubectl(yaml.SafeLoader):
    """YAML 1.1 as kubectl's own reader takes it: `on` and `y` are true, times are text, 1e3 is a number."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the parent's way to say it


_WORDS = "y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF"
_PREFIX = "tag:yaml.org,2002:"
for _tag, _pattern, _first in (
    ("bool", rf"^(?:{_WORDS})$", "yYtToOnNfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("merge", r"^<<$", "<"),
):
    _AsKubectl.add_implicit_resolver(f"{_PREFIX}{_tag}", re.compile(_pattern), list(_first))


def _truth(loader: _AsKubectl, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node))[0] in "yYtT" or str(loader.construct_scalar(node)).lower() == "on"


_AsKubectl.add_constructor(f"{_PREFIX}bool", _truth)
