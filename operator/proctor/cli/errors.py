"""What can go wrong at the terminal, a class for each exit code.

CliError         1   something failed: the text says what, the hint says what to do
├─ Refused       1   the API server finds fault with an object
├─ Away          1   the API server or the gateway cannot be reached now; it may be in a moment
├─ Misused       2   the command line or its input is wrong
├─ NotFound      4   the object is not there
├─ Denied        5   somebody may not do that
└─ TimedOut      6   it took longer than was allowed
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The exit codes, the same for every verb, so that scripts can rely on them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_SO = 3
    """No error: the answer is no. Not ready, not succeeded, or there are changes to make."""
    NOT_FOUND = 4
    DENIED = 5
    TIMEOUT = 6
    UNDER_WAY = 7
    """Of `rollout status`: an upgrade is under way."""
    WAITS = 8
    """Of `rollout status`: an upgrade waits for a person."""


class CliError(Exception):
    """Something failed in a way that a person can understand and act on. No traceback is shown for it."""

    code = Code.ERROR

    def __init__(self, message: str, *hints: str) -> None:
        """`message` names the object and the number; each hint is a next step, a command where there is one."""
        super().__init__(message)
        self.message = message
        self.hints = hints


class Refused(CliError):  # noqa: N818 - what happened to the object
    """The API server finds fault with an object: each cause is a field's path and what is wrong with it."""

    def __init__(self, message: str, causes: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message)
        self.causes = causes


class Away(CliError):  # noqa: N818 - a state of the other side
    """The API server or the gateway cannot be reached now. Whoever waits for something may try again."""


class Misused(CliError):  # noqa: N818 - what the person did
    """The command line, or a file that it names, is not what the verb takes."""

    code = Code.USAGE


class NotFound(CliError):  # noqa: N818 - a state of the object
    """An object that was asked for does not exist."""

    code = Code.NOT_FOUND


class Denied(CliError):  # noqa: N818 - what happened to the person
    """The API server or the gateway does not let this person do that."""

    code = Code.DENIED


class TimedOut(CliError):  # noqa: N818 - what happened to the wait
    """What was waited for did not happen in time."""

    code = Code.TIMEOUT
