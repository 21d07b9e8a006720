"""What will a call be charged at most, and to whom? Put together from what is declared, before the call is begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proctor.api.agent import Agent, Limits
from proctor.api.connector import Connector
from proctor_gateway.calling import Caller
from proctor_gateway.context import Context
from proctor_gateway.rules import worst_case
from proctor_gateway.rules.bundle import Bundle
from proctor_gateway.rules.spending import Allowance
from proctor_gateway.rules.worst_case import Ask
from proctor_gateway.state import allowances
from proctor_gateway.store.accounts import Owner
from proctor_gateway.store.budgets import Bill


def of_model(
    context: Context, caller: Caller, bundle: Bundle, connector: Connector | None, asked: tuple[Mapping[str, Any], int]
) -> Bill:
    """The bill of a request to a model. `asked` is its body as it would be sent, and its size in bytes.

    The price is that of the model that is really asked: a fallback's, where a fallback is asked.
    """
    price = connector.spec.price(str(asked[0].get("model"))) if connector is not None else None
    settings = context.settings
    ask = worst_case.of_model(*asked, price, settings.usual_output_tokens, settings.least_output_tokens)
    return _bill(context, caller, bundle.behaviour.limits, ask)


def of_tool(context: Context, caller: Caller, bundle: Bundle, connector: Connector | None, tool: str) -> Bill:
    """The bill of a tool's call."""
    price = connector.spec.tool(tool).price if connector is not None else None
    return _bill(context, caller, bundle.behaviour.limits, worst_case.of_tool(price))


def of_task(context: Context, agent: Agent) -> Bill:
    """The bill of a task that is to begin."""
    return Bill(_owner(agent), allowances=_of_policies(context, agent))


def _bill(context: Context, caller: Caller, limits: Limits, ask: Ask) -> Bill:
    claims = caller.claims
    agent = context.known.agent(claims.namespace, claims.agent)
    owner = Owner(claims.namespace, claims.agent, "") if agent is None else _owner(agent)
    shared = () if agent is None else _of_policies(context, agent)
    return Bill(owner, ask, (*allowances.of_limits(claims.namespace, claims.agent, limits), *shared))


def _owner(agent: Agent) -> Owner:
    return Owner(agent.metadata.namespace, agent.metadata.name, agent.spec.owner.team)


def _of_policies(context: Context, agent: Agent) -> tuple[Allowance, ...]:
    return context.allowances.of(agent, context.clock.now())
