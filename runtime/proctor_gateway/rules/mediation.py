"""May this call be made? Pure: what is asked, what the revision may do, what is declared now → yes or Denied.

Every answer is fail-closed: what is not listed is denied, and an expression that errs denies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proctor.api.agent import Agent, Outcome, ToolGrant
from proctor.api.connector import Connector, ConnectorType
from proctor_gateway.rules import expressions
from proctor_gateway.rules.bundle import Bundle, Pinned
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.judgement import Ask
from proctor_gateway.rules.reasons import Reason


def check_agent(agent: Agent | None) -> None:
    """The live Agent may stop its own calls: by `suspend`, or by not being there any more."""
    if agent is None or agent.is_deleting:
        raise Denied(Reason.POLICY_DENIED, "the agent does not exist any more")
    if agent.spec.suspend:
        raise Denied(Reason.SUSPENDED, "the agent is suspended: no call goes out")


def check_model(bundle: Bundle, connector: Connector | None, model: object) -> Connector:
    """The connector for a call to this model. Denied unless it is the one that the revision declares."""
    declared = bundle.behaviour.model
    if model != declared.name:
        raise Denied(
            Reason.POLICY_DENIED,
            f"model {_quoted(model)} is not the one that revision {bundle.revision} declares: {declared.name}",
        )
    return _of_type(connector, declared.connector, ConnectorType.MODEL)


def check_connector(bundle: Bundle, connector: Connector | None, name: str) -> tuple[Connector, ToolGrant]:
    """The connector and what the revision may call through it."""
    grant = bundle.grant(name)
    if grant is None:
        granted = ", ".join(sorted(each.connector for each in bundle.behaviour.tools)) or "none"
        raise Denied(Reason.POLICY_DENIED, f"connector {_quoted(name)} is not granted; granted: {granted}")
    return _of_type(connector, name, ConnectorType.MCP), grant


def check_allowed(grant: ToolGrant, tool: str) -> None:
    """Whether the revision may call the tool at all."""
    if tool not in grant.allow:
        raise Denied(
            Reason.POLICY_DENIED,
            f"tool {_quoted(tool)} of {grant.connector} is not allowed; allowed: {', '.join(sorted(grant.allow))}",
        )


def check_definition(grant: ToolGrant, pinned: Pinned, definition: str | None, tool: str) -> None:
    """Whether the system offers the tool as it was pinned. `definition` is the digest of what it offers now."""
    if definition is None:
        raise Denied(Reason.TOOL_UNAVAILABLE, f"{grant.connector} does not offer the tool {tool}")
    if is_drifted(pinned, definition):
        raise Denied(
            Reason.DEFINITION_DRIFTED,
            f"the definition of {grant.connector}/{tool} is not the pinned one: found {definition}",
        )


def is_drifted(pinned: Pinned, definition: str) -> bool:
    """Whether what the system says of the tool differs from what was pinned. Without a pin nothing drifts."""
    return any(each != definition for each in pinned.digests)


def check_rules(grant: ToolGrant, tool: str, arguments: Mapping[str, Any]) -> Ask | None:
    """Whether the grant's rules let these arguments pass. Any rule that denies does; else the first that asks people.

    The question for people, or None. Raises Denied.
    """
    question: Ask | None = None
    variables = {"args": arguments, "tool": tool, "connector": grant.connector}
    for rule in grant.rules:
        try:
            applies = expressions.holds(rule.when, variables)
        except expressions.ExpressionError as exc:
            raise Denied(
                Reason.POLICY_DENIED, f"rule {_quoted(rule.when)} of {grant.connector} cannot be evaluated: {exc}"
            ) from exc
        if not applies:
            continue
        said = rule.message or f"rule {_quoted(rule.when)} of {grant.connector} applies"
        match rule.then:
            case Outcome.DENY:
                raise Denied(Reason.POLICY_DENIED, said)
            case Outcome.REQUIRE_APPROVAL:
                question = question or Ask(said, rule.approval)
    return question


def _of_type(connector: Connector | None, name: str, wanted: ConnectorType) -> Connector:
    if connector is None or connector.is_deleting:
        raise Denied(Reason.POLICY_DENIED, f"connector {_quoted(name)} does not exist")
    if connector.spec.type is not wanted:
        raise Denied(Reason.CONNECTOR_UNSUPPORTED, f"connector {name} is of type {connector.spec.type}, not {wanted}")
    return connector


def _quoted(value: object) -> str:
    return repr(value)[:200]
