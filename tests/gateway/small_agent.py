"""A real small agent: it does the steps that its task lists, through the gateway, and answers.

Steps: {"chat": body} · {"must_chat": body} · {"call": [connector, tool, arguments]} ·
{"must_call": [connector, tool, arguments]} · {"sleep": seconds} ·
{"sleep_at_first": seconds} · {"call_at_first": [connector, tool, arguments]} ·
{"die_at_first": 1} · {"answer": value} · {"refuse": [status, problem]} · {"raw": text}.
It keeps what the gateway told it, and answers with that by default.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "small-agent", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class SmallAgent:
    """One pod's program."""

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway
        self.invocations: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.traceparents: list[str] = []
        self.cancelled = 0
        self.working = 0
        self.most_at_once = 0
        self.told: list[Any] = []
        self._ids = itertools.count(1)

    @property
    def bearer(self) -> dict[str, str]:
        """The header that opens the gateway to its last attempt."""
        return {"authorization": f"Bearer {self.tokens[-1]}"}

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [Route("/healthz", self.healthz), Route("/invoke", self.invoke, methods=["POST"])]
        return Starlette(routes=routes)

    async def healthz(self, request: Request) -> Response:
        """Always ready."""
        return PlainTextResponse("ok")

    async def invoke(self, request: Request) -> Response:
        """Do what the task lists, until the caller goes away."""
        body = await request.json()
        self.invocations.append(body["task"])
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        self.traceparents.append(request.headers["traceparent"])
        self.working += 1
        self.most_at_once = max(self.most_at_once, self.working)
        working = asyncio.ensure_future(self._worked(body["task"], token, request.headers["traceparent"]))
        gone = asyncio.ensure_future(self._gone(request))
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                self.cancelled += 1
                return PlainTextResponse("gone")
            return working.result()
        finally:
            self.working -= 1
            working.cancel()
            gone.cancel()

    async def _gone(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    async def _worked(self, task: dict[str, Any], token: str, traceparent: str) -> Response:
        try:
            return await self._work(task, token, traceparent)
        except httpx2.TransportError as exc:
            # As the contract of an agent has it: the attempt is to be repeated.
            return JSONResponse({"reason": "Interrupted", "detail": f"no gateway: {type(exc).__name__}"}, 503)

    async def _reachable(self) -> str:
        """The first of its gateways that answers: what a Service does for a pod."""
        first, *others = self.gateway.split(",")
        for url in (first, *others) if others else ():
            host, _, port = url.removeprefix("http://").partition(":")
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                continue
            writer.close()
            return url
        return first

    async def _work(self, task: dict[str, Any], token: str, traceparent: str) -> Response:
        told: list[Any] = []
        self.told = told
        headers = {"authorization": f"Bearer {token}", "traceparent": traceparent}
        async with httpx2.AsyncClient(
            base_url=await self._reachable(), headers=headers, timeout=60, trust_env=False, verify=False
        ) as client:
            for step in task["input"]:
                ((verb, what),) = step.items()
                if verb == "must_chat":
                    said = await self.chat(client, what)
                    if said["status"] != 200:
                        return JSONResponse({"reason": said["error"]["code"], "detail": "the model failed"}, 502)
                    told.append(said)
                elif verb == "must_call":
                    told.append(await self.call(client, *what))
                    if (refusal := _refusal(told[-1])) is not None:
                        return refusal
                elif verb == "call_at_first":
                    told += [await self.call(client, *what)] if task["attempt"] == 1 else []
                elif verb in {"chat", "call"}:
                    told.append(await (self.chat(client, what) if verb == "chat" else self.call(client, *what)))
                elif (answer := await self._act(verb, what, task["attempt"])) is not None:
                    return answer
        return JSONResponse({"output": told})

    async def _act(self, verb: str, what: Any, attempt: int) -> Response | None:
        match verb:
            case "answer":
                return JSONResponse({"output": what})
            case "refuse":
                return JSONResponse(what[1], what[0])
            case "raw":
                return PlainTextResponse(what)
            case "sleep":
                await asyncio.sleep(what)
            case "sleep_at_first":
                await asyncio.sleep(what if attempt == 1 else 0)
            case "die_at_first" if attempt == 1:
                os._exit(9)
        return None

    async def chat(self, client: httpx2.AsyncClient, body: dict[str, Any]) -> Any:
        """Ask the model."""
        whole = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}], **body}
        response = await client.post("/v1/chat/completions", json=whole)
        if response.headers["content-type"].startswith("text/event-stream"):
            return {"status": response.status_code, "stream": response.text}
        return {"status": response.status_code, **response.json()}

    async def call(self, client: httpx2.AsyncClient, connector: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Call a tool."""
        return await self.rpc(client, connector, "tools/call", {"name": tool, "arguments": arguments})

    async def rpc(self, client: httpx2.AsyncClient, connector: str, method: str, params: dict[str, Any]) -> Any:
        """One MCP request of 2026-07-28."""
        message = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": {**params, "_meta": META}}
        headers = {"mcp-protocol-version": VERSION, "mcp-method": method}
        if "name" in params:
            headers["mcp-name"] = params["name"]
        response = await client.post(f"/mcp/{connector}", json=message, headers=headers)
        is_json = response.headers.get("content-type", "").startswith("application/json")
        answer = response.json() if is_json else {}
        return {"status": response.status_code, **answer.get("result", {}), "error": answer.get("error")}


def _refusal(told: dict[str, Any]) -> Response | None:
    """How the task ends when the gateway refused a call: with the gateway's reason, as the contract has it."""
    error = told["error"] or {}
    if told["status"] == 200 and not error:
        return None
    reason = error.get("data", {}).get("reason", "AgentError")
    return JSONResponse({"reason": reason, "detail": f"a call was refused: {told['status']} {error.get('code')}"}, 503)


def main() -> None:
    """`python -m tests.gateway.small_agent HOST PORT GATEWAY`."""
    host, port, gateway = sys.argv[1:]
    uvicorn.run(SmallAgent(gateway).application(), host=host, port=int(port), log_level="error")


if __name__ == "__main__":
    main()
