"""One request to an API server over real HTTP, and what its failure means for the loop."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from proctor.shell.access import connection
from proctor.shell.client import APPLY, Client, Conflict, NotFound
from proctor.shell.errors import Blocked, ProctorError, Retry

_ANSWERS = {
    "/missing": (404, {"reason": "NotFound", "message": "no such"}),
    "/taken": (409, {"reason": "AlreadyExists", "message": "taken"}),
    "/busy": (429, {"reason": "TooManyRequests", "message": "later"}),
    "/down": (503, {"message": "away"}),
    "/ending": (403, {"reason": "Forbidden", "message": "namespace x is being terminated"}),
    "/denied": (403, {"reason": "Forbidden", "message": "quota exceeded"}),
    "/wrong": (422, {"reason": "Invalid", "message": "spec.x: wrong"}),
    "/garbled": (500, None),
}


async def _answer(request: web.Request) -> web.Response:
    if request.path in _ANSWERS:
        status, body = _ANSWERS[request.path]
        headers = {"Retry-After": "7"} if status == 429 else {}
        return web.Response(status=status, text=json.dumps(body) if body else "<html>", headers=headers)
    heard = {
        "method": request.method,
        "path": request.path_qs,
        "authorization": request.headers.get("Authorization"),
        "content": request.headers.get("Content-Type"),
        "body": (await request.text()) or None,
    }
    return web.json_response(heard)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """An HTTP server that says what it heard; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def client(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client by a kubeconfig."""
    monkeypatch.setitem(os.environ, "KUBECONFIG", "")
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "secret-token"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    client = await Client.connect(str(path))
    yield client
    await client.close()


async def test_a_request_carries_what_it_was_given(client: Client) -> None:
    """Method, path, query, body with its content type, and by what the API server knows us."""
    heard = await client.request("PATCH", "/apis/a/b", query={"force": "true"}, body={"x": [1]}, content=APPLY)
    assert heard == {
        "method": "PATCH",
        "path": "/apis/a/b?force=true",
        "authorization": "Bearer secret-token",
        "content": APPLY,
        "body": '{"x":[1]}',
    }


async def test_a_request_without_a_body_sends_none(client: Client) -> None:
    """A GET of the API server has no body."""
    assert (await client.request("GET", "/api"))["body"] is None


FAILURES: dict[str, type[ProctorError]] = {
    "/missing": NotFound,
    "/taken": Conflict,
    "/busy": Retry,
    "/down": Retry,
    "/ending": Retry,
    "/denied": Blocked,
    "/wrong": Blocked,
    "/garbled": Retry,
}


@pytest.mark.parametrize(("path", "kind"), FAILURES.items())
async def test_each_refusal_has_its_reaction(client: Client, path: str, kind: type[ProctorError]) -> None:
    """Later, until somebody changes something, or whatever the caller makes of it."""
    with pytest.raises(kind) as caught:
        await client.request("GET", path)
    assert type(caught.value) is kind
    assert "secret-token" not in str(caught.value)


async def test_the_server_says_how_long_to_wait(client: Client) -> None:
    """Retry-After is in seconds."""
    with pytest.raises(Retry) as caught:
        await client.request("GET", "/busy")
    assert caught.value.after_seconds == 7


async def test_a_server_that_is_not_there_is_tried_again(client: Client) -> None:
    """A connection that fails is a reason to wait, not to give up."""
    client._server = "http://127.0.0.1:9"
    with pytest.raises(Retry):
        await client.request("GET", "/api")


def test_without_any_access_the_operator_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a pod nor with a kubeconfig: nobody should have to guess."""
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    monkeypatch.delitem(os.environ, "KUBECONFIG", raising=False)
    with pytest.raises(ProctorError, match="KUBECONFIG"):
        connection()
