"""The installation's own listener: metrics, health, and what the operator asks."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor_gateway.callpath.probe import probe
from proctor_gateway.context import Context
from proctor_gateway.readiness import Readiness
from proctor_gateway.rules.errors import Problem, StoreAway
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.server.answers import HANDLERS, json_response
from proctor_gateway.server.findings import FindingsEndpoint
from proctor_gateway.server.objectives import Objectives
from proctor_gateway.server.operator import check_operator
from proctor_gateway.server.record import RecordEndpoint
from proctor_gateway.server.upgrades import Upgrades
from proctor_gateway.server.usage import UsageEndpoint, measure


class Internal:
    """The handlers."""

    def __init__(self, context: Context, readiness: Readiness, more: Sequence[Route] = ()) -> None:
        self._context = context
        self._readiness = readiness
        self._more = more

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/internal/connectors/{namespace}/{name}/probe", self.probe, methods=["POST"]),
            *Upgrades(self._context).routes(),
            *Objectives(self._context).routes(),
            *UsageEndpoint(self._context).routes(),
            *RecordEndpoint(self._context).routes(),
            *FindingsEndpoint(self._context).routes(),
            *self._more,
        ]
        return Starlette(routes=routes, exception_handlers=dict(HANDLERS))

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        """The process runs and its loop turns."""
        return json_response({"status": "ok"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        """Whether requests should come here, and if not, what is missing."""
        missing = self._readiness.missing()
        return json_response({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        """Prometheus' text format. While the store is away the budgets are as they were when it was last read."""
        with contextlib.suppress(StoreAway):
            await measure(self._context)
        return Response(generate_latest(self._context.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def probe(self, request: Request) -> Response:
        """What the connector's system answers now. For the operator alone, with a token made for the gateway."""
        await check_operator(self._context, request, "probe connectors")
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        connector = self._context.known.connector(namespace, name)
        if connector is None:
            raise Problem(404, Reason.NOT_FOUND, f"there is no Connector {namespace}/{name}", retry_after=1)
        return json_response(await probe(self._context, connector))
