"""A scripted model in this process, made from the text of its rules."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from proctor_demo.model.app import make_app
from proctor_demo.model.rulebook import Rulebook


@dataclass(frozen=True)
class Model:
    """A model that answers by the rules in `file`."""

    file: Path
    client: httpx2.AsyncClient

    async def ask(self, *messages: str | dict[str, Any], tools: Sequence[str] = (), **fields: Any) -> httpx2.Response:
        """One chat request; a message that is a string is the user's."""
        body: dict[str, Any] = {"model": "m", "messages": [as_message(message) for message in messages], **fields}
        if tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in tools]
        return await self.client.post("/v1/chat/completions", json=body)

    async def says(self, *messages: str | dict[str, Any], **options: Any) -> str:
        """The text that is answered."""
        response = await self.ask(*messages, **options)
        assert response.status_code == 200, response.text
        text: str = response.json()["choices"][0]["message"]["content"]
        return text

    async def stats(self) -> dict[str, Any]:
        """What GET /stats tells."""
        found: dict[str, Any] = (await self.client.get("/stats")).json()
        return found


def scripted(directory: Path, rules: str) -> Model:
    """A model with these rules (the whole file)."""
    file = directory / "rules.yaml"
    file.write_text(textwrap.dedent(rules), encoding="utf-8")
    transport = httpx2.ASGITransport(app=make_app(Rulebook(file)))
    return Model(file, httpx2.AsyncClient(transport=transport, base_url="http://model"))


def as_message(message: str | dict[str, Any]) -> dict[str, Any]:
    """A message of the user, unless it says otherwise."""
    return {"role": "user", "content": message} if isinstance(message, str) else message


def called(tool: str, result: str, number: int = 0) -> list[dict[str, Any]]:
    """The two messages of a tool that was called and answered."""
    call = {"id": f"c{number}", "type": "function", "function": {"name": tool, "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": result},
    ]
