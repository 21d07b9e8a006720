"""Are the fixed replies that an Agent declares answers of the form that it declares for its own?"""

from __future__ import annotations

from collections.abc import Iterator

from proctor.api.agent import AgentSpec
from proctor.policy import forms


def faults(spec: AgentSpec) -> Iterator[tuple[str, str]]:
    """The fields with which a reply would be no answer, and what is wrong and what to do."""
    if spec.output is None:
        return
    for index, each in enumerate(spec.fallbacks):
        found = forms.mismatch(each.reply, spec.output.schema_) if each.reply is not None else None
        if found is None:
            continue
        if found.is_schemas:
            yield "spec.output.schema", f"is no valid JSON Schema: {found.message}; correct it"
            return
        field = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in found.path)
        said = f"does not match spec.output.schema: {found.message}; change one of the two"
        yield f"spec.fallbacks[{index}].reply{field}", said
