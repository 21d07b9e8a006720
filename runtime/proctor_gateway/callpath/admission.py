"""Stage "admit" of the call path: may this call be made, and whom must one ask before?

`decide_tool` and `decide_model` answer; they never send anything. Everything is fail-closed: what is not listed is
refused, and an expression that errs refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proctor.api.agent import ToolGrant
from proctor.api.connector import Connector, Effect
from proctor_gateway.calling import Caller
from proctor_gateway.callpath import policing
from proctor_gateway.context import Context
from proctor_gateway.rules import mediation
from proctor_gateway.rules.bundle import Bundle
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.judgement import Allow, Ask, Refuse, ToolCall, Verdict
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.state.catalog import Offered


@dataclass(frozen=True)
class Admission:
    """The verdict, the connector that would be called (None only with a refusal), and the effect that it would have."""

    verdict: Verdict
    connector: Connector | None
    effect: Effect


async def decide_tool(context: Context, caller: Caller, bundle: Bundle, call: ToolCall) -> Admission:
    """Whether the tool may be called with these arguments."""
    effect, connector = Effect.ONCE, None
    try:
        connector, grant = granted(context, bundle, caller, call.connector)
        effect = bundle.pinned(connector, call.tool).effect
        return Admission(await _judged(context, caller, bundle, (connector, grant), call), connector, effect)
    except Denied as exc:
        return Admission(Refuse(Fault(exc.reason, exc.message)), connector, effect)


async def _judged(
    context: Context, caller: Caller, bundle: Bundle, found: tuple[Connector, ToolGrant], call: ToolCall
) -> Verdict:
    connector, grant = found
    mediation.check_agent(context.known.agent(caller.claims.namespace, caller.claims.agent))
    mediation.check_allowed(grant, call.tool)
    offered: Offered | None = (await context.catalog.of(connector)).get(call.tool)
    pinned = bundle.pinned(connector, call.tool)
    mediation.check_definition(grant, pinned, offered.digest if offered else None, call.tool)
    question = mediation.check_rules(grant, call.tool, call.arguments)
    own = Allow(frozenset(connector.spec.tool(call.tool).data)) if question is None else question
    said = await policing.of_tool(context, caller, connector, call.tool, pinned.effect, call.arguments)
    return _stricter(own, said)


def _stricter(own: Verdict, said: Verdict) -> Verdict:
    """What the agent's own rules and the policies say together. Whom a policy wants asked is asked."""
    match own, said:
        case (_, Refuse()) | (Allow(), Ask()):
            return said
        case Ask(question=first), Ask(question=second, asking=asking, rule=rule):
            return Ask(f"{first}; {second}", asking, rule)
        case _:
            return own


async def decide_model(context: Context, caller: Caller, bundle: Bundle, body: Mapping[str, Any]) -> Admission:
    """Whether the model may be asked this."""
    claims, declared = caller.claims, bundle.behaviour.model
    connector = context.known.connector(claims.namespace, declared.connector)
    try:
        mediation.check_agent(context.known.agent(claims.namespace, claims.agent))
        connector = mediation.check_model(bundle, connector, body.get("model"))
        said = await policing.of_model(context, caller, connector, declared.name, body)
    except Denied as exc:
        return Admission(Refuse(Fault(exc.reason, exc.message)), connector, Effect.READ)
    return Admission(said, connector, Effect.READ)


def granted(context: Context, bundle: Bundle, caller: Caller, name: str) -> tuple[Connector, ToolGrant]:
    """The connector and what the revision may call through it. Raises Denied."""
    return mediation.check_connector(bundle, context.known.connector(caller.claims.namespace, name), name)
