"""What the scripted model answers, and in which form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIConnectionError, AsyncOpenAI, AuthenticationError, RateLimitError

from tests.demo.processes import KEY, System, running
from tests.demo.scripting import Model, called, scripted

ORDER = json.dumps({"status": "delivered", "total": 50.0, "lines": [1, 2]})


def one(then: str, when: str = "{}") -> str:
    """A file with one rule."""
    return f"rules: [{{name: one, when: {when}, then: {then}}}]"


TEMPLATES: dict[str, tuple[Any, Any]] = {
    "a captured text": ("'{order}'", "O-1"),
    "inside a text": ("'Order {order}!'", "Order O-1!"),
    "a captured number": ("'{amount|number}'", 50),
    "a value of a result": ("'{get_order:/total}'", 50.0),
    "a list of a result": ("'{get_order:/lines}'", [1, 2]),
    "a whole result": ("'{crm__get_order:}'", {"status": "delivered", "total": 50.0, "lines": [1, 2]}),
    "a value inside a text": ("'{get_order:/lines} {get_order:/total}'", "[1, 2] 50.0"),
    "braces": ("'{{order}}'", "{order}"),
    "no placeholder": ("'{ }'", "{ }"),
    "not a text": ("7", 7),
}


@pytest.mark.parametrize("case", TEMPLATES)
async def test_placeholders_are_filled(tmp_path: Path, case: str) -> None:
    """A placeholder takes a captured group or a value of a tool's result, with its type where it stands alone."""
    template, value = TEMPLATES[case]
    when = "{task: {regex: 'order (?P<order>O-\\d+) for (?P<amount>\\d+)'}}"
    model = scripted(tmp_path, one(f"{{answer: {{v: {template}}}}}", when))
    said = await model.says("order O-1 for 50", *called("crm__get_order", ORDER))
    assert json.loads(said) == {"v": value}


async def test_a_value_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A placeholder without a value fails the request with the rule's name and the reason."""
    model = scripted(tmp_path, one("{text: '{get_order:/nothing}'}"))
    response = await model.ask("hi", *called("crm__get_order", ORDER))
    assert response.json()["error"]["code"] == "Unanswerable"
    assert response.json()["error"]["message"] == "rule 'one': get_order has nothing at /nothing"


FORMS: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "an output tool": (["crm__get_order", "final_result"], {}, "tool"),
    "a JSON schema": (["crm__get_order"], {"response_format": {"type": "json_schema", "json_schema": {}}}, "content"),
    "both": (["final_result"], {"response_format": {"type": "json_schema", "json_schema": {}}}, "content"),
    "neither": (["crm__get_order"], {}, "content"),
}


@pytest.mark.parametrize("case", FORMS)
async def test_an_answer_comes_in_the_form_asked_for(tmp_path: Path, case: str) -> None:
    """A structured answer is a call of the output tool, or JSON in the content, as the caller wants it."""
    tools, fields, form = FORMS[case]
    model = scripted(tmp_path, one("{answer: {decision: approve}}"))
    choice = (await model.ask("hi", tools=tools, **fields)).json()["choices"][0]
    if form == "tool":
        function = choice["message"]["tool_calls"][0]["function"]
        assert (function["name"], choice["finish_reason"]) == ("final_result", "tool_calls")
        assert json.loads(function["arguments"]) == {"decision": "approve"}
    else:
        assert (json.loads(choice["message"]["content"]), choice["finish_reason"]) == ({"decision": "approve"}, "stop")


async def test_tools_are_called_by_their_offered_name(tmp_path: Path) -> None:
    """A call names the tool as it is offered, with filled arguments, several at once if so."""
    model = scripted(
        tmp_path,
        one(
            "{calls: [{tool: get_order, arguments: {id: '{o}'}}, {tool: other__thing}]}",
            "{task: {regex: '(?P<o>O.*)'}}",
        ),
    )
    calls = (await model.ask("O-7", tools=["crm__get_order"])).json()["choices"][0]["message"]["tool_calls"]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        ("crm__get_order", '{"id": "O-7"}'),
        ("other__thing", "{}"),
    ]
    assert len({call["id"] for call in calls}) == 2


async def test_a_short_name_must_be_offered(tmp_path: Path) -> None:
    """A call of a short name that fits no offered tool is a gap in the script, and says so."""
    model = scripted(tmp_path, one("{calls: [{tool: refund}]}"))
    response = await model.ask("hi", tools=["crm__get_order"])
    assert response.json()["error"]["message"] == "rule 'one': no tool refund is offered, only crm__get_order"


async def test_the_same_request_gets_the_same_bytes(tmp_path: Path) -> None:
    """Ids, usage and time are those of the request, whatever the order of its fields."""
    model = scripted(tmp_path, one("{text: hello}"))
    first = (await model.ask("hi", temperature=0, seed=1)).content
    assert (await model.ask("hi", seed=1, temperature=0)).content == first
    assert (await model.ask("hi", seed=2, temperature=0)).content != first


