"""Has an answer the form that the Agent declares for it, whoever gave it? Pure."""

from __future__ import annotations

from typing import Any

from proctor.api.agent import Output
from proctor.policy import forms
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault


def misfit(value: Any, output: Output | None, what: str = "the output") -> Fault | None:
    """What is wrong with the form of `what`, if anything. References are resolved within the schema, never fetched."""
    found = forms.mismatch(value, output.schema_) if output is not None else None
    if found is None:
        return None
    if found.is_schemas:
        return Fault(Reason.INVALID_OUTPUT, f"output.schema itself is not valid: {found.message}")
    where = "/".join(found.path)
    return Fault(Reason.INVALID_OUTPUT, f"{what} does not match output.schema at /{where}: {found.message}")
