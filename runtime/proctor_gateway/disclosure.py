"""Stage "label and redact" of the call path: what of an answer the agent is shown, and what it is taken for.

The journal keeps the answer as it came; a replayed answer passes here again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proctor_gateway.calling import Caller
from proctor_gateway.calls import Intent
from proctor_gateway.context import Context


def of_tool(context: Context, caller: Caller, intent: Intent, result: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG001 - the seam
    """A tool's result as the agent is shown it."""
    return result


def of_model(context: Context, caller: Caller, intent: Intent, body: bytes) -> bytes:  # noqa: ARG001 - the seam
    """A model's answer as the agent is shown it."""
    return body
