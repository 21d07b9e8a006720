"""What the installation itself asks: health, metrics, probes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from proctor.api import digest, names
from proctor_gateway.rules.access import Identity
from tests.gateway import objects
from tests.gateway.house import House
from tests.gateway.odd_system import OddSystem


@pytest.fixture
async def operator(gateway: House) -> AsyncIterator[httpx2.AsyncClient]:
    """The operator's way in."""
    headers = {"authorization": f"Bearer {objects.OPERATOR_TOKEN}"}
    async with httpx2.AsyncClient(
        base_url=gateway.internal_url, headers=headers, timeout=30, trust_env=False, verify=False
    ) as client:
        yield client


async def probed(operator: httpx2.AsyncClient, name: str) -> dict:
    """What the operator is told about a connector."""
    response = await operator.post(f"/internal/connectors/{objects.NAMESPACE}/{name}/probe")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_model_is_probed_with_its_credential(operator: httpx2.AsyncClient):
    """The models that it offers, and when that was measured."""
    found = await probed(operator, "llm")
    assert found.pop("probedAt").endswith("Z")
    assert found == {
        "generation": 3,
        "reachable": True,
        "reason": "Reachable",
        "message": "1 models",
        "tools": [],
        "models": ["gpt-5-mini"],
    }


async def test_an_mcp_server_is_probed_for_its_tools(operator: httpx2.AsyncClient):
    """Each tool with the digest that pins it."""
    found = await probed(operator, "crm")
    assert [tool["name"] for tool in found["tools"]] == ["get_customer", "get_order", "list_orders"]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", tool["digest"]) for tool in found["tools"])
    assert found["tools"][0]["description"]


@pytest.mark.parametrize("modern", [True, False], ids=["2026-07-28", "2025-11-25"])
async def test_a_digest_is_that_of_the_definition(gateway: House, operator: httpx2.AsyncClient, modern: bool):
    """What is pinned is what proctor.api.digest makes of the definition as the server gave it."""
    async with OddSystem(modern=modern).serving() as system:
        gateway.connect("odd", "MCP", system.url)
        await gateway.settled()
        found = await probed(operator, "odd")
    expected = digest.of_tool({"name": "works", "description": "A tool.", "inputSchema": {"type": "object"}})
    assert {tool["name"]: tool["digest"] for tool in found["tools"]}["works"] == expected


PROBLEMS = {
    "a model that is away": ("Model", "http://127.0.0.1:9/v1", "Unreachable"),
    "a server that is away": ("MCP", "http://127.0.0.1:9/mcp", "Unreachable"),
    "a name that nobody has": ("MCP", "http://no-such-host.invalid/mcp", "Unreachable"),
    "a model that speaks no TLS": ("Model", "TLS/v1", "TLSError"),
    "a server that speaks no TLS": ("MCP", "TLS/mcp", "TLSError"),
    "a model that is none": ("Model", "HERE", "ProtocolError"),
    "a server that is none": ("MCP", "HERE/healthz", "ProtocolError"),
    "a type that is not probed": ("HTTP", "http://127.0.0.1:9", "ProtocolError"),
}


@pytest.mark.parametrize(("kind", "url", "reason"), PROBLEMS.values(), ids=PROBLEMS)
async def test_what_is_wrong_has_a_reason(gateway: House, operator: httpx2.AsyncClient, kind, url, reason):
    """A connector that cannot be reached says why, in a word and in a sentence."""
    here = gateway.internal_url
    gateway.connect("x", kind, url.replace("HERE", here).replace("TLS", here.replace("http:", "https:")))
    await gateway.settled()
    found = await probed(operator, "x")
    assert (found["reachable"], found["reason"], bool(found["message"])) == (False, reason, True)


