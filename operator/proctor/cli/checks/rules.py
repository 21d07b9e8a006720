"""The schema's CEL rules, checked here as far as the library for it is installed and knows their functions.

The API server has functions of its own (`quantity`, `isSorted`, …) that no library has. A rule that cannot be checked
here is counted, never taken for kept: online, the API server's dry run checks them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from proctor.api.kinds import Kind
from proctor.cli.checks import structure
from proctor.cli.checks.structure import Finding, Schema
from proctor.cli.manifests import Path_

_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


class _Unknowable(Exception):  # noqa: N818 - never leaves this module
    """The library is not there, or does not know what the rule uses."""


@dataclass
class Checked:
    """What the rules found, and how many of them could not be asked."""

    findings: list[Finding] = field(default_factory=list)
    held: int = 0
    unasked: int = 0


def check(kind: Kind, body: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Checked:
    """Every rule of the kind on an object of the right form. `before` is the object as it is now, if it is there."""
    checked = Checked()
    whole = structure.of_kind(kind)
    new = structure.with_defaults(whole, {key: body[key] for key in ("metadata", "spec") if key in body})
    old = structure.with_defaults(whole, {key: before[key] for key in ("metadata", "spec")}) if before else None
    for node, value, was, path in _visits(whole, new, old, ()):
        for rule in node.get("x-kubernetes-validations", ()):
            _ask(rule, (node, value, was), path, checked)
    return checked


def _ask(rule: Mapping[str, Any], at: tuple[Schema, Any, Any], path: Path_, checked: Checked) -> None:
    node, value, was = at
    is_transition = "oldSelf" in rule["rule"]
    if is_transition and was is None:
        return
    variables = {"self": _for_cel(node, value)} | ({"oldSelf": _for_cel(node, was)} if is_transition else {})
    try:
        if not _holds(rule["rule"], variables):
            inside = tuple(each for each in rule.get("fieldPath", "").split(".") if each)
            checked.findings.append(((*path, *inside), rule["message"]))
        else:
            checked.held += 1
    except _Unknowable:
        checked.unasked += 1


def _visits(node: Schema, value: Any, was: Any, path: Path_) -> Iterator[tuple[Schema, Any, Any, Path_]]:
    if value is None:
        return
    yield node, value, was, path
    if isinstance(value, dict):
        properties = node.get("properties", {})
        for key, each in value.items():
            before = was.get(key) if isinstance(was, dict) else None
            yield from _visits(properties.get(key, node.get("additionalProperties") or {}), each, before, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            # Items are not paired with their former selves: rules on a change below a list are left to the API server.
            yield from _visits(node.get("items", {}), each, None, (*path, index))


def _for_cel(node: Schema, value: Any) -> Any:
    """The value as the API server shows it to a rule: reserved names escaped, numbers of the declared type."""
    if isinstance(value, dict):
        properties = node.get("properties", {})
        return {
            _escaped(key) if key in properties else key: _for_cel(properties.get(key, {}), each)
            for key, each in value.items()
            if each is not None
        }
    if isinstance(value, list):
        return [_for_cel(node.get("items", {}), each) for each in value]
    return float(value) if node.get("type") == "number" and isinstance(value, int) else value


def _escaped(key: str) -> str:
    if key in _RESERVED:
        return f"__{key}__"
    for sign, word in _ESCAPES:
        key = key.replace(sign, word)
    return key


def _holds(rule: str, variables: Mapping[str, Any]) -> bool:
    try:
        value = _compiled(rule).eval(data=dict(variables))
    except RuntimeError as exc:
        raise _Unknowable from exc
    if value.type().name() != "BOOL":
        raise _Unknowable
    return bool(value.value())


@lru_cache(maxsize=1024)
def _compiled(rule: str) -> Any:
    try:
        return _environment().compile(rule)
    except RuntimeError as exc:
        raise _Unknowable from exc


@lru_cache(maxsize=1)
def _environment() -> Any:
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_optional, ext_strings
    except ImportError as exc:
        raise _Unknowable from exc
    return cel.NewEnv(
        variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN},
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
    )
