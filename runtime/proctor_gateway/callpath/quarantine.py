"""quarantine: of a stranger's answer the agent gets values of a form, filled in by a model that can do nothing.

The journal keeps the answer as it came, and the form as it was filled in: an attempt that is begun again gets the same.
What cannot be filled in is not shown at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from proctor.api.permissions import Quarantine, ToolRules
from proctor.policy import seclusion
from proctor.policy.effective import Effective
from proctor.policy.facts import leaves
from proctor.policy.patterns import is_tool
from proctor.policy.provenance import value_of
from proctor_gateway.calling import Caller
from proctor_gateway.callpath import aside
from proctor_gateway.callpath.policing import effective_of
from proctor_gateway.context import Context
from proctor_gateway.rules.calls import Intent


async def shown(
    context: Context, caller: Caller, intent: Intent, result: Mapping[str, Any], rule: Quarantine | None
) -> Mapping[str, Any]:
    """A tool's result as the agent is shown it: as it is, or, under a rule, as a form. Raises Denied, Problem."""
    if rule is None:
        return result
    value = value_of(result)
    text = json.dumps(value, ensure_ascii=False) if value is not None else "\n".join(leaves(result.get("content")))
    said: dict[str, Any] = {"quarantined": f"{intent.connector}/{intent.name}", "characters": len(text)}
    wrong = next(seclusion.faults(rule.schema_), None)
    if wrong is not None:
        return _told({**said, "extracted": None, "why": f"the policy's form cannot hold: {wrong}"})
    answer, fault = await aside.ask(context, caller, seclusion.messages(rule.schema_, text))
    extracted, fault = (None, fault) if fault is not None else seclusion.filled(rule.schema_, answer)
    return _told({**said, "extracted": extracted, **({"why": fault} if fault is not None else {})})


def rule_of(context: Context, caller: Caller, connector: str, tool: str) -> Quarantine | None:
    """What keeps the answers of this tool from the agent; None if nothing does. Of several the first."""
    found, effective = context.known.connector(caller.claims.namespace, connector), effective_of(context, caller)
    if found is None or not effective:
        return None
    declared = found.spec.tool(tool)
    rules = () if declared.trusted else _rules(effective)
    return next((r for r in rules if is_tool(r, connector, tool, declared.effect, declared.data)), None)


def _rules(effective: Effective) -> tuple[Quarantine, ...]:
    rules = (rule for rule in effective.of("tools", ToolRules) if rule.binds("quarantine"))
    return tuple(each for rule in rules for each in rule.content.quarantine)


def without_promise(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition of a tool whose answers are kept from the agent: it promises no form, for the form is another."""
    return {key: value for key, value in definition.items() if key != "outputSchema"}


def _told(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"content": [{"type": "text", "text": json.dumps(said, ensure_ascii=False)}], "isError": False}
