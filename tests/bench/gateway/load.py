"""Load by wrk: closed loop, so many connections, each request with the next of the given tokens."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.gateway.processes import Process

PATH = "/v1/chat/completions"
QUESTION = {
    "model": "gpt-5-mini",
    "messages": [
        {"role": "system", "content": "You decide refund requests. " * 20},
        {"role": "user", "content": "Customer C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks"},
    ],
    "temperature": 0,
    "max_tokens": 256,
}
"""820 bytes, as an agent's first question is."""

ANSWER: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "gpt-5-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The order is younger than thirty days. " * 6, "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 210, "completion_tokens": 56, "total_tokens": 266},
}
"""What the model says: one choice of 240 characters, and what it took."""

_SCRIPT = """
local tokens = {%s}
local body = [[%s]]
local count = 0
request = function()
  count = count + 1
  local headers = {["content-type"] = "application/json", ["authorization"] = "Bearer " .. tokens[count %% #tokens + 1]}
  return wrk.format("POST", "%s", headers, body)
end
"""
_TIME = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Sample:
    """What came of one load. Times are milliseconds; `cpu` is the server's, for each request."""

    connections: int
    rate: float
    p50: float
    p99: float
    cpu: float
    refused: int


def script(directory: Path, tokens: Sequence[str]) -> Path:
    """What wrk sends, with these tokens in turn."""
    path = directory / "load.lua"
    quoted = ",".join(json.dumps(token) for token in tokens)
    path.write_text(_SCRIPT % (quoted, json.dumps(QUESTION), PATH))
    return path


def sample(url: str, lua: Path, connections: int, seconds: int, server: Process, core: int) -> Sample:
    """Load the server for so long. Raises RuntimeError if wrk fails."""
    words = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", str(lua), url]
    before = server.cpu_seconds()
    done = subprocess.run(["taskset", "-c", str(core), "wrk", *words], capture_output=True, text=True, check=False)
    taken = server.cpu_seconds() - before
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stderr}{done.stdout}")
    requests = int(_first(r"(\d+) requests in", done.stdout))
    return Sample(
        connections,
        float(_first(r"Requests/sec:\s+([\d.]+)", done.stdout)),
        _milliseconds(_first(r"(?m)^\s+50%\s+(\S+)", done.stdout)),
        _milliseconds(_first(r"(?m)^\s+99%\s+(\S+)", done.stdout)),
        1000 * taken / max(1, requests),
        int(_first(r"Non-2xx or 3xx responses: (\d+)", done.stdout, "0")),
    )


def _first(pattern: str, text: str, default: str | None = None) -> str:
    found = re.search(pattern, text)
    if found is None and default is None:
        raise RuntimeError(f"wrk said something else: {text}")
    return found[1] if found else str(default)


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _TIME[unit]
