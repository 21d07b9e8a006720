"""A system that counts: how often each thing was really done, whoever died meanwhile.

`put` honours the idempotency key, `charge` and `send` do it again each time they are called, `find` tells what `charge`
has done. What was received is done, although the one who asked has gone away.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.odd_system import _CACHE, OddSystem, _result

KEY = "proctor.dev/idempotency-key"
TOOLS = ("put", "charge", "send", "find", "look")
EFFECTS = {"put": "Idempotent", "charge": "Verify", "send": "Once"}
VERIFY = {"tool": "find", "arguments": [{"name": "id", "from": "args.id"}], "applied": "result.applied"}
DECLARED = [
    {"name": "put", "effect": "Idempotent"},
    {"name": "charge", "effect": "Verify", "verify": VERIFY},
    {"name": "send", "effect": "Once"},
    {"name": "find", "effect": "Read"},
    {"name": "look", "effect": "Read"},
]


async def _nothing(_tool: str) -> None:
    return


def _unseen(_stage: str, _tool: str, _path: str) -> None:
    return


@dataclass
class Sink(OddSystem):
    """What was done, by the `id` in the arguments."""

    done: Counter[str] = field(default_factory=Counter)
    keys: dict[str, str] = field(default_factory=dict)
    slowness: float = 0.0
    received: Callable[[str], Awaitable[None]] = _nothing
    applied: Callable[[str], Awaitable[None]] = _nothing
    seen: Callable[[str, str, str], None] = _unseen
    """Hears of each effect that it is `received` and `applied`, with the tool and the path that was asked."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a seed, so that a run can be repeated
    working: set[asyncio.Task[Any]] = field(default_factory=set)

    async def _answer(self, writer: asyncio.StreamWriter, headers: dict[str, str], message: dict[str, Any]) -> None:
        match message["method"]:
            case "tools/list":
                tools = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in TOOLS]
                _result(writer, message, {"tools": tools, **_CACHE})
            case "tools/call":
                self.calls.append(message["params"])
                # A task of its own: it goes on when the connection does not.
                work = asyncio.create_task(self._do(message["params"], headers[":path"]))
                self.working.add(work)
                work.add_done_callback(self.working.discard)
                said = await asyncio.shield(work)
                text = [{"type": "text", "text": "done"}]
                _result(writer, message, {"resultType": "complete", "content": text, "structuredContent": said})
            case _:
                await super()._answer(writer, headers, message)

    async def _do(self, call: dict[str, Any], path: str) -> dict[str, Any]:
        tool, wanted = call["name"], str(call["arguments"].get("id"))
        if tool == "find":
            return {"applied": self.done[wanted] > 0}
        if tool == "look":
            return {"seen": self.done[wanted]}
        self.seen("received", tool, path)
        await self.received(tool)
        await asyncio.sleep(self.chance.random() * self.slowness)
        key = call["_meta"][KEY]
        if tool != "put" or key not in self.keys:
            self.keys[key] = wanted
            self.done[wanted] += 1
        self.seen("applied", tool, path)
        await self.applied(tool)
        await asyncio.sleep(self.chance.random() * self.slowness)
        return {"done": wanted}
