"""Manifests are read as kubectl reads them, with the line of every field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proctor.cli import manifests
from proctor.cli.errors import Misused
from proctor.cli.manifests import Document, Fault


def _read(tmp_path: Path, text: str, name: str = "a.yaml") -> tuple[tuple[Document, ...], tuple[Fault, ...]]:
    file = tmp_path / name
    file.write_text(text)
    return manifests.read([str(file)])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", True),
        ("No", False),
        ("y", True),
        ("true", True),
        ("~", None),
        ("2001-01-01", "2001-01-01"),
        ("1:30", "1:30"),
        ("1_000", 1000),
        ("0b11", 3),
        ("0o17", 15),
        ("017", 15),
        ("0x1f", 31),
        ("1e3", 1000),
        ("0.5", 0.5),
        ('"1"', "1"),
        ("plain text", "plain text"),
    ],
)
def test_a_value_means_what_it_means_to_kubectl(tmp_path: Path, written: str, value: Any) -> None:
    """YAML 1.1 as kubectl's reader has it: truth values by many words, times as text, no sexagesimal numbers."""
    documents, faults = _read(tmp_path, f"kind: X\nvalue: {written}\n")
    assert not faults
    assert documents[0].body.get("value") == value


def test_an_unquoted_on_is_the_key_true(tmp_path: Path) -> None:
    """A key that YAML takes for a truth value gets the name that kubectl gives it."""
    (document,), _ = _read(tmp_path, "on: 1\n")
    assert document.body == {"true": 1}


def test_every_field_has_its_line(tmp_path: Path) -> None:
    """A place is the field's own line, or that of the nearest thing around it."""
    text = "kind: A\n---\n# a comment\nkind: B\nspec:\n  tools:\n    - allow: [x]\n    - allow:\n        - y\n"
    (first, second), _ = _read(tmp_path, text)
    file = tmp_path / "a.yaml"
    assert first.place() == f"{file}:1"
    assert second.place(("spec", "tools", 1, "allow", 0)) == f"{file}:9"
    assert second.place(("spec", "tools", 1, "missing", "deeper")) == f"{file}:8"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ":4", "the field b.c is there twice, first on line 3"),
        ("a: [1\nb: 2\n", ":2", "expected ',' or ']'"),
        ("- 1\n", ":1", "a manifest must be an object"),
        ("a: *nobody\n", ":1", "undefined alias"),
    ],
)
def test_what_is_no_manifest_is_a_fault_with_its_line(tmp_path: Path, text: str, place: str, message: str) -> None:
    """Bad YAML, a field that is there twice, and a list in place of an object."""
    documents, (fault,) = _read(tmp_path, text)
    assert not documents
    assert fault.place.endswith(place)
    assert message in fault.message


def test_json_may_be_indented_by_tabs(tmp_path: Path) -> None:
    """JSON is read as JSON, for YAML would refuse the tabs."""
    (document,), faults = _read(tmp_path, '{\n\t"kind": "A"\n}\n', "a.json")
    assert not faults
    assert document.kind == "A"


def test_a_list_is_its_items(tmp_path: Path) -> None:
    """`kubectl get -o yaml` writes a List; its items are the manifests, each with its own lines."""
    text = "kind: List\nitems:\n- kind: A\n  spec: {x: 1}\n- kind: B\n"
    (first, second), _ = _read(tmp_path, text)
    assert (first.kind, second.kind) == ("A", "B")
    assert first.place(("spec", "x")).endswith(":4")


def test_a_directory_is_its_manifests(tmp_path: Path) -> None:
    """The files of a directory that end like manifests, by name; empty documents do not count."""
    (tmp_path / "b.yml").write_text("kind: B\n---\n")
    (tmp_path / "a.json").write_text('{"kind": "A"}')
    (tmp_path / "c.txt").write_text("kind: C\n")
    documents, _ = manifests.read([str(tmp_path)])
    assert [each.kind for each in documents] == ["A", "B"]


@pytest.mark.parametrize("make", [lambda path: path / "absent.yaml", lambda path: path])
def test_nothing_to_read_is_a_misuse(tmp_path: Path, make: Any) -> None:
    """A file that does not exist, and a directory without manifests, are told by their names."""
    with pytest.raises(Misused, match=str(tmp_path)):
        manifests.read([str(make(tmp_path))])


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("spec.tools[0].allow", ("spec", "tools", 0, "allow")),
        ("spec.env[NAME].value", ("spec", "env", "NAME", "value")),
        ("<nil>", ()),
        ("", ()),
    ],
)
def test_the_api_servers_words_for_a_path_are_understood(text: str, path: tuple[Any, ...]) -> None:
    """So that a fault that it finds is shown on its line."""
    assert manifests.parsed_path(text) == path
