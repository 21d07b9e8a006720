"""What agents have used and how their budgets stand: for the operator's status, and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor.api.agent import Agent
from proctor_gateway.context import Context
from proctor_gateway.measures import solvency
from proctor_gateway.measures.solvency import BudgetStanding, Standing
from proctor_gateway.metrics import Metrics
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.spending import day_of
from proctor_gateway.rules.tasks import instant
from proctor_gateway.server.answers import body_of, json_response, parsed_object
from proctor_gateway.server.operator import check_operator
from proctor_gateway.store import accounts

_MOST: Final = 20_000


class UsageEndpoint:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """The paths."""
        return [Route("/internal/usage", self.usage, methods=["POST"])]

    async def usage(self, request: Request) -> Response:
        """The usage of many agents. One that is not known is left out of the answer."""
        await check_operator(self._context, request, "read usage")
        settings = self._context.settings
        body = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
        now = self._context.clock.now()
        found = await standings(self._context, _named(self._context, body.get("agents")))
        items = [
            {"namespace": agent.metadata.namespace, "name": agent.metadata.name, "usage": standing.dump()}
            for agent, standing in found
        ]
        return json_response({"asOf": instant(now), "agents": items})


async def standings(context: Context, agents: Iterable[Agent]) -> list[tuple[Agent, Standing]]:
    """How each agent stands now. Raises StoreAway."""
    now = context.clock.now()
    asked = [
        (agent, day_of(agent.metadata.namespace, agent.metadata.name), context.allowances.of(agent, now))
        for agent in agents
    ]
    keys = sorted({key for _, day, held in asked for key in solvency.keys_of(day, held, now)})
    found = await context.database.read(lambda c: accounts.standings(c, keys))
    return [(agent, solvency.standing(day, held, found, now)) for agent, day, held in asked]


async def measure(context: Context) -> None:
    """Set the series of every budget that some agent has. Raises StoreAway."""
    bounded = [agent for agent in context.known.agents() if context.allowances.of(agent, context.clock.now())]
    found = await standings(context, bounded)
    context.metrics.budget.clear()
    for _, standing in found:
        for each in standing.budgets:
            _show(context.metrics, each)


def _show(metrics: Metrics, standing: BudgetStanding) -> None:
    allowance, balance = standing.allowance, standing.balance
    rows: Mapping[str, tuple[Any, ...]] = {
        "cost": (allowance.cost, balance.spent_cost, balance.held_cost),
        "tokens": (allowance.tokens, balance.spent_tokens, balance.held_tokens),
        "tasks": (allowance.tasks, balance.tasks, 0),
    }
    for unit, (limit, spent, held) in rows.items():
        if limit is None:
            continue
        labels = (allowance.namespace, allowance.subject, allowance.scope, allowance.per, allowance.name, unit)
        for share, value in (("limit", limit), ("spent", spent), ("reserved", held)):
            metrics.budget.labels(*labels, share).set(float(value))


def _named(context: Context, wanted: object) -> list[Agent]:
    if not isinstance(wanted, list) or len(wanted) > _MOST:
        raise Problem(400, Reason.INVALID_REQUEST, f"agents must be a list of at most {_MOST} namespaces and names")
    found = []
    for each in wanted:
        if not isinstance(each, dict):
            raise Problem(400, Reason.INVALID_REQUEST, 'agents must be {"namespace": …, "name": …}')
        agent = context.known.agent(str(each.get("namespace")), str(each.get("name")))
        if agent is not None:
            found.append(agent)
    return found
