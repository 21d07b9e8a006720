"""The gateway's side of the Kubernetes API, over real HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from proctor_gateway.cluster.access import Access
from proctor_gateway.cluster.kubernetes import Kubernetes
from proctor_gateway.cluster.port import Event, Gone, Kind, SecretUnusable
from proctor_gateway.rules.access import Identity
from proctor_gateway.rules.errors import ClusterAway
from tests.gateway.serving import served


class Api:
    """An API server that answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Response] = []
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str], Any]] = []

    async def answer(self, request: Request) -> Response:
        """The next answer."""
        body = await request.body()
        self.asked.append(
            (
                request.method,
                request.url.path,
                dict(request.query_params),
                dict(request.headers),
                json.loads(body) if body else None,
            )
        )
        return self.answers.pop(0)

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST", "PATCH"])])


@pytest.fixture
async def server() -> AsyncIterator[tuple[Api, Kubernetes]]:
    """An API server and the gateway's way to it."""
    api = Api()
    async with (
        served(api.application()) as url,
        Kubernetes.connected(Access(url, token=lambda: "the-gateways-token")) as kubernetes,
    ):
        yield api, kubernetes


def page(names: list[str], version: str, following: str | None = None) -> JSONResponse:
    """One page of a list."""
    metadata = {"resourceVersion": version, **({"continue": following} if following else {})}
    return JSONResponse({"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]})


async def test_a_list_is_read_page_by_page(server: tuple[Api, Kubernetes]):
    """All items, the version of the whole, and the gateway's own token."""
    api, kubernetes = server
    api.answers = [page(["a", "b"], "7", "next"), page(["c"], "7")]
    listing = await kubernetes.list(Kind.POD)
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b", "c"]
    assert listing.version == "7"
    method, path, query, headers, _ = api.asked[1]
    assert (method, path) == ("GET", "/api/v1/pods")
    assert query == {"limit": "500", "labelSelector": "proctor.dev/agent", "continue": "next"}
    assert headers["authorization"] == "Bearer the-gateways-token"


async def test_a_list_that_expired_is_begun_again(server: tuple[Api, Kubernetes]):
    """410 between two pages."""
    api, kubernetes = server
    api.answers = [JSONResponse({"code": 410}, 410)]
    with pytest.raises(Gone):
        await kubernetes.list(Kind.AGENT)


async def test_a_watch_is_read_event_by_event(server: tuple[Api, Kubernetes]):
    """Events may come in any pieces, and be larger than a client's line."""
    api, kubernetes = server
    large = {"metadata": {"name": "a", "annotations": {"x": "y" * 3_000_000}}}
    lines = b"".join(
        json.dumps(each).encode() + b"\n"
        for each in (
            {"type": "ADDED", "object": large},
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
            {"type": "DELETED", "object": {"metadata": {"name": "a"}}},
        )
    )

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(lines), 700_001):
            yield lines[start : start + 700_001]

    api.answers = [StreamingResponse(pieces(), media_type="application/json")]
    events = [event async for event in kubernetes.watch(Kind.AGENT, "5", 30)]
    assert events[0] == Event(deleted=False, bookmark=False, body=large)
    assert [(event.deleted, event.bookmark) for event in events[1:]] == [(False, True), (True, False)]
    query = api.asked[0][2]
    assert query == {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "5", "timeoutSeconds": "30"}


ENDS = {
    "410 at once": (JSONResponse({"code": 410}, 410), Gone),
    "410 in the stream": (JSONResponse({"type": "ERROR", "object": {"code": 410, "message": "too old"}}), Gone),
    "an error in the stream": (JSONResponse({"type": "ERROR", "object": {"code": 500}}), ClusterAway),
    "nonsense": (Response(b"{]\n"), ClusterAway),
    "no events": (Response(b'"hello"\n'), ClusterAway),
    "an error": (JSONResponse({"code": 500}, 500), ClusterAway),
}


@pytest.mark.parametrize(("answer", "error"), ENDS.values(), ids=ENDS)
async def test_the_ends_of_a_watch(server: tuple[Api, Kubernetes], answer, error):
    """Too old: list again. Anything else: wait and go on."""
    api, kubernetes = server
    answer.body += b"\n"
    answer.headers["content-length"] = str(len(answer.body))
    api.answers = [answer]
    with pytest.raises(error):
        _ = [event async for event in kubernetes.watch(Kind.AGENT, "5", 30)]


SECRETS = {
    "absent": (JSONResponse({}, 404), "SecretNotFound"),
    "forbidden": (JSONResponse({}, 403), "SecretForbidden"),
    "damaged": (JSONResponse({"data": {"token": "a"}}), "SecretKeyMissing"),
}


@pytest.mark.parametrize(("answer", "reason"), SECRETS.values(), ids=SECRETS)
async def test_a_secret_that_cannot_be_had_has_a_reason(server: tuple[Api, Kubernetes], answer, reason):
    """The reason is one that a Connector's status knows, and the message says what to do."""
    api, kubernetes = server
    api.answers = [answer]
    with pytest.raises(SecretUnusable, match="support/keys") as caught:
        await kubernetes.secret("support", "keys")
    assert caught.value.reason == reason


async def test_a_secret_is_got_by_name(server: tuple[Api, Kubernetes]):
    """Never listed, never watched."""
    api, kubernetes = server
    api.answers = [JSONResponse({"data": {"token": base64.b64encode(b"key").decode()}})]
    assert await kubernetes.secret("support", "keys") == {"token": b"key"}
    assert api.asked[0][1] == "/api/v1/namespaces/support/secrets/keys"


async def test_a_controller_revision_is_got_by_name(server: tuple[Api, Kubernetes]):
    """Or is not there."""
    api, kubernetes = server
    api.answers = [JSONResponse({"data": {"spec": 1}}), JSONResponse({}, 404)]
    assert await kubernetes.controller_revision("support", "refunds-r1") == {"data": {"spec": 1}}
    assert await kubernetes.controller_revision("support", "refunds-r2") is None
    assert api.asked[0][1] == "/apis/apps/v1/namespaces/support/controllerrevisions/refunds-r1"


def reviewed(**status: Any) -> JSONResponse:
    """A TokenReview's answer."""
    user = {"username": "system:serviceaccount:shop:web", "groups": ["system:serviceaccounts"]}
    return JSONResponse({"status": {"authenticated": True, "user": user, **status}}, 201)


REVIEWS = {
    "for us": ("proctor-gateway", reviewed(audiences=["proctor-gateway"]), True),
    "for the server itself": (None, reviewed(audiences=["https://kubernetes.default.svc"]), True),
    "for someone else": ("proctor-gateway", reviewed(audiences=["vault"]), False),
    "by a server that knows no audiences": ("proctor-gateway", reviewed(), False),
    "refused": ("proctor-gateway", JSONResponse({"status": {"authenticated": False}}, 201), False),
    "without an answer": ("proctor-gateway", JSONResponse({}, 201), False),
}


@pytest.mark.parametrize(("audience", "answer", "accepted"), REVIEWS.values(), ids=REVIEWS)
async def test_a_token_is_reviewed(server: tuple[Api, Kubernetes], audience, answer, accepted):
    """A token is accepted only if the API server says that it is genuine and made for the audience asked for."""
    api, kubernetes = server
    api.answers = [answer]
    found = await kubernetes.review("a-token", audience)
    identity = Identity("system:serviceaccount:shop:web", frozenset({"system:serviceaccounts"}))
    assert found == (identity if accepted else None)
    spec = api.asked[0][4]["spec"]
    assert spec == {"token": "a-token", **({"audiences": [audience]} if audience else {})}


@pytest.mark.parametrize("status", [200, 404, 403, 422], ids=["done", "gone", "not allowed", "decided meanwhile"])
async def test_a_question_is_withdrawn(server: tuple[Api, Kubernetes], status: int):
    """Only the phase and the reason are written; one that is gone or decided needs nothing."""
    api, kubernetes = server
    api.answers = [JSONResponse({"message": "no"}, status)]
    await kubernetes.withdraw("support", "refunds-1", "task t has ended: Cancelled")
    method, path, _, headers, body = api.asked[0]
    assert (method, path) == ("PATCH", "/apis/proctor.dev/v1alpha1/namespaces/support/approvals/refunds-1/status")
    assert headers["content-type"] == "application/merge-patch+json"
    assert body == {"status": {"phase": "Withdrawn", "withdrawn": "task t has ended: Cancelled"}}


async def test_a_question_that_cannot_be_withdrawn_now_is_tried_again(server: tuple[Api, Kubernetes]):
    """The API server has a fault of its own."""
    api, kubernetes = server
    api.answers = [JSONResponse({"message": "etcd"}, 500)]
    with pytest.raises(ClusterAway):
        await kubernetes.withdraw("support", "refunds-1", "x")


async def test_a_server_that_does_not_answer_is_away(server: tuple[Api, Kubernetes]):
    """No connection, and errors of its own, are one thing to the gateway."""
    api, kubernetes = server
    api.answers = [JSONResponse({"message": "etcd is away"}, 500)] * 3
    for asking in (
        kubernetes.list(Kind.AGENT),
        kubernetes.secret("support", "keys"),
        kubernetes.review("a-token", None),
    ):
        with pytest.raises(ClusterAway):
            await asking
    async with Kubernetes.connected(Access("http://127.0.0.1:9")) as nobody:
        with pytest.raises(ClusterAway):
            await nobody.list(Kind.AGENT)
