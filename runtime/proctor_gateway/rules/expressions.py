"""The expressions of an agent's own rules: over `args` (the call's arguments), `tool` and `connector`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proctor.api.cel import ExpressionError, Language, Type

__all__ = ["ExpressionError", "holds"]

_CALL: Final = Language(args=Type.OBJECT, tool=Type.TEXT, connector=Type.TEXT)


def holds(expression: str, variables: Mapping[str, Any]) -> bool:
    """Whether the expression is true for the variables. Raises ExpressionError where it is neither true nor false."""
    return _CALL.holds(expression, variables)