@pytest.mark.parametrize("name", ["llm", "crm"])
async def test_a_wrong_credential_is_unauthorized(gateway: House, operator: httpx2.AsyncClient, name: str):
    """The system's refusal is told apart from everything else."""
    gateway.cluster.secrets[objects.NAMESPACE, name] = {"token": b"wrong"}
    assert (await probed(operator, name))["reason"] == "Unauthorized"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(None, "SecretNotFound"), ("forbidden", "SecretForbidden"), ({"x": b"y"}, "SecretKeyMissing")],
)
async def test_a_secret_that_cannot_be_had(gateway: House, operator: httpx2.AsyncClient, data, reason):
    """Nothing is sent without the credential, and the reason names the step to take."""
    key = (objects.NAMESPACE, "llm")
    del gateway.cluster.secrets[key]
    if data == "forbidden":
        gateway.cluster.forbidden.add(key)
    elif data:
        gateway.cluster.secrets[key] = data
    assert (await probed(operator, "llm"))["reason"] == reason


async def test_a_silent_server_is_not_waited_for(gateway: House, operator: httpx2.AsyncClient):
    """The connector's timeout bounds the probe."""
    import asyncio

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        for name, kind in (("m", "Model"), ("t", "MCP")):
            gateway.connect(name, kind, url, limits={"timeout": "300ms"})
            await gateway.settled()
            assert (await probed(operator, name))["reason"] == "Timeout"


async def test_only_the_operator_probes(gateway: House):
    """Not a caller, not the operator's name with a token for someone else, not nobody."""
    plain = objects.token("operator", "https://kubernetes.default.svc")
    gateway.cluster.tokens[plain] = (Identity(objects.OPERATOR), None)
    url = f"{gateway.internal_url}/internal/connectors/{objects.NAMESPACE}/llm/probe"
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        statuses = [
            (await http.post(url, headers={"authorization": f"Bearer {token}"})).status_code
            for token in (objects.CALLER_TOKEN, plain, "x")
        ]
    assert statuses == [403, 403, 401]


async def test_a_connector_that_is_not_there(operator: httpx2.AsyncClient):
    """404: the gateway may not have heard of it yet."""
    response = await operator.post(f"/internal/connectors/{objects.NAMESPACE}/none/probe")
    assert (response.status_code, response.json()["reason"]) == (404, "NotFound")


async def test_health_and_readiness(operator: httpx2.AsyncClient):
    """Healthy while the loop turns, ready when everything is there."""
    assert (await operator.get("/healthz")).json() == {"status": "ok"}
    assert (await operator.get("/readyz")).json() == {"ready": True, "missing": []}


async def test_metrics_tell_what_happened(gateway: House, operator: httpx2.AsyncClient):
    """Tasks, calls, tokens, money; no label that an agent or a caller can make up."""
    async with gateway.pod("one"):
        await gateway.done({"chat": {}}, {"call": ["crm", "made-up-tool", {}]}, {"chat": {"model": "made-up-model"}})
        await gateway.done({"call": ["made-up-connector", "x", {}]})
    text = (await operator.get("/metrics")).text
    assert "made-up" not in text
    for line in (
        'proctor_tasks_accepted_total{agent="refunds",namespace="support"} 2.0',
        'phase="Succeeded",reason="",revision=',
        'gen_ai_client_token_usage_count{gen_ai_operation_name="chat",gen_ai_provider_name="llm",'
        'gen_ai_request_model="gpt-5-mini",gen_ai_token_type="input"} 1.0',
        'connector="llm",kind="Model",namespace="support",reason="",state="Succeeded"} 1.0',
        'connector="",kind="Tool",namespace="support",reason="PolicyDenied",state="Denied"} 2.0',
        'proctor_gateway_cluster_up{kind="Agent"} 1.0',
    ):
        assert line in text, line


async def test_the_audience_is_that_of_the_names(gateway: House):
    """The token that the operator asks Kubernetes for is the one that the gateway demands."""
    assert gateway.settings.audience == names.AUDIENCE
    assert gateway.settings.operator == f"system:serviceaccount:{names.INSTALL_NAMESPACE}:{names.OPERATOR}"
