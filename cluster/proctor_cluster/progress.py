"""Shows that something is still going on, and for how long."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ON_TERMINAL_SECONDS = 0.2
_IN_LOG_SECONDS = 15.0
_SPINNER = "|/-\\"


def say(text: str, *, out: TextIO | None = None) -> None:
    """Print one line for the person at the terminal; standard output stays free for results."""
    print(text, file=out or sys.stderr, flush=True)


@contextmanager
def progress(what: str, detail: Callable[[], str] = str, *, out: TextIO | None = None) -> Iterator[None]:
    """While the body runs, show ``what``, the seconds so far and ``detail()``.

    On a terminal one line is rewritten five times a second; elsewhere a line is added every 15 s, so that a log shows
    neither silence nor noise. A last line says how long it took, or after how long it failed.
    """
    out = out or sys.stderr
    started, finished = time.monotonic(), threading.Event()
    shown = threading.Thread(target=_show, args=(what, detail, started, finished, out), daemon=True)
    shown.start()
    verdict = "failed after"
    try:
        yield
        verdict = "done in"
    finally:
        finished.set()
        shown.join()
        clear = "\r\033[K" if out.isatty() else ""
        say(f"{clear}{what}: {verdict} {time.monotonic() - started:.1f} s", out=out)


def _show(what: str, detail: Callable[[], str], started: float, finished: threading.Event, out: TextIO) -> None:
    terminal = out.isatty()
    turn = 0
    if not terminal:
        say(f"{what} …", out=out)
    while not finished.wait(_ON_TERMINAL_SECONDS if terminal else _IN_LOG_SECONDS):
        line = " ".join(filter(None, (f"{what}: {time.monotonic() - started:.0f} s", detail())))
        out.write(f"\r\033[K{_SPINNER[turn % len(_SPINNER)]} {line[:110]}" if terminal else f"{line}\n")
        out.flush()
        turn += 1
