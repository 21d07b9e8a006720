"""Approvals at the terminal: everything is shown before it is answered, and the answer is the person's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proctor.api import digest
from proctor.cli.main import app
from tests.cli.api_server import kubeconfig

CALL = {
    "agent": "refunds",
    "revision": "0123456789",
    "task": "01a2",
    "connector": "payments",
    "tool": "refund",
    "arguments": {"amount": 300},
}
DIGEST = digest.sha256({"toolCall": CALL})
APPROVALS = "/apis/proctor.dev/v1alpha1/namespaces/support/approvals"


def approval(name: str = "refunds-1", **changes: Any) -> dict[str, Any]:
    """A question that waits."""
    return {
        "metadata": {"name": name, "namespace": "support", "uid": "u", "creationTimestamp": "2026-11-22T12:00:00Z"},
        "spec": {
            "subject": {"digest": DIGEST, "toolCall": CALL},
            "question": "More than 200 EUR. May refunds call payments/refund?",
            "approvers": {"groups": ["support-leads"]},
            "requestedBy": "system:serviceaccount:shop:web",
            "deadline": "2099-01-01T00:00:00Z",
        },
        "status": {},
        **changes,
    }


class Server:
    """The few paths of an API server that the verbs ask; it keeps what was written."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = {each["metadata"]["name"]: each for each in found}
        self.written: list[tuple[str, str, dict[str, Any]]] = []
        self.refusal = ""

    def answer(self, method: str, path: str, kind: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What it says."""
        where, _, _ = path.partition("?")
        if method == "POST" and where.endswith("/selfsubjectreviews"):
            return 201, {"status": {"userInfo": {"username": "alice@example.com"}}}
        if method == "PATCH" and self.refusal:
            return 403, {"kind": "Status", "message": self.refusal, "reason": "Forbidden"}
        if method == "PATCH":
            self.written.append((path, kind, body))
            return 200, self.found["refunds-1"]
        if where == APPROVALS:
            return 200, {"metadata": {}, "items": list(self.found.values())}
        name = where.removeprefix(APPROVALS + "/")
        if where.endswith("/connectors/payments"):
            return 200, {"metadata": {"name": "payments"}, "spec": {"tools": [{"name": "refund", "effect": "Once"}]}}
        return (200, self.found[name]) if name in self.found else (404, {"message": "not found", "reason": "NotFound"})


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Runs the program against a server of these Approvals."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    started: list[ThreadingHTTPServer] = []

    def start(server: Server, *words: str, stdin: str | None = None) -> Any:
        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
                kind = self.headers.get("content-type", "")
                status, answer = server.answer(self.command, self.path, kind, body)
                told = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_POST = do_PATCH = _do  # noqa: N815 - the base class's names

            def log_message(self, *_: Any) -> None:
                return

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        started.append(http)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        config = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{http.server_address[1]}")
        result = CliRunner().invoke(app, [*words, "--kubeconfig", str(config)], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    yield start
    for each in started:
        each.shutdown()
        each.server_close()


def test_what_waits_is_listed(serve: Callable[..., Any]) -> None:
    """What is decided is not, unless it is asked for."""
    done = approval("done", status={"phase": "Decided", "decision": "Approve"})
    listed = serve(Server(approval(), done), "approvals")
    assert "refunds-1" in listed.output
    assert "refunds: payments/refund" in listed.output
    assert "done" not in listed.output
    assert "done" in serve(Server(approval(), done), "approvals", "--all").output


def test_where_nothing_waits_a_script_reads_nothing(serve: Callable[..., Any]) -> None:
    """Not an empty line, which would be taken for a name."""
    assert serve(Server(approval()), "approvals", "-o", "name").output == "refunds-1\n"
    assert serve(Server(), "approvals", "-o", "name").output == ""


def test_everything_that_an_answer_needs_is_shown_before_it(serve: Callable[..., Any]) -> None:
    """Question, agent, task, arguments, digest, what it would do, until when; and the vote is the person's own."""
    server = Server(approval())
    result = serve(server, "approve", "refunds-1", "-m", "fine", stdin="y\n")
    assert result.exit_code == 0, result.output
    shown = result.output
    for part in ("More than 200 EUR", "support/refunds", "01a2", '"amount": 300', DIGEST, "must not happen twice"):
        assert part in shown
    ((path, kind, body),) = server.written
    assert path.startswith(f"{APPROVALS}/refunds-1/status?fieldManager=kubectl-proctor-")
    assert kind == "application/apply-patch+yaml"
    (vote,) = body["status"]["votes"]
    assert (vote["user"], vote["decision"], vote["digest"]) == ("alice@example.com", "Approve", DIGEST)
    assert (vote["comment"], set(body["status"])) == ("fine", {"votes"})


def test_who_says_no_at_the_end_has_not_voted(serve: Callable[..., Any]) -> None:
    """Nothing is written before the person is sure."""
    server = Server(approval())
    assert serve(server, "reject", "refunds-1", stdin="n\n").exit_code != 0
    assert server.written == []


def test_other_arguments_are_part_of_the_vote(serve: Callable[..., Any]) -> None:
    """And are shown before."""
    server = Server(approval())
    result = serve(server, "approve", "refunds-1", "--arguments", '{"amount": 199}', stdin="y\n")
    assert '{"amount": 199}' in result.output
    assert server.written[0][2]["status"]["votes"][0]["answer"] == {"arguments": {"amount": 199}}


OVERRIDE = {"agent": "refunds", "revision": "0123456789", "for": "24h"}
FORGED = {**CALL, "arguments": {"amount": 3}}
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "a script that has looked at nothing": (approval(), ("--yes",), "--yes needs --digest"),
    "a script that has looked at something else": (
        approval(),
        ("--yes", "--digest", "sha256:0"),
        "is not what refunds-1 asks",
    ),
    "a call that is not what the digest says": (
        approval(spec={**approval()["spec"], "subject": {"digest": DIGEST, "toolCall": FORGED}}),
        (),
        "its digest is not that of the call",
    ),
    "a question that is decided": (
        approval(status={"phase": "Decided", "decision": "Reject", "decidedBy": ["lena"]}),
        (),
        "refunds-1 is decided (Reject by lena): an answer changes nothing any more",
    ),
    "a question that is withdrawn": (
        approval(status={"phase": "Withdrawn", "withdrawn": "the task has ended"}),
        (),
        "refunds-1 is withdrawn (the task has ended)",
    ),
    "a question that is over": (
        approval(spec={**approval()["spec"], "deadline": "2020-01-01T00:00:00Z"}),
        (),
        "refunds-1 was open until 2020-01-01 00:00 UTC",
    ),
    "an answer where none is asked for": (approval(), ("--answer", "1"), "asks for no --answer"),
    "an upgrade without error budget, for no reason": (
        approval(spec={**approval()["spec"], "subject": {"digest": DIGEST, "override": OVERRIDE}}),
        (),
        "says why, with -m",
    ),
    "arguments that are none": (approval(), ("--arguments", "[1]"), "not a JSON object"),
}


