"""An agent of your own: LangGraph's loop behind the contract of an agent pod (docs/agent-contract.md).

Everything about proctor is in this file: where the declared agent is read, where the task token goes, and how a task
ends. What the agent does in between is LangGraph's, and yours.
"""  # noqa: INP001 - a program, not a package

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from jsonschema import Draft202012Validator
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
from langchain.agents.structured_output import ToolStrategy
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI
from mcp import McpError
from openai import APIConnectionError, APIStatusError, RateLimitError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CONFIG = json.loads(Path(os.environ.get("PROCTOR_AGENT_CONFIG", "/etc/proctor/agent.json")).read_text())
GATEWAY = os.environ["PROCTOR_GATEWAY_URL"].rstrip("/")
LIMITS = {"timeoutSeconds": 60, "maxSteps": 12} | CONFIG.get("limits", {})
SCHEMA = (CONFIG.get("output") or {}).get("schema")


class Failed(Exception):  # noqa: N818 - it names what happened
    """The task ends without an answer, for a reason of the contract."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


async def invoke(request: Request) -> Response:
    """POST /invoke: one task in, one answer or problem out."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return problem(401, "Unauthorized", "the request carries no task token")
    task = (await request.json())["task"]
    headers = {name: request.headers[name] for name in ("traceparent",) if name in request.headers}
    try:
        output = await unless_gone(request, in_time(task, run(task, token, headers)))
    except Failed as failure:
        return problem(500, failure.reason, failure.detail)
    return JSONResponse({"output": output})


async def run(task: dict[str, Any], token: str, headers: dict[str, str]) -> Any:
    """Carry out one task. All it calls is the gateway, with this task's token; nothing is kept afterwards."""
    refusals: list[Failed] = []
    model = ChatOpenAI(
        model=CONFIG["model"]["name"],
        base_url=os.environ.get("OPENAI_BASE_URL") or f"{GATEWAY}/v1",
        api_key=token,
        default_headers=headers,
        max_retries=0,  # the gateway retries
        extra_body=CONFIG["model"].get("parameters", {}),
    )
    try:
        agent = create_agent(
            model,
            await tools_of(token, headers, refusals),
            system_prompt=CONFIG["instructions"],
            response_format=ToolStrategy(SCHEMA | {"title": "final_result"}) if SCHEMA else None,
            middleware=[ModelCallLimitMiddleware(run_limit=LIMITS["maxSteps"], exit_behavior="error")],
        )
        # Graph steps are not model calls, which the middleware counts. Tools run one after the other, so that effects
        # happen in the order asked for, each time.
        settings = {"recursion_limit": 10 * LIMITS["maxSteps"], "max_concurrency": 1}
        state = await agent.ainvoke({"messages": [("user", prompt_of(task["input"]))]}, settings)
    except Exception as exc:
        raise refusals[0] if refusals else explained(exc) from exc
    return answer_in(state)


async def tools_of(token: str, headers: dict[str, str], refusals: list[Failed]) -> list[BaseTool]:
    """The declared tools, named `<connector>__<tool>`, in the order of the declaration."""

    async def notice(response: httpx.Response) -> None:
        # The MCP client reduces an HTTP error to its status: why the gateway refused is in the body.
        if response.is_error and response.request.method == "POST":
            await response.aread()
            if (known := told_by_gateway(response.text)) is not None:
                refusals.append(known)

    def client(headers: Any = None, timeout: Any = None, auth: Any = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=headers, timeout=timeout, auth=auth, event_hooks={"response": [notice]})

    connection = {
        "transport": "streamable_http",
        "headers": {"Authorization": f"Bearer {token}"} | headers,
        "httpx_client_factory": client,
    }
    declared = CONFIG.get("tools", [])
    connectors = MultiServerMCPClient(
        {tools["connector"]: connection | {"url": f"{GATEWAY}/mcp/{tools['connector']}"} for tools in declared}
    )
    found: list[BaseTool] = []
    for tools in declared:
        connector = tools["connector"]
        listed = {tool.name: tool for tool in await connectors.get_tools(server_name=connector)}
        allowed = [listed[name] for name in tools["allow"] if name in listed]
        found += [tool.model_copy(update={"name": f"{connector}__{tool.name}"}) for tool in allowed]
    return found


