"""What is loaded: the bare upstream, our gateway whole and without some of its layers, Envoy, LiteLLM."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.gateway.load import ANSWER, PATH, QUESTION
from tests.bench.gateway.processes import Process, answers, pinned

UPSTREAM_PORT = 18080
_ENVOY_PORT, _LITELLM_PORT, SYSTEM_PORT = 18081, 18082, 18083
_KEY = "sk-bench"
_ENVOY = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True)
class Contender:
    """A server to load, and the tokens that it lets in."""

    name: str
    url: str
    tokens: Sequence[str]
    process: Process


@contextlib.contextmanager
def upstream(directory: Path, core: int) -> Iterator[Contender]:
    """Nginx that answers every request with the same completion."""
    answer = json.dumps(ANSWER).replace("'", "")
    (directory / "nginx.conf").write_text(
        f"""worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log stderr crit;
        events {{ worker_connections 4096; }}
        http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; client_body_buffer_size 64k;
        server {{ listen 127.0.0.1:{UPSTREAM_PORT} backlog=4096; default_type application/json;
        location / {{ if ($request_method) {{ return 200 '{answer}'; }} }} }} }}"""
    )
    command = ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    with pinned(core, command, directory / "nginx.out") as process:
        yield _ready(Contender("bare upstream", f"http://127.0.0.1:{UPSTREAM_PORT}", ["none"], process))


@contextlib.contextmanager
def system(directory: Path, core: int) -> Iterator[None]:
    """A model and a tool, for what is called one at a time."""
    command = [sys.executable, "-m", "tests.bench.gateway.system", str(SYSTEM_PORT)]
    with pinned(core, command, directory / "system.out") as process:
        answers(f"http://127.0.0.1:{SYSTEM_PORT}{PATH}", json.dumps(QUESTION).encode(), {}, process)
        yield


@contextlib.contextmanager
def gateway(
    directory: Path, core: int, without: Sequence[str] = (), model_port: int = UPSTREAM_PORT
) -> Iterator[Contender]:
    """Our gateway with a new store, perhaps without some of its layers."""
    directory.mkdir()
    out = directory / "gateway.out"
    module = "tests.bench.gateway.subject"
    urls = [f"http://127.0.0.1:{port}" for port in (model_port, SYSTEM_PORT)]
    subprocess.run([sys.executable, "-m", module, str(directory)], check=True)
    command = [sys.executable, "-m", module, str(directory), *urls, *without]
    with pinned(core, command, out) as process:
        said = _said(process)
        name = f"proctor without {', '.join(without)}" if without else "proctor"
        yield _ready(Contender(name, f"http://127.0.0.1:{said['port']}", said["tokens"], process))


@contextlib.contextmanager
def envoy(directory: Path, core: int, program: str) -> Iterator[Contender]:
    """Envoy, one worker, passing everything through."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": UPSTREAM_PORT}}
    router = {"@type": f"{_ENVOY}.http.router.v3.Router"}
    manager = {
        "@type": f"{_ENVOY}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}
            ]
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": _ENVOY_PORT}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    up = {"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": endpoints}}
    config = {"static_resources": {"listeners": [listener], "clusters": [up]}}
    (directory / "envoy.json").write_text(json.dumps(config))
    command = [program, "-c", str(directory / "envoy.json"), "--concurrency", "1", "-l", "error", "--base-id", "77"]
    with pinned(core, command, directory / "envoy.out") as process:
        yield _ready(Contender("Envoy, passing through", f"http://127.0.0.1:{_ENVOY_PORT}", ["none"], process))


@contextlib.contextmanager
def litellm(directory: Path, core: int, program: str) -> Iterator[Contender]:
    """LiteLLM's proxy: one worker, a key that is checked, its callbacks and its logging off."""
    config = {
        "model_list": [
            {
                "model_name": "gpt-5-mini",
                "litellm_params": {
                    "model": "openai/gpt-5-mini",
                    "api_base": f"http://127.0.0.1:{UPSTREAM_PORT}/v1",
                    "api_key": "none",
                },
            }
        ],
        "general_settings": {"master_key": _KEY, "disable_spend_logs": True},
        "litellm_settings": {"turn_off_message_logging": True, "drop_params": True, "set_verbose": False},
    }
    (directory / "litellm.yaml").write_text(json.dumps(config))
    words = ["--config", str(directory / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(_LITELLM_PORT)]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [program, *words, "--num_workers", "1", "--telemetry", "False"]
    with pinned(core, command, directory / "litellm.out", quiet) as process:
        yield _ready(Contender("LiteLLM's proxy", f"http://127.0.0.1:{_LITELLM_PORT}", [_KEY], process))


def _ready(contender: Contender) -> Contender:
    headers = {"authorization": f"Bearer {contender.tokens[0]}"}
    answers(contender.url + PATH, json.dumps(QUESTION).encode(), headers, contender.process)
    return contender


def _said(process: Process) -> dict[str, list[str]]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        lines = [line for line in process.out.read_text().splitlines() if line.startswith('{"port"')]
        if lines:
            found: dict[str, list[str]] = json.loads(lines[0])
            return found
        time.sleep(0.2)
    raise RuntimeError(f"the gateway does not serve: {process.out.read_text()[-2000:]}")
