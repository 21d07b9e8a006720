"""The listener of callers: tasks in, tasks out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor.api.agent import Agent
from proctor_gateway import trace
from proctor_gateway.context import Context
from proctor_gateway.driving.doors import Door
from proctor_gateway.driving.intake import Intake, Order
from proctor_gateway.rules import calls
from proctor_gateway.rules.access import Identity, is_admitted, is_tester
from proctor_gateway.rules.errors import Problem
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Ended, Phase, Purpose, Task, shown
from proctor_gateway.server.answers import HANDLERS, body_of, json_response, parsed_object
from proctor_gateway.server.resolution import Resolutions
from proctor_gateway.store import approvals
from proctor_gateway.store import tasks as store
from proctor_gateway.store.calls import list_calls
from proctor_gateway.store.outcomes import Feedback, overrule

_BASE: Final = "/agents/{namespace}/{agent}"
_MOST_LISTED: Final = 200
_LISTED: Final = 50
_LONGEST_COMMENT: Final = 4096


class Callers:
    """The handlers. `door` is where an HTTPRoute sends in what it has split."""

    def __init__(self, context: Context, intake: Intake, door: Door | None = None) -> None:
        self._context = context
        self._intake = intake
        self._door = door

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route(f"{_BASE}/tasks", self.create, methods=["POST"]),
            Route(f"{_BASE}/tasks", self.list, methods=["GET"]),
            Route(f"{_BASE}/tasks/{{task}}", self.get, methods=["GET"]),
            Route(f"{_BASE}/tasks/{{task}}/calls", self.calls, methods=["GET"]),
            Route(f"{_BASE}/tasks/{{task}}/cancel", self.cancel, methods=["POST"]),
            Route(f"{_BASE}/tasks/{{task}}/feedback", self.feedback, methods=["POST"]),
            Route(f"{_BASE}/invoke", self.invoke, methods=["POST"]),
            *Resolutions(self._context).routes(),
        ]
        return Starlette(routes=routes, exception_handlers=dict(HANDLERS))

    async def create(self, request: Request) -> Response:
        """Take a task in. 202 if it is new, 200 if the same was taken in before."""
        task, is_new = await self._taken_in(request)
        location = f"{request.url.path}/{task.request.id}"
        return json_response(shown(task), 202 if is_new else 200, {"location": location})

    async def invoke(self, request: Request) -> Response:
        """Take a task in and wait for its end, whatever it is. Who goes away meanwhile ends nothing."""
        task, _ = await self._taken_in(request)
        while not isinstance(task.state, Ended) and not await request.is_disconnected():
            task = await self._waited(task, self._context.settings.max_wait)
        path = request.url.path.removesuffix("/invoke")
        return json_response(shown(task), 200, {"content-location": f"{path}/tasks/{task.request.id}"})

    async def get(self, request: Request) -> Response:
        """A task, now or when it has ended."""
        task = await self._own_task(request)
        seconds = _number(request, "wait", 0, self._context.settings.max_wait)
        if seconds and not isinstance(task.state, Ended):
            task = await self._waited(task, seconds)
        return json_response(shown(task))

    async def list(self, request: Request) -> Response:
        """The caller's own tasks, newest first: the live ones unless others are asked for."""
        identity, _ = await self._admitted(request)
        limit = int(_number(request, "limit", _LISTED, _MOST_LISTED))
        phase = request.query_params.get("phase")
        if phase is not None and phase not in set(Phase):
            raise Problem(400, Reason.INVALID_REQUEST, f"phase must be one of {', '.join(Phase)}")
        purpose = request.query_params.get("purpose", Purpose.LIVE)
        if purpose not in set(Purpose):
            raise Problem(400, Reason.INVALID_REQUEST, f"purpose must be one of {', '.join(Purpose)}")
        page = store.Page(
            namespace=request.path_params["namespace"],
            agent=request.path_params["agent"],
            principal=identity.username,
            phase=Phase(phase) if phase else None,
            purpose=Purpose(purpose),
            after=request.query_params.get("after"),
            limit=limit + 1,
        )
        found = await self._context.database.read(lambda c: store.list_tasks(c, page))
        following = found[limit - 1].request.id if len(found) > limit else None
        return json_response({"items": [shown(task) for task in found[:limit]], "next": following})

    async def calls(self, request: Request) -> Response:
        """What the task has asked of models and tools."""
        task = await self._own_task(request)
        read, wanted = self._context.database.read, task.request.id
        made, asked = await read(lambda c: list_calls(c, wanted)), await read(lambda c: approvals.of_task(c, wanted))
        return json_response({"items": [{**calls.shown(call), "approval": asked.get(call.sequence)} for call in made]})

    async def cancel(self, request: Request) -> Response:
        """Ask for a task's end. One that has ended stays as it is."""
        task = await self._own_task(request)
        return json_response(shown(await self._intake.cancel(task)))

    async def feedback(self, request: Request) -> Response:
        """Overrule how a live task ended, by one who knows: its own caller, or a tester."""
        identity, agent = await self._admitted(request)
        settings = self._context.settings
        said = feedback_of(parsed_object(await body_of(request, settings.max_body, settings.body_timeout)))
        task = await self._task(request)
        if task is None or not (task.request.principal == identity.username or is_tester(identity, agent.spec.access)):
            raise self._no_task(request, identity)
        feedback = Feedback(*said, by=identity.username, at=self._context.clock.now())
        if not await self._context.database.write(lambda c: overrule(c, task.request.id, feedback)):
            raise Problem(409, Reason.NOT_FOUND, "the task has no outcome to overrule: it runs, or it is not live")
        return json_response({"task": task.request.id, "success": said[0], "quality": said[1]})

    async def _taken_in(self, request: Request) -> tuple[Task, bool]:
        identity, agent = await self._admitted(request)
        settings = self._context.settings
        body = parsed_object(await body_of(request, settings.max_body, settings.body_timeout))
        order = Order(
            identity=identity,
            agent=agent,
            body=body,
            idempotency_key=request.headers.get("idempotency-key"),
            span=trace.parse(request.headers.get("traceparent")),
            revision=request.headers.get("x-proctor-revision"),
            entry=self._door.entry(agent) if self._door is not None else None,
        )
        return await self._intake.accept(order)

    async def _admitted(self, request: Request) -> tuple[Identity, Agent]:
        """Who asks, and the agent, if they may. Whether an agent exists is not told to those who may not ask it."""
        bearer = await self._context.identities.bearer(request.headers.get("authorization"))
        namespace, name = request.path_params["namespace"], request.path_params["agent"]
        agent = self._context.known.agent(namespace, name)
        if agent is None or agent.is_deleting or not is_admitted(bearer.identity, agent.spec.access):
            raise Problem(
                403,
                Reason.FORBIDDEN,
                f"{bearer.identity.username} is not one of spec.access.callers of Agent {namespace}/{name}, "
                "or there is no such Agent",
            )
        return bearer.identity, agent

    async def _own_task(self, request: Request) -> Task:
        identity, _ = await self._admitted(request)
        task = await self._task(request)
        if task is None or task.request.principal != identity.username:
            raise self._no_task(request, identity)
        return task

    async def _task(self, request: Request) -> Task | None:
        """The task that the path names, if it is the agent's that the path names."""
        namespace, agent = request.path_params["namespace"], request.path_params["agent"]
        task = await self._context.database.read(lambda c: store.get(c, request.path_params["task"]))
        return task if task and (task.request.namespace, task.request.agent) == (namespace, agent) else None

    def _no_task(self, request: Request, identity: Identity) -> Problem:
        wanted = request.path_params["task"][:64]
        return Problem(404, Reason.NOT_FOUND, f"{identity.username} has no task {wanted!r} at this agent")

    async def _waited(self, task: Task, seconds: float) -> Task:
        return await self._intake.waited(task.request.id, seconds)


def feedback_of(body: Mapping[str, Any]) -> tuple[bool, float | None, str | None]:
    """Success, score and comment. Raises Problem 400."""
    success, score, comment = body.get("success"), body.get("score"), body.get("comment")
    unknown = sorted(set(body) - {"success", "score", "comment"})
    if unknown:
        raise Problem(400, Reason.INVALID_REQUEST, f"unknown fields: {', '.join(unknown)[:200]}")
    if not isinstance(success, bool):
        raise Problem(400, Reason.INVALID_REQUEST, "success must be true or false")
    is_score = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    if score is not None and not is_score:
        raise Problem(400, Reason.INVALID_REQUEST, "score must be a number from 0 to 1")
    if comment is not None and not (isinstance(comment, str) and len(comment) <= _LONGEST_COMMENT):
        raise Problem(400, Reason.INVALID_REQUEST, f"comment must be text of at most {_LONGEST_COMMENT} characters")
    return success, None if score is None else float(score), comment


def _number(request: Request, name: str, default: float, most: float) -> float:
    """A number of the query, no larger than `most`. Raises Problem 400."""
    text: Any = request.query_params.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise Problem(400, Reason.INVALID_REQUEST, f"{name} must be a number that is not negative")
    return min(value, most)
