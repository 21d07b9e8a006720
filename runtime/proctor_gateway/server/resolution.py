"""Where people say what became of an effect that nobody knew of. They need not be the task's caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor.api.agent import Agent
from proctor_gateway.context import Context
from proctor_gateway.rules import calls
from proctor_gateway.rules.access import Identity, is_resolver
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Phase, Task, shown
from proctor_gateway.server.answers import body_of, json_response, parsed_object
from proctor_gateway.store import approvals, tasks
from proctor_gateway.store.calls import list_calls
from proctor_gateway.store.resolution import Action, NotResolvable, Resolution, resolve

log = structlog.get_logger(__name__)

_BASE: Final = "/agents/{namespace}/{agent}"
_FIELDS: Final = {"call", "action", "result"}


class Resolutions:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route(f"{_BASE}/unresolved", self.unresolved, methods=["GET"]),
            Route(f"{_BASE}/tasks/{{task}}/resolve", self.resolve, methods=["POST"]),
        ]

    async def unresolved(self, request: Request) -> Response:
        """The tasks that need a person, whoever sent them, each with the calls that nobody knows of."""
        await self._resolver(request)
        namespace, agent = request.path_params["namespace"], request.path_params["agent"]
        found = await self._context.database.read(lambda c: tasks.in_phase(c, namespace, agent, Phase.INDETERMINATE))
        return json_response({"items": [await self._told(task) for task in found]})

    async def resolve(self, request: Request) -> Response:
        """Decide on one call. 409 if there is nothing to decide."""
        identity, agent = await self._resolver(request)
        settings = self._context.settings
        body = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
        said = _said(request.path_params["task"], body, identity)
        task = await self._task(said.task, agent)
        bundle = await self._context.bundles.get(task.request.namespace, task.request.agent, task.state.revision)
        timeout, now = bundle.behaviour.limits.timeout, self._context.clock.now()
        try:
            after = await self._context.database.write(lambda c: resolve(c, said, timeout, now))
        except NotResolvable as exc:
            raise Problem(409, Reason.INVALID_REQUEST, str(exc)) from exc
        log.info("an effect was resolved", call=said.call, action=said.action, by=said.by)
        self._context.questions.set()
        return json_response(shown(after))

    async def _told(self, task: Task) -> dict[str, Any]:
        read, wanted = self._context.database.read, task.request.id
        made, asked = await read(lambda c: list_calls(c, wanted)), await read(lambda c: approvals.of_task(c, wanted))
        unknown = [call for call in made if call.may_have_changed_something and call.is_open]
        told = [{**calls.shown(call), "approval": asked.get(call.sequence)} for call in unknown]
        return {**shown(task), "unknown": told}

    async def _task(self, wanted: str, agent: Agent) -> Task:
        task = await self._context.database.read(lambda c: tasks.get(c, wanted))
        key = (agent.metadata.namespace, agent.metadata.name)
        if task is None or (task.request.namespace, task.request.agent) != key:
            raise Problem(404, Reason.NOT_FOUND, f"this agent has no task {wanted[:64]!r}")
        return task

    async def _resolver(self, request: Request) -> tuple[Identity, Agent]:
        bearer = await self._context.identities.bearer(request.headers.get("authorization"))
        namespace, name = request.path_params["namespace"], request.path_params["agent"]
        agent = self._context.known.agent(namespace, name)
        if agent is None or not is_resolver(bearer.identity, agent.spec.access):
            raise Problem(
                403,
                Reason.FORBIDDEN,
                f"{bearer.identity.username} is not one of spec.access.resolvers of Agent {namespace}/{name}, "
                "or there is no such Agent",
            )
        return bearer.identity, agent


def _said(task: str, body: Mapping[str, Any], identity: Identity) -> Resolution:
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        raise Problem(400, Reason.INVALID_REQUEST, f"unknown fields: {', '.join(unknown)[:200]}")
    call, action = body.get("call"), body.get("action")
    if not isinstance(call, str) or action not in set(Action):
        raise Problem(400, Reason.INVALID_REQUEST, f"call must be a call's id, action one of {', '.join(Action)}")
    if "result" in body and action != Action.MARK_DONE:
        raise Problem(400, Reason.INVALID_REQUEST, f"result needs action {Action.MARK_DONE}")
    return Resolution(task, call, Action(str(action)), identity.username, body.get("result"))
