"""CEL, Kubernetes' own expression language, behind one small face so that the library can be swapped.

Expressions see `args` (the call's arguments), `tool` and `connector`. Evaluation is bounded by the library's own
iteration budget. An error is never a verdict: `ExpressionError` is raised, and the one who asked denies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_COMPILED = 4096


class ExpressionError(ValueError):
    """The expression does not compile, fails for these values, or does not say true or false."""


def holds(expression: str, variables: Mapping[str, Any]) -> bool:
    """Whether the expression is true for the variables. Raises ExpressionError where it is neither true nor false."""
    try:
        value = _compiled(expression).eval(data=dict(variables))
    except RuntimeError as exc:
        raise ExpressionError(_short(exc)) from exc
    kind = value.type().name()
    if kind == "BOOL":
        return bool(value.value())
    if kind == "ERROR":
        raise ExpressionError(_short(value.value()))
    raise ExpressionError(f"the expression gives {kind}, not a truth value")


@lru_cache(maxsize=_COMPILED)
def _compiled(expression: str) -> Any:
    return _environment().compile(expression)


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    return cel.NewEnv(
        variables={
            "args": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
            "tool": cel.Type.STRING,
            "connector": cel.Type.STRING,
        },
        extensions=[
            ext_strings.ExtStrings(),
            ext_optional.ExtOptional(),
            ext_math.ExtMath(),
            ext_bindings.ExtBindings(),
        ],
    )


def _short(cause: object) -> str:
    # The library quotes values of the arguments in its messages; the first line's kind is all that a message needs.
    return str(cause).partition(":")[0].strip().capitalize().replace("_", " ")[:64]
