"""Each program's extra has all that the program imports: nothing works here only because a test needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Imports every module of the packages while modules of other distributions than the extra's are hidden.
_PROBE = """
import importlib, pkgutil, sys, tomllib
from importlib import metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

wanted = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]]
there, queue = set(), [Requirement(each) for each in wanted]
while queue:
    one = queue.pop()
    key = (canonicalize_name(one.name), tuple(sorted(one.extras)))
    if key in there:
        continue
    there.add(key)
    for line in metadata.requires(one.name) or () if canonicalize_name(one.name) in installed() else ():
        more = Requirement(line)
        if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in (*one.extras, "")):
            queue.append(more)
names = {name for name, _ in there}
owners = metadata.packages_distributions()

class Hidden:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        ours = owners.get(top)
        if ours and not top.startswith("proctor") and not any(canonicalize_name(each) in names for each in ours):
            raise ModuleNotFoundError(f"{name} is of {ours}, which the extra does not have", name=name)
        return None

for root in sys.argv[2:]:
    sys.meta_path.insert(0, Hidden())
    package = importlib.import_module(root)
    for each in pkgutil.walk_packages(package.__path__, f"{root}."):
        importlib.import_module(each.name)
"""
_INSTALLED = """
from importlib import metadata as _metadata
from packaging.utils import canonicalize_name as _canonical
_all = {_canonical(each.metadata["Name"]) for each in _metadata.distributions()}
def installed():
    return _all
"""


@pytest.mark.parametrize(
    ("extra", "packages"),
    [("cli", ["proctor.cli"]), ("operator", ["proctor.shell", "proctor.plan", "proctor.delivery"])],
)
def test_a_program_needs_nothing_but_its_extra(extra: str, packages: list[str]) -> None:
    """Every module of the program is imported with the libraries of its extra, and theirs, alone."""
    command = [sys.executable, "-c", _INSTALLED + _PROBE, extra, *packages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-800:]
