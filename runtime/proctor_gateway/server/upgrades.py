"""What the operator asks while it upgrades an agent: what became of the tasks, and who gets them now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor_gateway.callpath.judge import judged, question_of
from proctor_gateway.context import Context
from proctor_gateway.driving.draws import said
from proctor_gateway.rules.arms import split_of
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import instant
from proctor_gateway.server.answers import body_of, json_response, parsed_object
from proctor_gateway.server.operator import agent_of, check_operator, number
from proctor_gateway.store import assignments, finished
from proctor_gateway.store.finished import Ends, read_cursor

_BASE: Final = "/internal/agents/{namespace}/{agent}"
_LISTED: Final = 1000
_MOST: Final = 10**18
_SETTLING: Final = timedelta(seconds=3)


class Upgrades:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route(f"{_BASE}/outcomes", self.outcomes, methods=["GET"]),
            Route(f"{_BASE}/traffic", self.traffic, methods=["GET"]),
            Route(f"{_BASE}/finished", self.finished, methods=["GET"]),
            Route(f"{_BASE}/judge", self.judge, methods=["POST"]),
        ]

    async def outcomes(self, request: Request) -> Response:
        """The draws of an upgrade that are evidence, in their order, each with what became of it so far.

        One whose conversation had begun before is not listed: it was not drawn for itself.
        """
        await check_operator(self._context, request, "read outcomes")
        rollout = request.query_params.get("rollout")
        if not rollout:
            raise Problem(400, Reason.INVALID_REQUEST, "rollout is missing")
        feed = assignments.Feed(
            namespace=request.path_params["namespace"],
            agent=request.path_params["agent"],
            rollout=rollout,
            after=number(request, "after", 0, _MOST),
            limit=number(request, "limit", _LISTED, _LISTED),
        )
        # Read before the rows: what is not among them at this time is certain to be listed by the next question.
        now = self._context.clock.now()
        items = await self._context.database.read(lambda c: assignments.listed(c, feed))
        return json_response({"items": items, "asOf": instant(now)})

    async def judge(self, request: Request) -> Response:
        """What a judging model says of an answer."""
        await check_operator(self._context, request, "ask a judge")
        agent, settings = agent_of(self._context, request), self._context.settings
        body = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
        return json_response(await judged(self._context, agent.metadata.namespace, question_of(body)))

    async def finished(self, request: Request) -> Response:
        """Live tasks of a revision in the order of their ends: since a time, or after the last that is known."""
        await check_operator(self._context, request, "read outcomes")
        path, query = request.path_params, request.query_params
        try:
            after = query.get("after", "")
            since, task = read_cursor(after) if after else (datetime.fromisoformat(query.get("since", "")), "")
            revision = query["revision"]
        except (KeyError, ValueError) as exc:
            raise Problem(400, Reason.INVALID_REQUEST, "revision, and since or after, are needed") from exc
        now = self._context.clock.now()
        # Ends are written down in groups, and not quite in their order: what is that young is told of next time.
        ends = Ends(
            namespace=path["namespace"],
            agent=path["agent"],
            revision=revision,
            since=since,
            after=task,
            until=now - _SETTLING,
            limit=number(request, "limit", _LISTED, _LISTED),
        )
        items = await self._context.database.read(lambda c: finished.listed(c, ends))
        return json_response({"items": items, "asOf": instant(now)})

    async def traffic(self, request: Request) -> Response:
        """By which upgrade and weight this instance draws, whether all others do, and what each revision has."""
        await check_operator(self._context, request, "read the traffic")
        agent = agent_of(self._context, request)
        namespace, name = agent.metadata.namespace, agent.metadata.name
        split = split_of(agent)
        now = self._context.clock.now()
        silent = timedelta(seconds=self._context.settings.takeover)

        def read(connection: sa.Connection) -> dict[str, Any]:
            seen = assignments.all_seen(connection, silent, now)
            expected = said(split) if split else None
            return {
                "gateways": len(seen),
                "agreed": bool(seen)
                and all(each is not None and each.get(f"{namespace}/{name}") == expected for each in seen),
                "inFlight": assignments.in_flight(connection, namespace, name),
                "begun": assignments.begun(connection, namespace, name, split.rollout) if split else {},
            }

        found = await self._context.database.read(read)
        about = {
            "rollout": split.rollout if split else None,
            "stable": split.stable if split else None,
            "weight": split.weight if split else 0,
        }
        return json_response({"asOf": instant(now), **about, **found})
