"""What policies found in calls, for the operator's reports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor_gateway.context import Context
from proctor_gateway.rules.tasks import instant
from proctor_gateway.server.answers import json_response
from proctor_gateway.server.operator import check_operator
from proctor_gateway.store import readings

_DAYS: Final = 7
_MOST: Final = 20_000


class FindingsEndpoint:
    """The handler."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """The path."""
        return [Route("/internal/findings", self.findings, methods=["GET"])]

    async def findings(self, request: Request) -> Response:
        """What was found in the calls of the last week, added up by agent, policy, rule and mode."""
        await check_operator(self._context, request, "read what policies found")
        now = self._context.clock.now()
        found = await self._context.database.read(lambda c: readings.found(c, now - timedelta(days=_DAYS), _MOST))
        return json_response({"asOf": instant(now), "items": [_shown(each) for each in found]})


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    last = row.pop("last_at")
    return {**row, "lastAt": instant(last)}