@pytest.mark.parametrize(("asked", "words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_answered_is_not(serve: Callable[..., Any], asked, words, said) -> None:
    """With words that say why, and without a vote."""
    server = Server(asked)
    result = serve(server, "approve", "refunds-1", *words, stdin="y\n")
    assert result.exit_code != 0
    assert said in result.output
    assert server.written == []


def test_a_question_that_is_not_there_is_told_where_to_look(serve: Callable[..., Any]) -> None:
    """Exit code 4, and the command that lists those that there are."""
    result = serve(Server(), "approve", "refunds-9")
    assert (result.exit_code, "there is no Approval support/refunds-9" in result.output) == (4, True)
    assert "kubectl proctor approvals -A --all" in result.output


def test_arguments_that_are_left_out_are_named(serve: Callable[..., Any]) -> None:
    """Who sets one sets all: the others are not the agent's any more, also for a script."""
    server = Server(approval())
    result = serve(server, "approve", "refunds-1", "--arguments", "{}", "--yes", "--digest", DIGEST)
    assert "Left out      amount" in result.output
    assert len(server.written) == 1


def test_a_decided_question_shows_what_was_set(serve: Callable[..., Any]) -> None:
    """By whom, with which arguments; and no time is left for anybody."""
    vote = {"user": "lena", "decision": "Approve", "digest": DIGEST, "answer": {"arguments": {"amount": 199}}}
    done = approval(status={"phase": "Decided", "decision": "Approve", "votes": [vote]})
    shown = serve(Server(done), "approvals", "refunds-1").output
    assert '"amount": 199' in shown
    assert "then it is denied" not in shown


def test_a_script_that_has_looked_may_answer(serve: Callable[..., Any]) -> None:
    """By the digest that it was shown."""
    server = Server(approval())
    assert serve(server, "approve", "refunds-1", "--yes", "--digest", DIGEST).exit_code == 0
    assert len(server.written) == 1


STEP = {"run": "01a2", "step": "fallback-1", "epoch": 0, "input": "refund of O-1?"}
FORM = {"type": "object", "required": ["decision"], "properties": {"decision": {"enum": ["approve", "decline"]}}}


def an_open_question() -> dict[str, Any]:
    """One that asks for an answer of that form instead of the agent's."""
    body = approval()
    body["spec"]["subject"] = {"digest": digest.sha256({"step": STEP}), "step": STEP}
    body["spec"]["answerSchema"] = {"type": "object", "required": ["output"], "properties": {"output": FORM}}
    return body


ANSWERS = {
    "another word": (["--answer", '{"decision": "maybe"}'], "answer.decision does not have the form"),
    "a field that is missing": (["--answer", "{}"], "'decision' is a required property"),
    "no answer at all": ([], "it asks for an answer; give it with --answer JSON"),
}


@pytest.mark.parametrize(("words", "said"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_of_another_form_is_not_written(serve: Callable[..., Any], words: list[str], said: str) -> None:
    """The form is shown, and who misses it is told the field."""
    server = Server(an_open_question())
    result = serve(server, "approve", "refunds-1", *words, stdin="y\n")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert server.written == []
    assert '"enum"' in result.output


def test_an_answer_of_the_form_is_written_and_a_rejection_needs_none(serve: Callable[..., Any]) -> None:
    """As part of the vote."""
    server = Server(an_open_question())
    assert serve(server, "approve", "refunds-1", "--answer", '{"decision": "decline"}', stdin="y\n").exit_code == 0
    assert server.written[0][2]["status"]["votes"][0]["answer"] == {"output": {"decision": "decline"}}
    assert serve(Server(an_open_question()), "reject", "refunds-1", stdin="y\n").exit_code == 0


def test_who_is_not_asked_is_told_who_is(serve: Callable[..., Any]) -> None:
    """In the rule's own words, without the names of what enforces it; no Role would help."""
    server = Server(approval())
    rule = "ValidatingAdmissionPolicy 'proctor-approval-votes' with binding 'proctor-approval-votes'"
    server.refusal = f'approvals "refunds-1" is forbidden: {rule} denied request: max is not one of those who are asked'
    result = serve(server, "approve", "refunds-1", stdin="y\n")
    assert result.exit_code == 5
    said = " ".join(result.output.split())
    assert "refunds-1: max is not one of those who are asked" in said
    assert "asked are: group support-leads; 1 must agree; not system:serviceaccount:shop:web" in said
    assert "ValidatingAdmissionPolicy" not in said
