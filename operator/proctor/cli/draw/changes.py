"""Differences between two values, as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from proctor.cli.draw.parts import text
from proctor.cli.views.differences import Difference
from proctor.cli.wording import printable, short

_LONGEST = 120
_STYLES = {"+": "added", "-": "removed"}


def changes(found: Iterable[Difference]) -> RenderableType:
    """One line for each field; below a text that changed, the lines that did."""
    return Group(*(part for each in found for part in _change(each)))


def _change(each: Difference) -> Iterator[RenderableType]:
    if each.lines:
        yield Text.assemble(("~ ", "warn"), text(each.path, "name"))
        for number, line in enumerate(each.lines):
            if line.startswith("@"):
                # Where in the text is of no use to a person; that lines are left out is.
                yield from [Padding(Text("⋮", style="quiet"), (0, 0, 0, 5))] if number else []
                continue
            yield Padding(Text(printable(line), style=_STYLES.get(line[:1], "quiet")), (0, 0, 0, 4))
    elif each.before is None:
        yield Text.assemble(("+ ", "added"), text(each.path, "name"), "  ", _value(each.after, "added"))
    elif each.after is None:
        yield Text.assemble(("- ", "removed"), text(each.path, "name"), "  ", _value(each.before, "removed"))
    else:
        before, after = _value(each.before, "removed"), _value(each.after, "added")
        yield Text.assemble(("~ ", "warn"), text(each.path, "name"), "  ", before, (" → ", "quiet"), after)


def _value(value: Any, style: str) -> Text:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Text(short(shown, _LONGEST), style=style)
