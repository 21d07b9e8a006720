"""The words of MCP that the gateway speaks: versions, error codes, and values in headers (2025-06-18 to 2026-07-28).

The SDK's own are the same, but to import them takes 30 MiB; a test holds these against them.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

STATELESS: Final = "2026-07-28"
"""A request of this version stands for itself: no handshake, no session."""
HANDSHAKES: Final = ("2025-06-18", "2025-11-25")
"""The versions before it that are served, oldest first."""

GATEWAY: Final = {"name": "proctor-gateway", "version": "1"}
"""What it says it is, to agents as to servers."""

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_REQUIRED_CLIENT_CAPABILITY: Final = -32021
UNSUPPORTED_PROTOCOL_VERSION: Final = -32022

NEVER_RAN: Final = frozenset(
    {
        HEADER_MISMATCH,
        INVALID_PARAMS,
        METHOD_NOT_FOUND,
        UNSUPPORTED_PROTOCOL_VERSION,
        MISSING_REQUIRED_CLIENT_CAPABILITY,
    }
)
"""The errors with which a server says that it did not run the tool."""

_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_WRAPPED: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)


def in_header(value: str) -> str:
    """The value as it stands in a header; wrapped if a header would not carry it unchanged (transports, 2026-07-28)."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _WRAPPED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def from_header(header: str | None) -> str | None:
    """What `in_header` was given; None of what it never gives."""
    wrapped = _WRAPPED.fullmatch(header) if header is not None else None
    if header is None or wrapped is None:
        return header
    try:
        value = base64.b64decode(wrapped[1], validate=True)
        # Another text of the same bytes would match nothing that a reader of the body compares it with.
        return value.decode() if base64.b64encode(value).decode() == wrapped[1] else None
    except (binascii.Error, UnicodeError):
        return None
