"""Stage "send" of a task that is no live one: its effects go nowhere, and are answered here instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proctor_gateway.calling import Caller
from proctor_gateway.calls import Intent, Outcome
from proctor_gateway.context import Context


async def stubbed(
    context: Context,  # noqa: ARG001 - the seam
    caller: Caller,  # noqa: ARG001 - the seam
    intent: Intent,  # noqa: ARG001 - the seam
) -> tuple[Outcome, Mapping[str, Any] | None] | None:
    """What a tool call of a rehearsal is answered, or None if the call is to be sent."""
    return None
