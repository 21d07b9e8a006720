"""What the operator asks to know how objectives stand."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor_gateway.context import Context
from proctor_gateway.measures.indicators import Question, answer
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.server.answers import body_of, json_response
from proctor_gateway.server.operator import check_operator
from proctor_gateway.store.custom import Verdicts


class Objectives:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._verdicts = Verdicts()

    def routes(self) -> list[Route]:
        """Their paths."""
        return [Route("/internal/indicators", self.indicators, methods=["POST"])]

    async def indicators(self, request: Request) -> Response:
        """Good events of all events, for each indicator of each agent, in each window that ends now."""
        context = self._context
        await check_operator(context, request, "read indicators")
        body = await body_of(request, context.settings.max_body, context.settings.body_timeout)
        try:
            question = Question.model_validate_json(body)
        except ValidationError as exc:
            fault = exc.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise Problem(400, Reason.INVALID_REQUEST, f"{where}: {fault['msg']}") from exc
        return json_response(await answer(context.database, self._verdicts, question, context.clock.now()))