async def test_usage_counts_characters(tmp_path: Path) -> None:
    """A token is four characters: of all messages and tools for the prompt, of what was said for the completion."""
    model = scripted(tmp_path, one("{text: hello, repeatText: 100}"))
    usage = (await model.ask("x" * 400)).json()["usage"]
    assert usage == {"prompt_tokens": 110, "completion_tokens": 129, "total_tokens": 239}


REFUSED: dict[str, tuple[str, dict[str, Any], int]] = {
    "no JSON": ("{", {}, 400),
    "no model": ('{"messages": []}', {}, 400),
    "no messages": ('{"model": "m", "messages": []}', {}, 400),
    "a tool without a name": ('{"model": "m", "messages": [{"role": "user"}], "tools": [{}]}', {}, 400),
    "an unknown model": ('{"model": "z", "messages": [{"role": "user"}]}', {}, 404),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_request_is_refused(tmp_path: Path, case: str) -> None:
    """A body that is no chat request, or names a model that is not served, gets an error in OpenAI's form."""
    body, _, status = REFUSED[case]
    model = scripted(tmp_path, "models: [m]\n" + one("{text: hello}"))
    response = await model.client.post("/v1/chat/completions", content=body)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


async def test_requests_are_remembered(tmp_path: Path) -> None:
    """GET /requests shows what was asked last, and GET /v1/models what is served."""
    model = scripted(tmp_path, "models: [m]\n" + one("{text: hello}"))
    await model.ask("remember me")
    assert (await model.client.get("/requests")).json()["requests"][0]["messages"][0]["content"] == "remember me"
    assert [entry["id"] for entry in (await model.client.get("/v1/models")).json()["data"]] == ["m"]


async def streamed(model: Model, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a stream, which must end with [DONE]."""
    lines = (await model.ask("hi", stream=True, **fields)).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_a_text_is_streamed_in_pieces(tmp_path: Path) -> None:
    """The pieces of a stream are the text, and usage comes last if it was asked for."""
    model = scripted(tmp_path, one("{text: 'All work and no play makes Jack a dull boy.'}"))
    chunks = await streamed(model, stream_options={"include_usage": True})
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(pieces) == "All work and no play makes Jack a dull boy."
    assert len([piece for piece in pieces if piece]) == 2
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 15)


async def test_usage_is_streamed_only_when_asked_for(tmp_path: Path) -> None:
    """Without `include_usage` no chunk has usage."""
    model = scripted(tmp_path, one("{text: hello}"))
    assert all("usage" not in chunk for chunk in await streamed(model))


async def test_a_tool_call_is_streamed_in_pieces(tmp_path: Path) -> None:
    """A call's name comes first, its arguments in pieces behind it."""
    model = scripted(tmp_path, one("{calls: [{tool: a__b, arguments: {text: a rather long argument, n: 1}}]}"))
    chunks = await streamed(model)
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert calls[0]["function"] == {"name": "a__b", "arguments": ""}
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {
        "text": "a rather long argument",
        "n": 1,
    }
    assert len(calls) > 2


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model as a process, with the faults that only a connection shows."""
    file = tmp_path_factory.mktemp("model") / "rules.yaml"
    file.write_text(
        """
        rules:
          - name: cut
            when: {task: {contains: cut}}
            then: {text: All work and no play makes Jack a dull boy., cutAfterChunks: 2}
          - {name: late, when: {task: {contains: late}}, then: {text: at last, delaySeconds: 0.4}}
          - {name: limited, when: {task: {contains: limited}}, then: {error: {status: 429, retryAfterSeconds: 7}}}
          - {name: fine, then: {text: fine}}
        """
    )
    with running("model", "--rules", str(file)) as system:
        yield system


def client_of(served: System, key: str = KEY) -> AsyncOpenAI:
    """OpenAI's own client, which is what most callers use."""
    return AsyncOpenAI(
        base_url=f"{served.url}/v1", api_key=key, max_retries=0, http_client=httpx2.AsyncClient(trust_env=False)
    )


async def test_a_cut_stream_breaks_off(served: System) -> None:
    """After `cutAfterChunks` the connection is dropped in the middle of the answer."""
    async with client_of(served) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "cut"}], stream=True
        )
        pieces = []

        async def read() -> None:
            async for chunk in stream:
                pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before the break counts

        with pytest.raises(APIConnectionError):
            await read()
    assert pieces == ["", "All work and no play mak"]


async def test_a_client_of_openai_understands(served: System) -> None:
    """OpenAI's client reads answers, streams and errors, with the time to wait."""
    async with client_of(served) as client, client_of(served, "wrong") as stranger:
        answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "late"}])
        assert answer.choices[0].message.content == "at last"
        with pytest.raises(RateLimitError) as limited:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "limited"}])
        assert limited.value.response.headers["retry-after"] == "7"
        with pytest.raises(AuthenticationError):
            await stranger.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
