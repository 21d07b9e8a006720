"""What became of a request to an MCP server, told by what came over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proctor_gateway.rules.protocol import NEVER_RAN
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.upstream.http import UpstreamFailed

MOST_PAGES: Final = 50
MOST_TOOLS: Final = 1000
"""A list of tools that is longer is taken to be endless, and cut."""
_UNAUTHORIZED: Final = (401, 403)
_CLIENT_ERRORS: Final = range(400, 500)
_SERVER_ERRORS: Final = range(500, 600)
_LONGEST_WORDS: Final = 500


@dataclass(frozen=True)
class Target:
    """A server, the credential for it, and how long it may take."""

    url: str
    headers: Mapping[str, str]
    seconds: float
    fresh: bool = False
    """A connection of its own: on a reused one nobody can tell a server that had closed it from one that broke off."""


class McpFailed(UpstreamFailed):
    """No result came. `ran` is False if the server says that it did not run the tool."""

    def __init__(self, reason: Reason, message: str, *, sent: bool, ran: bool = True) -> None:
        super().__init__(reason, message, sent=sent)
        self.ran = ran and sent


def of_status(status: int, *, sent: bool) -> McpFailed | None:
    """What an HTTP status means by itself; None if it leaves that to the body."""
    if status in _UNAUTHORIZED:
        return McpFailed(Reason.UNAUTHORIZED, f"it refuses the credential ({status})", sent=sent, ran=False)
    return None


def of_error(status: int | None, code: int, said: str, *, sent: bool) -> McpFailed:
    """What a JSON-RPC error means, that came with this status."""
    said = said[:_LONGEST_WORDS]
    if code in NEVER_RAN or (status is not None and status in _CLIENT_ERRORS):
        return McpFailed(Reason.REJECTED, f"it rejects the request ({code}): {said}", sent=sent, ran=False)
    if status is not None and status in _SERVER_ERRORS:
        return McpFailed(Reason.UNREACHABLE, f"it answers {status}", sent=sent)
    return McpFailed(Reason.TOOL_ERROR, f"it answers with error {code}: {said}", sent=sent)


def of_no_message(status: int, *, sent: bool) -> McpFailed:
    """What it means that a status came without any message."""
    if status in _CLIENT_ERRORS:
        return McpFailed(Reason.REJECTED, f"it answers {status}", sent=sent, ran=False)
    if status in _SERVER_ERRORS:
        return McpFailed(Reason.UNREACHABLE, f"it answers {status}", sent=sent)
    return McpFailed(Reason.PROTOCOL_ERROR, f"it answers {status} without a JSON-RPC message", sent=sent)
