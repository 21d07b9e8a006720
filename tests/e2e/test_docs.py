"""Every command of docs/kubectl-proctor.md is run, and what the page shows of its output is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proctor_cluster.engines import ROOT
from proctor_cluster.settings import Settings
from tests.e2e import refunds
from tests.e2e.conftest import Installed

_PAGE = ROOT / "docs" / "kubectl-proctor.md"
_FENCE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"# exit code (\d+)")


@dataclass(frozen=True)
class Example:
    """A command and the lines that the page shows below it. A line with `…` shows part of one."""

    command: str
    shown: tuple[str, ...]

    @property
    def code(self) -> int:
        """What it ends with: 0, unless the command's comment says otherwise."""
        found = _CODE.search(self.command)
        return int(found[1]) if found else 0


def _examples() -> Iterator[Example]:
    for fence in _FENCE.findall(_PAGE.read_text()):
        first, *commands = re.split(r"^\$ ", fence, flags=re.MULTILINE)
        assert not first, "a console block begins with a command"
        for each in commands:
            command, *shown = each.rstrip().splitlines()
            yield Example(command, tuple(shown))


_EXAMPLES = tuple(_examples())


@pytest.fixture(scope="module")
def sample(cluster: Installed, settings: Settings) -> Installed:
    """The cluster with the sample that the page is about, and a task that was answered in its log."""
    refunds.bring_up(cluster, settings)
    # The page shows a cluster with one agent: what other tests left behind is gone before it is looked at.
    columns = ("-o", "custom-columns=:.metadata.namespace", "--no-headers")
    for namespace in set(cluster.kubectl("get", "agents", "-A", *columns).split()):
        if namespace != "support":
            cluster.kubectl("-n", namespace, "delete", "agents", "--all")
    question = '"Customer C-1044 asks for a refund of order O-50044 (480 EUR): changed my mind"'
    words = f"kubectl proctor invoke refunds {question} -n support --service-account shop/web"
    assert refunds.shell(cluster, words).code == 0
    return cluster


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: example.command[:60])
def test_an_example_does_what_the_page_shows(sample: Installed, example: Example) -> None:
    """The exit code is the one that is said, and every line that is shown is in the output, in that order."""
    done = refunds.shell(sample, example.command)
    assert done.code == example.code, done.told
    lines = iter(" ".join(line.split()) for line in done.told.splitlines())
    for shown in example.shown:
        pattern = ".*".join(re.escape(part) for part in " ".join(shown.split()).split("…"))
        assert any(re.fullmatch(pattern, line) for line in lines), f"{shown!r} is not in:\n{done.told}"


def test_the_page_has_examples_of_every_verb() -> None:
    """The page is really read."""
    from proctor.cli.main import VERBS

    shown = " ".join(example.command for example in _EXAMPLES)
    assert all(f"kubectl proctor {verb}" in shown for verb in VERBS)
