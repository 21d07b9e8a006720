"""Lines of logs with the pod in front, in a colour of its own."""

from __future__ import annotations

import json
import zlib
from typing import Any

from rich.text import Text

from proctor.cli.draw.parts import paragraph, text
from proctor.cli.views.log import LogLine
from proctor.cli.views.tone import Tone
from proctor.cli.wording import one_line

_COLOURS = ("cyan", "magenta", "green", "blue", "yellow", "bright_cyan", "bright_magenta", "bright_blue")
_LEVEL_WIDTH = 7


def line(each: LogLine, agent: str) -> Text:
    """`pod  time  level  message  key=value`; a line that is no JSON as it is."""
    shown = text(each.pod.removeprefix(f"{agent}-"), colour(each.pod))
    shown.append("  ")
    if each.at:
        shown.append(each.at.astimezone().strftime("%H:%M:%S.%f")[:-3], style="quiet").append("  ")
    if each.fields is None:
        return shown.append_text(paragraph(each.raw))
    style = each.tone.value if each.tone is not Tone.GOOD else ""
    shown.append(f"{one_line(each.level):<{_LEVEL_WIDTH}}"[:_LEVEL_WIDTH], style=style or "good").append(" ")
    shown.append_text(text(each.message, style or "bold"))
    for key, value in each.rest.items():
        shown.append("  ").append_text(text(key, "quiet")).append("=", style="quiet").append_text(_value(value))
    return shown


def colour(pod: str) -> str:
    """The pod's colour: the same for the same name, in every run."""
    return _COLOURS[zlib.crc32(pod.encode()) % len(_COLOURS)]


def _value(value: Any) -> Text:
    if isinstance(value, str) and "\n" in value:
        # A traceback: on lines of its own, as it was written.
        return Text("\n").append_text(paragraph(value))
    return text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), "hash")
