"""An image's tag is a hash of what goes in: the same tree has the same images, and a change has new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor_cluster.images import IMAGES, code_hash, libraries_hash

PYPROJECT = '[project]\nname = "p"\n[project.optional-dependencies]\nagent = ["a"]\n[tool.ruff]\nline-length = 120\n'
FILES = {
    "Dockerfile": "FROM scratch",
    ".dockerignore": "*",
    "uv.lock": "version = 1",
    "pyproject.toml": PYPROJECT,
    "cluster/images/uv.txt": "uv==1",
    "cluster/images/finish": "#!/bin/sh",
    "operator/proctor/api/names.py": "A = 1",
    "runtime/proctor_gateway/main.py": "B = 1",
    "runtime/proctor_agent/main.py": "C = 1",
    "demo/proctor_demo/main.py": "D = 1",
}
ALL = {"control", "agent", "demo"}
CHANGES = {
    "nothing": ({}, set()),
    "the operator's code": ({"operator/proctor/api/names.py": "A = 2"}, {"control"}),
    "the gateway's code": ({"runtime/proctor_gateway/main.py": "B = 2"}, {"control"}),
    "the agent's code": ({"runtime/proctor_agent/main.py": "C = 2"}, {"agent"}),
    "a new file of the demo": ({"demo/proctor_demo/new.yaml": "x: 1"}, {"demo"}),
    "a locked library": ({"uv.lock": "version = 2"}, ALL),
    "a required library": ({"pyproject.toml": PYPROJECT.replace('"a"', '"b"')}, ALL),
    "a lint rule": ({"pyproject.toml": PYPROJECT.replace("120", "100")}, set()),
    "the recipe": ({"Dockerfile": "FROM other"}, ALL),
    "bytecode that an interpreter left": ({"operator/proctor/api/__pycache__/names.cpython-311.pyc": "x"}, set()),
    "a file that no image holds": ({"docs/index.md": "x"}, set()),
}


@pytest.mark.parametrize(("changed", "rebuilt"), CHANGES.values(), ids=CHANGES)
def test_a_change_rebuilds_the_images_it_goes_into(tmp_path, changed, rebuilt):
    """And no other image."""
    before = _tags(tmp_path, FILES)
    after = _tags(tmp_path, {**FILES, **changed})
    assert {target for target in before if before[target] != after[target]} == rebuilt


def test_other_base_images_make_other_images(tmp_path):
    """What the images stand on goes into them, too."""
    _write(tmp_path, FILES)
    assert libraries_hash(tmp_path, "one") != libraries_hash(tmp_path, "other")


def _tags(root: Path, files: dict[str, str]) -> dict[str, str]:
    _write(root, files)
    libraries = libraries_hash(root, "base")
    return {image.target: code_hash(root, image, libraries) for image in IMAGES}


def _write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
