"""CEL, Kubernetes' own expression language, behind one small face so that the library can be swapped.

Evaluation is bounded by the library's own iteration budget. An error is never a verdict: `ExpressionError` is raised,
and the one who asked denies. Nothing here knows the time, so a verdict depends on the values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

_COMPILED: Final = 4096


class ExpressionError(ValueError):
    """The expression does not compile, fails for these values, or does not say true or false."""


class Type(StrEnum):
    """What a variable is."""

    OBJECT = "Object"
    LIST = "List"
    TEXT = "Text"
    ANY = "Any"


class Language:
    """The expressions over certain variables. Two languages of the same variables share what they compiled."""

    def __init__(self, **variables: Type) -> None:
        self._variables = tuple(sorted(variables.items()))

    def fault(self, expression: str) -> str | None:
        """What is wrong with the expression, in one line; None if it compiles."""
        try:
            _compiled(self._variables, expression)
        except RuntimeError as exc:
            # Nothing but the expression itself is quoted here: there are no values yet.
            return str(exc).removeprefix("INVALID_ARGUMENT: ").splitlines()[0][:300]
        return None

    def holds(self, expression: str, variables: Mapping[str, Any]) -> bool:
        """Whether the expression is true. Raises ExpressionError where it is neither true nor false."""
        try:
            value = _compiled(self._variables, expression).eval(data=dict(variables))
        except RuntimeError as exc:
            raise ExpressionError(_short(exc)) from exc
        kind = value.type().name()
        if kind == "BOOL":
            return bool(value.value())
        if kind == "ERROR":
            raise ExpressionError(_short(value.value()))
        raise ExpressionError(f"the expression gives {kind}, not a truth value")


@lru_cache(maxsize=_COMPILED)
def _compiled(variables: tuple[tuple[str, Type], ...], expression: str) -> Any:
    return _environment(variables).compile(expression)


@lru_cache(maxsize=16)
def _environment(variables: tuple[tuple[str, Type], ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    types = {
        Type.OBJECT: cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
        Type.LIST: cel.Type.List(cel.Type.DYN),
        Type.TEXT: cel.Type.STRING,
        Type.ANY: cel.Type.DYN,
    }
    return cel.NewEnv(
        variables={name: types[type_] for name, type_ in variables},
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
