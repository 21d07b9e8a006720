"""Personal data on the way to a model and back, and keys in what models and tools answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.gateway.house import House
from tests.gateway.serving import free_port, served
from tests.gateway.test_policies import hold, policy

MAIL = "jane.doe@mail.example.com"
KEY = "ghp_" + "a1B2" * 9


class Echo:
    """A model that says what it was told, whole or a few characters at a time, and keeps every question."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.says: str | None = None
        self.pause = 0.0
        """Seconds before each piece of a stream."""
        self.silent = False
        """It says nothing at all, until somebody leaves."""
        self.left = 0
        """How often somebody left in the middle of an answer."""

    async def answer(self, request: Request) -> Response:
        """One chat completion."""
        body = await request.json()
        self.asked.append(body)
        said = self.says or body["messages"][-1]["content"]
        arguments = json.dumps({"customer_id": said})
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "crm__get", "arguments": arguments}}
        if not body.get("stream"):
            await self._silence(request)
            message = {"role": "assistant", "content": said, "tool_calls": [call]}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return JSONResponse({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        return StreamingResponse(self._pieces(said, arguments), media_type="text/event-stream")

    async def _silence(self, request: Request) -> None:
        while self.silent:
            if await request.is_disconnected():
                self.left += 1
                return
            await asyncio.sleep(0.05)

    async def _pieces(self, said: str, arguments: str) -> AsyncIterator[str]:
        is_whole = False
        try:
            async for piece in self._paused(said, arguments):
                yield piece
            is_whole = True
        finally:
            self.left += not is_whole

    async def _paused(self, said: str, arguments: str) -> AsyncIterator[str]:
        for start in range(0, len(said), 3):
            await asyncio.sleep(self.pause)
            yield _event({"content": said[start : start + 3]})
        for start in range(0, len(arguments), 3):
            piece = {"index": 0, "function": {"arguments": arguments[start : start + 3]}}
            yield _event({"tool_calls": [piece]})
        yield _event({}, "stop")
        yield "data: [DONE]\n\n"


def _event(delta: dict[str, Any], finish: str | None = None) -> str:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return f"data: {json.dumps(chunk)}\n\n"


@contextlib.asynccontextmanager
async def echo(gateway: House) -> AsyncIterator[Echo]:
    """The gateway's model is an echo."""
    model, port = Echo(), free_port()
    application = Starlette(routes=[Route("/v1/chat/completions", model.answer, methods=["POST"])])
    async with served(application, "127.0.0.1", port):
        gateway.connect("llm", "Model", f"http://127.0.0.1:{port}/v1")
        await gateway.settled()
        yield model


def asking(text: str, *, stream: bool) -> dict[str, Any]:
    """A step that asks the model."""
    return {"chat": {"model": "gpt-5-mini", "stream": stream, "messages": [{"role": "user", "content": text}]}}


def joined(told: dict[str, Any]) -> tuple[str, str]:
    """What the model said and which arguments it gave, as the agent was told."""
    if "stream" not in told:
        message = told["choices"][0]["message"]
        return message["content"], message["tool_calls"][0]["function"]["arguments"]
    said = arguments = ""
    for line in told["stream"].splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", ()):
                said += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls") or ():
                    arguments += call["function"].get("arguments") or ""
    return said, arguments


STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@STREAMS
async def test_a_model_does_not_see_personal_data(gateway: House, stream: bool):
    """The model reads a word, and the agent reads what the word stands for, in the answer and in a call's arguments."""
    await hold(gateway, policy(data={"redact": ["Email"]}))
    async with echo(gateway) as model, gateway.pod("one"):
        task = await gateway.done(asking(f"Look {MAIL} up, then write to {MAIL}.", stream=stream))
    assert model.asked[0]["messages"][0]["content"] == "Look <EMAIL_1> up, then write to <EMAIL_1>."
    said, arguments = joined(task["output"][0])
    assert said == f"Look {MAIL} up, then write to {MAIL}."
    assert json.loads(arguments) == {"customer_id": said}


@STREAMS
async def test_a_policy_that_only_watches_replaces_nothing(gateway: House, stream: bool):
    """Redaction is a part of what is enforced."""
    await hold(gateway, policy("Audit", data={"redact": ["Email"]}))
    async with echo(gateway) as model, gateway.pod("one"):
        await gateway.done(asking(MAIL, stream=stream))
    assert model.asked[0]["messages"][0]["content"] == MAIL


@STREAMS
async def test_a_key_in_an_answer_is_withheld(gateway: House, stream: bool):
    """The agent hears that there was a key and of which kind, and gets no part of it."""
    await hold(gateway, policy(data={"blockSecrets": True}))
    async with echo(gateway) as model, gateway.pod("one"):
        model.says = f"The key is {KEY}, do not tell."
        task = await gateway.done(asking("Tell me the key.", stream=stream))
        (call,) = await gateway.calls(task["id"])
    told = json.dumps(task["output"])
    assert "a GitHub token" in told
    assert KEY[:4] not in told
    assert (call["state"], call["error"]["reason"]) == ("Failed", "PolicyDenied")
    assert KEY[:10] not in json.dumps(call)
