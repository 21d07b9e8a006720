"""An exported record on disk: a directory with one directory for each log, or a tar archive of it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from proctor.audit import memory
from proctor.audit.anchors import Anchor
from proctor.audit.notes import Verifier
from proctor.audit.verifier import Files
from proctor.cli.errors import CliError, Misused

_LARGEST = 1 << 30
_EXPORTED = "kubectl proctor audit export DIRECTORY > keys.txt    writes one, and its keys"
_KEYS = "kubectl proctor audit export DIRECTORY > keys.txt    writes the keys"
_ANCHORS = "kubectl proctor audit anchors -o json > anchors.json    writes them"


def write(place: Path, logs: Mapping[str, Files]) -> None:
    """Write the export. Raises CliError if something is there already: an export is never mixed with another."""
    try:
        if place.suffix == ".tar":
            with place.open("xb") as file, tarfile.open(fileobj=file, mode="w") as archive:
                for path, content in _flat(logs):
                    info = tarfile.TarInfo(path)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            return
        place.mkdir(parents=True, exist_ok=False)
        for path, content in _flat(logs):
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except FileExistsError as exc:
        raise Misused(f"{place} exists: an export is not mixed with another", "name a new directory") from exc
    except OSError as exc:
        raise CliError(f"{place} cannot be written: {exc.strerror}") from exc


def read(place: Path) -> dict[str, dict[str, bytes]]:
    """The files of each log. Raises CliError or Misused."""
    logs: dict[str, dict[str, bytes]] = {}
    try:
        for path, content in _archived(place) if place.is_file() else _walked(place):
            log, _, rest = path.partition("/")
            if not rest:
                raise Misused(f"{path} is no part of an export", f"take it out of {place}")
            logs.setdefault(log, {})[rest] = content
    except tarfile.TarError as exc:
        raise Misused(f"{place} is neither a directory nor a .tar archive", _EXPORTED) from exc
    except OSError as exc:
        raise Misused(f"{place} cannot be read: {exc.strerror}") from exc
    if not logs:
        raise Misused(f"{place} holds no log", _EXPORTED)
    return logs


def keys(values: Iterable[str]) -> list[Verifier]:
    """The public keys that are named: as verifier key strings, or as files of them. Raises Misused."""
    found: list[Verifier] = []
    for value in values:
        is_file = Path(value).is_file()
        try:
            lines = Path(value).read_text().splitlines() if is_file else [value]
            read = [Verifier.parse(each) for each in lines if each.strip()]
        except (OSError, ValueError) as exc:
            what = "" if is_file else " is no file, and no key"
            raise Misused(f"--key {value}{what}: {exc}", _KEYS) from exc
        if not read:
            raise Misused(f"--key {value} holds no key", _KEYS)
        found += read
    return found


def anchors(path: Path | None) -> list[Anchor]:
    """The anchors in a file: a ConfigMap `proctor-record` as JSON, or its data. Raises Misused."""
    if path is None:
        return []
    try:
        body = json.loads(path.read_text())
        data = body.get("data", body)
        found = [each for known in memory.load(data).values() for each in known.anchors(path.name)]
    except json.JSONDecodeError as exc:
        raise Misused(f"--anchors {path} is not JSON: {exc}", _ANCHORS) from exc
    except (OSError, ValueError, AttributeError) as exc:
        raise Misused(f"--anchors {path}: {exc}", _ANCHORS) from exc
    if not found:
        raise Misused(f"--anchors {path} holds no anchor", _ANCHORS)
    return found


def _flat(logs: Mapping[str, Files]) -> Iterator[tuple[str, bytes]]:
    for log, files in logs.items():
        yield from ((f"{log}/{path}", content) for path, content in files.items())


def _walked(place: Path) -> Iterator[tuple[str, bytes]]:
    if not place.is_dir():
        raise Misused(f"{place} is neither a directory nor a .tar archive", _EXPORTED)
    for each in sorted(place.rglob("*")):
        if each.is_symlink():
            raise Misused(f"{each} is a link: an export holds files alone")
        if each.is_file():
            yield each.relative_to(place).as_posix(), each.read_bytes()


def _archived(place: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(place) as archive:
        for each in archive:
            if not each.isfile() or each.size > _LARGEST:
                raise Misused(f"{each.name} is no part of an export")
            content = archive.extractfile(each)
            yield each.name, content.read() if content else b""
