"""Secrets that are planted where agents meet them, and where they were found again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.gateway import objects
from tests.gateway.odd_system import _CACHE, OddSystem, _result

SECRETS: Final = {
    "instructions": "sk-planted-1nstruct10ns",
    "input": "sk-planted-1nput",
    "arguments": "sk-planted-4rguments",
    "result": "sk-planted-re5ult",
    "error": "sk-planted-err0r",
    "model": "sk-planted-m0del",
    "answer": "sk-planted-4nswer",
    "header": "sk-planted-he4der",
    "answered header": "sk-planted-an5wered-header",
}
KEY: Final = objects.KEY.decode()
"""The credential, which systems that mean well repeat when they refuse it."""
TOOLS: Final = ("tells", "complains", "breaks", "rejects", "judged")


class Teller(OddSystem):
    """A system whose every answer holds a secret: in what it tells, in how it fails, and in its headers."""

    async def _answer(self, writer: asyncio.StreamWriter, headers: dict[str, str], message: dict[str, Any]) -> None:
        if message["method"] == "tools/list":
            tools = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in TOOLS]
            _result(writer, message, {"tools": tools, **_CACHE})
            return
        await super()._answer(writer, headers, message)

    async def _call(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        status = 200
        match message["params"]["name"]:
            case "breaks":
                status, answer = 500, {"detail": SECRETS["error"]}
            case "rejects":
                status = 400
                answer |= {"error": {"code": -32602, "message": f"{SECRETS['error']} with {KEY}"}}
            case name:
                said = SECRETS["error" if name == "complains" else "result"]
                content = [{"type": "text", "text": f"it is {said} for {KEY}"}]
                answer |= {"result": {"resultType": "complete", "content": content, "isError": name == "complains"}}
        body = json.dumps(answer).encode()
        kept = f"set-cookie: session={SECRETS['answered header']}\r\nx-request-id: {SECRETS['answered header']}\r\n"
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{kept}content-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)


def found_in_text(secrets: Mapping[str, str], texts: Mapping[str, str]) -> set[tuple[str, str]]:
    """Which secret is in which text."""
    return {(name, where) for name, secret in secrets.items() for where, text in texts.items() if secret in text}


def found_in_database(secrets: Mapping[str, str], file: Path) -> dict[str, set[str]]:
    """In which columns of which tables each secret is, in whatever form a value has."""
    found: dict[str, set[str]] = defaultdict(set)
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - its own name
                for column in row.keys():  # noqa: SIM118 - iterating over a row gives values
                    value = row[column]
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    for name, secret in secrets.items():
                        if secret in text:
                            found[name].add(f"{table}.{column}")
    return dict(found)
