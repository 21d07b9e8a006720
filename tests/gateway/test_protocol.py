"""The words of MCP, held against the SDK's."""

from __future__ import annotations

import mcp_types
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import decode_header_value, encode_header_value
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from proctor_gateway.rules import protocol
from proctor_gateway.rules.protocol import from_header, in_header


def test_the_codes_are_the_sdks():
    """Each error code has the SDK's name and number."""
    ours = {name: value for name, value in vars(protocol).items() if isinstance(value, int)}
    assert len(ours) == 8
    assert ours == {name: getattr(mcp_types, name) for name in ours}


def test_the_versions_are_the_sdks():
    """The newest version with a handshake, and the one without, are those that the SDK knows."""
    assert (protocol.STATELESS,) == MODERN_PROTOCOL_VERSIONS
    assert HANDSHAKE_PROTOCOL_VERSIONS[-2:] == protocol.HANDSHAKES


@given(st.text())
def test_a_value_is_wrapped_as_the_sdk_does(value: str):
    """What goes into a header is what the SDK would put there, and comes out as it went in."""
    if any("\ud800" <= each <= "\udfff" for each in value):
        return
    assert in_header(value) == encode_header_value(value)
    assert from_header(in_header(value)) == value


@given(st.one_of(st.text(), st.text("=?base64ABCDw+/ 0").map(lambda inner: f"=?base64?{inner}?=")))
def test_a_header_is_read_as_the_sdk_does(header: str):
    """Any header, and any that looks like a wrapped one, means what it means to the SDK."""
    assert from_header(header) == decode_header_value(header)
