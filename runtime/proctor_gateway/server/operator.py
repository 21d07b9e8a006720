"""What only the operator may ask: who it is, and which agent it means."""

from __future__ import annotations

from starlette.requests import Request

from proctor.api.agent import Agent
from proctor_gateway.context import Context
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason


async def check_operator(context: Context, request: Request, what: str) -> None:
    """Raises Problem unless the operator itself asks, with a token made for the gateway."""
    bearer = await context.identities.bearer(request.headers.get("authorization"))
    if not bearer.for_gateway or bearer.identity.username != context.settings.operator:
        raise Problem(403, Reason.FORBIDDEN, f"only {context.settings.operator} may {what}")


def agent_of(context: Context, request: Request) -> Agent:
    """The agent that the path names. Raises Problem 404."""
    namespace, name = request.path_params["namespace"], request.path_params["agent"]
    agent = context.known.agent(namespace, name)
    if agent is None or agent.is_deleting:
        raise Problem(404, Reason.NOT_FOUND, f"there is no Agent {namespace}/{name}", retry_after=1)
    return agent


def number(request: Request, name: str, default: int, most: int) -> int:
    """A whole number of the query, from 0 to `most`. Raises Problem 400."""
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise Problem(400, Reason.INVALID_REQUEST, f"{name} must be a whole number that is not negative")
    return min(int(text[:18]), most)
