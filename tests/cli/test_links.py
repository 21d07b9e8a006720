"""The pages lead to where they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    subprocess.run(
        ["git", "ls-files", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
)
_CODE = re.compile(r"```.*?```", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _places(page: Path) -> set[str]:
    """What a link may name in the page: its headings, as a forge makes anchors of them, and its own anchors."""
    text = _CODE.sub("", page.read_text())
    words = (re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in _HEADING.findall(text))
    return {*words, *re.findall(r'<a (?:id|name)="([^"]+)"', text)}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """What a page links to in this repository exists, and the heading, too."""
    for link in _LINK.findall(_CODE.sub("", (ROOT / page).read_text())):
        if ":" in link:
            continue
        name, _, place = link.partition("#")
        target = ROOT / page if not name else (ROOT / page).parent / name
        assert target.exists(), f"{page} leads to {link}, which does not exist"
        assert not place or place in _places(target), f"{page} leads to {link}: there is no such heading"
