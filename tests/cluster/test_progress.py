"""What a person sees while something takes long."""

from __future__ import annotations

import io
import time

import pytest

from proctor_cluster import progress as shown


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_log_gets_a_first_and_a_last_line():
    """Without a terminal nothing is rewritten: plain lines, the last with the seconds it took."""
    out = io.StringIO()
    with shown.progress("building", out=out):
        pass
    first, last = out.getvalue().splitlines()
    assert first == "building …"
    assert last.startswith("building: done in ")


def test_a_log_is_told_again_and_again_that_it_goes_on(monkeypatch):
    """A silent log looks like a stuck program."""
    monkeypatch.setattr(shown, "_IN_LOG_SECONDS", 0.02)
    out = io.StringIO()
    with shown.progress("building", lambda: "half of it", out=out):
        time.sleep(0.2)
    assert "building: 0 s half of it" in out.getvalue().splitlines()


def test_a_terminal_shows_one_line_that_is_rewritten(monkeypatch):
    """Seconds pass in place; only the end is a line of its own."""
    monkeypatch.setattr(shown, "_ON_TERMINAL_SECONDS", 0.02)
    out = Terminal()
    with shown.progress("building", out=out):
        time.sleep(0.2)
    assert out.getvalue().count("\n") == 1
    assert "\r\033[K" in out.getvalue()


def test_a_failure_is_not_called_done():
    """The last line says that it failed, and the error goes on to whoever handles it."""
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"), shown.progress("building", out=out):
        raise ValueError("broken")
    assert "building: failed after" in out.getvalue()