def prompt_of(task_input: Any) -> str:
    """The same input, the same bytes: a repeated attempt must send what was sent before."""
    return task_input if isinstance(task_input, str) else json.dumps(task_input, sort_keys=True, ensure_ascii=False)


def answer_in(state: dict[str, Any]) -> Any:
    """The answer in the final state, if it is of the declared form."""
    if SCHEMA is None:
        return state["messages"][-1].text
    output = state.get("structured_response")
    if not Draft202012Validator(SCHEMA).is_valid(output):
        raise Failed("InvalidOutput", "the model's answer is not of the declared form")
    return output


def explained(error: BaseException) -> Failed:  # noqa: PLR0911 - a table, read from the top
    """The failure to report for what the framework raised."""
    match error:
        case Failed():
            return error
        case BaseExceptionGroup():
            return explained(error.exceptions[0])
        case ModelCallLimitExceededError():
            return Failed("LimitExceeded", "the model was asked as often as is allowed")
        case McpError() if (known := reason_in(error.error.data)) is not None:
            return known
        case APIConnectionError():
            return Failed("Interrupted", "the gateway broke off a call of the model")
        case httpx.TransportError():
            return Failed("Interrupted", "the gateway broke off a call of a tool")
        case APIStatusError() if (known := told_by_gateway(error.response.text)) is not None:
            return known
        case RateLimitError():
            return Failed("RateLimited", "the model's endpoint asks to slow down")
        case APIStatusError():
            return Failed("ModelUnavailable", f"the model's endpoint answered HTTP {error.status_code}")
        case _:
            return Failed("AgentError", type(error).__name__)


def told_by_gateway(body: str) -> Failed | None:
    """The reason in the body of a gateway's error: of JSON-RPC, of OpenAI's form, or a problem."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    error = document.get("error", document) if isinstance(document, dict) else None
    return reason_in(error.get("data")) or reason_in(error) if isinstance(error, dict) else None


def reason_in(said: Any) -> Failed | None:
    """The reason under `reason`, `code` or `type`, if there is one of the gateway's there: they are CamelCase."""
    if not isinstance(said, dict):
        return None
    found = (said.get("reason"), said.get("code"), str(said.get("type", "")).rpartition("/problems/")[2])
    reason = next((word for word in found if isinstance(word, str) and re.fullmatch("[A-Z][A-Za-z]+", word)), None)
    return Failed(reason, str(said.get("detail") or said.get("message") or reason)) if reason else None


async def in_time(task: dict[str, Any], work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`, or a failure at the deadline."""
    left = (datetime.fromisoformat(task["deadline"]) - datetime.now(UTC)).total_seconds()
    try:
        return await asyncio.wait_for(work, min(left, LIMITS["timeoutSeconds"]))
    except TimeoutError as exc:
        raise Failed("Timeout", "the task's time was up") from exc


async def unless_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`; a caller that closes the connection cancels it."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(disconnected(request.receive))
    await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not working.done():
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        raise Failed("Interrupted", "the caller left")
    return working.result()


async def disconnected(receive: Callable[[], Any]) -> None:
    """Return when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def problem(status: int, reason: str, detail: str) -> Response:
    """A failed task (RFC 9457)."""
    body = {"type": f"https://proctor.dev/problems/{reason}", "title": reason, "reason": reason, "detail": detail}
    return JSONResponse(body | {"status": status}, status, media_type="application/problem+json")


async def healthz(_: Request) -> Response:
    """GET /healthz: 200 as soon as tasks are taken."""
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/healthz", healthz), Route("/invoke", invoke, methods=["POST"])])

if __name__ == "__main__":
    # On SIGTERM uvicorn closes its socket and lets the tasks in flight end.
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PROCTOR_AGENT_PORT", "8080")), access_log=False)  # noqa: S104
