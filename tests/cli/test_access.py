"""What the API server's refusals mean to a person, and which kubeconfig is read."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import urllib3

from proctor.cli import access
from proctor.cli.access import Wanted, open_access
from proctor.cli.cluster import Cluster
from proctor.cli.errors import Away, CliError, Denied, Misused, NotFound, Refused
from proctor.cli.refusals import refusal
from proctor.cli.resources import AGENTS, NAMESPACES, PODS
from tests.cli.api_server import kubeconfig


def _status(message: str, **details: Any) -> bytes:
    return json.dumps({"kind": "Status", "message": message, "details": details}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, _status("Unauthorized"), Denied, "does not accept this kubeconfig's credential"),
        (403, _status('agents is forbidden: User "x" cannot list'), Denied, 'User "x" cannot list'),
        (404, _status('agents "a" not found'), NotFound, "there is no Agent support/a"),
        (404, b"404 page not found\n", NotFound, "does not know this kind"),
        (404, _status("the server could not find the requested resource"), NotFound, "does not know this kind"),
        (422, _status("invalid", causes=[{"field": "spec.x", "message": "bad"}]), Refused, "invalid"),
        (400, b"not json at all", Refused, "not json at all"),
        (500, _status("etcd is gone"), CliError, "the API server answered 500: etcd is gone"),
        (418, b"[]", CliError, "418"),
    ],
)
def test_a_refusal_says_what_it_means(status: int, body: bytes, kind: type[CliError], words: str) -> None:
    """By its status and the API server's own words, whatever form they have."""
    with pytest.raises(CliError) as raised:
        access.refuse(status, body, "Agent support/a")
    assert type(raised.value) is kind
    assert words in raised.value.message


def test_causes_are_kept_for_the_lines_of_a_manifest() -> None:
    """Field by field."""
    body = _status("invalid", causes=[{"field": "spec.x", "message": "bad"}, {"reason": "odd"}])
    with pytest.raises(Refused) as raised:
        access.refuse(422, body, "a")
    assert raised.value.causes == (("spec.x", "bad"), ("", ""))


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (urllib3.exceptions.SSLError("self-signed certificate"), CliError, "certificate of https://h is not accepted"),
        (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("h"), "/", "read"), Away, "in time"),
        (urllib3.exceptions.ProtocolError("Connection aborted."), Away, "cannot be reached"),
        (ConnectionRefusedError(111, "Connection refused"), Away, "cannot be reached: Connection refused"),
        (ssl.SSLError("bad"), Away, "cannot be reached"),
    ],
)
def test_a_fault_of_the_way_is_told_without_a_traceback(raised: Exception, kind: type[CliError], words: str) -> None:
    """And what may pass by itself is apart from what does not."""
    with pytest.raises(CliError) as told, refusal("the agents", "https://h"):
        raise raised
    assert type(told.value) is kind
    assert words in told.value.message


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "path"),
    [
        (AGENTS, "support", "refunds", "/apis/proctor.dev/v1alpha1/namespaces/support/agents/refunds"),
        (AGENTS, None, None, "/apis/proctor.dev/v1alpha1/agents"),
        (PODS, "support", None, "/api/v1/namespaces/support/pods"),
        (NAMESPACES, "ignored", "support", "/api/v1/namespaces/support"),
        (AGENTS, "a?b", "../../secrets", "/apis/proctor.dev/v1alpha1/namespaces/a%3Fb/agents/..%2F..%2Fsecrets"),
    ],
)
def test_a_name_cannot_lead_elsewhere(resource: Any, namespace: str | None, name: str | None, path: str) -> None:
    """What a person types is a name, never a part of a path."""
    assert resource.path(namespace, name) == path


@pytest.mark.parametrize("name", [".", ".."])
def test_the_way_up_is_no_name(name: str) -> None:
    """The client would follow it."""
    with pytest.raises(Misused):
        AGENTS.path("support", name)
    with pytest.raises(Misused):
        AGENTS.path(name)


@contextmanager
def _api_server(pages: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(pages[len(asked) - 1]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_list_is_read_to_its_end(tmp_path: Path) -> None:
    """Page by page; and every object says what it is, as the planners ask."""
    pages: list[dict[str, Any]] = [
        {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}},
        {"items": [{"metadata": {"name": "b"}}], "metadata": {}},
    ]
    with _api_server(pages) as (url, asked):
        cluster = Cluster(open_access(Wanted(kubeconfig(tmp_path / "config", url))))
        found = cluster.list(PODS, "support", labelSelector="a=b")
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [("Pod", "a"), ("Pod", "b")]
    assert asked[1] == "/api/v1/namespaces/support/pods?limit=500&continue=next&labelSelector=a%3Db"


def test_the_namespace_is_the_contexts_unless_one_is_named(tmp_path: Path) -> None:
    """As with kubectl."""
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    assert open_access(Wanted(config)).namespace == "support"
    assert open_access(Wanted(config, namespace="shop")).namespace == "shop"
    assert Cluster(open_access(Wanted(config))).bearer() == "hush"


def test_a_kubeconfig_is_never_written(tmp_path: Path) -> None:
    """Whatever a credential plugin says."""
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    before = config.read_bytes()
    open_access(Wanted(config))
    assert config.read_bytes() == before
