"""A system's own count of its calls."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proctor_demo.counting import CountedCalls


async def echo(request: Request) -> Response:
    """What was sent."""
    return Response(await request.body())


async def test_only_calls_of_tools_are_counted() -> None:
    """By tool; what lists, is no JSON or reads a page counts nothing. The application gets every body whole."""
    counted = CountedCalls(Starlette(routes=[Route("/mcp", echo, methods=["GET", "POST"])]))
    call: dict[str, Any] = {"method": "tools/call", "params": {"name": "refund"}}
    bodies: list[Any] = [call, call, {"method": "tools/list"}, ["no call"], {"method": "tools/call", "params": None}]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=counted), base_url="http://crm") as client:
        for body in (*map(json.dumps, bodies), "{"):
            assert (await client.post("/mcp", content=body)).text == body
        await client.get("/mcp")
    assert counted.counts == {"refund": 2}
