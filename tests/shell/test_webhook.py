"""The webhook over real TLS: what is said to what is written, and that a new certificate is served at once."""

from __future__ import annotations

import asyncio
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from proctor.plan.certificates import Kept, Lifetimes, plan
from proctor.plan.world import Manifest
from proctor.shell.admission import Admission
from proctor.shell.authority import Chest, fingerprints, opened, renewed
from proctor.shell.cache import Cache
from proctor.shell.certificates import Certificates
from proctor.shell.clock import SystemClock
from proctor.shell.webhook import Webhook
from tests.plan import examples

HOSTS = ("proctor-operator.proctor-system.svc",)
LIFETIMES = Lifetimes(timedelta(days=365), timedelta(days=300))
TRIFECTA = {"tools": {"trifecta": "Deny"}}


class Cluster:
    """What the API server knows beyond the cache."""

    def __init__(self, *bodies: Manifest) -> None:
        self._bodies = bodies

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object, if it is there."""
        wanted = (kind, namespace, name)
        found = (b for b in self._bodies if (b["kind"], b["metadata"]["namespace"], b["metadata"]["name"]) == wanted)
        return next(found, None)


def kept(cache: Cache, *bodies: Manifest) -> Cache:
    """The cache with these in it."""
    for number, body in enumerate(bodies, 1):
        cache.put({**body, "metadata": {"uid": str(uuid.uuid4()), **body["metadata"], "resourceVersion": str(number)}})
    return cache


def written(kind: str, name: str, **spec: Any) -> Manifest:
    """An object as somebody writes it."""
    metadata = {"name": name, **({} if kind == "ClusterPolicy" else {"namespace": "support"})}
    return {"apiVersion": "proctor.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def a_policy(mode: str = "Enforce", **spec: Any) -> Manifest:
    """A Policy that is called careful."""
    return written("Policy", "careful", owner={"team": "risk", "contact": "risk@example.com"}, mode=mode, **spec)


def a_connector(name: str, *tools: Manifest) -> Manifest:
    """A Connector to a system with these tools."""
    return written("Connector", name, type="MCP", url=f"https://{name}.example.com/mcp", tools=list(tools))


def an_agent(*grants: tuple[str, str]) -> Manifest:
    """An agent that may call these tools."""
    body = examples.agent_body()
    tools = [{"connector": connector, "allow": [tool]} for connector, tool in grants]
    spec = {**body["spec"], "tools": tools}
    return {**written("Agent", "refunds"), "spec": spec}


CRM = a_connector("crm", {"name": "get_customer", "effect": "Read", "data": ["pii"]})
PAYMENTS = a_connector("payments", {"name": "refund", "effect": "Once"})
BOTH = an_agent(("crm", "get_customer"), ("payments", "refund"))


def a_chest(chest: Chest | None = None, *, later: timedelta = timedelta(0)) -> Chest:
    """The first certificates, or what becomes of these later."""
    now = SystemClock().now() + later
    known = fingerprints(chest.bundle) if chest else frozenset[str]()
    return renewed(chest, plan(chest.kept if chest else Kept(), known, HOSTS, LIFETIMES, now), HOSTS)


@asynccontextmanager
async def served(cache: Cache, cluster: Cluster | None = None) -> AsyncIterator[tuple[Certificates, Any]]:
    """A webhook, and how it is asked."""
    certificates = Certificates(None, None, SystemClock(), "proctor-system", LIFETIMES, 30)  # type: ignore[arg-type]
    admission = Admission(cluster or Cluster(), cache, SystemClock())  # type: ignore[arg-type]
    webhook = Webhook(admission, certificates.context)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await webhook.start(port)

    async def ask(body: Manifest, trusted: Chest) -> Manifest:
        context = ssl.create_default_context(cadata=trusted.bundle.decode())
        asked = {
            "uid": "u-1",
            "kind": {"kind": body["kind"]},
            "resource": {"resource": "any"},
            "namespace": body["metadata"].get("namespace"),
            "name": body["metadata"]["name"],
            "object": body,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"https://127.0.0.1:{port}/admit", json={"request": asked}, ssl=context, server_hostname=HOSTS[0]
            ) as response,
        ):
            answer: Manifest = (await response.json())["response"]
            assert answer["uid"] == "u-1"
            return answer

    try:
        yield certificates, ask
    finally:
        await webhook.stop()


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Plays the scene."""
    asyncio.run(scene())


def test_a_refusal_names_object_rule_field_and_whom_to_ask():
    """Whoever applied it reads all of that in the message."""

    async def scene() -> None:
        async with served(kept(Cache(), a_policy(**TRIFECTA), CRM, PAYMENTS)) as (certificates, ask):
            certificates.load(chest := a_chest())
            answer = await ask(BOTH, chest)
            assert not answer["allowed"]
            said = answer["status"]["message"]
            for each in (
                "Agent support/refunds",
                "Policy/support/careful tools/trifecta at spec.tools",
                "risk@example",
            ):
                assert each in said
            assert (await ask(an_agent(("crm", "get_customer")), chest))["allowed"]

    run(scene)


def test_a_mode_that_does_not_enforce_only_tells():
    """Warn as a warning, Audit for the audit log."""

    async def scene() -> None:
        for mode, where in (("Warn", "warnings"), ("Audit", "auditAnnotations")):
            async with served(kept(Cache(), a_policy(mode, **TRIFECTA), CRM, PAYMENTS)) as (certificates, ask):
                certificates.load(chest := a_chest())
                answer = await ask(BOTH, chest)
                assert answer["allowed"]
                assert "tools/trifecta" in str(answer[where])

    run(scene)


def test_a_connector_that_was_applied_a_moment_ago_is_read():
    """The watch has not told of it yet; one that nobody has is waited for."""

    async def scene() -> None:
        for cluster, allowed in ((Cluster(CRM, PAYMENTS), False), (Cluster(), True)):
            async with served(kept(Cache(), a_policy(**TRIFECTA)), cluster) as (certificates, ask):
                certificates.load(chest := a_chest())
                assert (await ask(BOTH, chest))["allowed"] is allowed

    run(scene)


def test_a_connector_is_never_refused_but_its_author_hears_whom_it_stops():
    """A tool that is declared untrusted is told to break the agent that uses it."""

    async def scene() -> None:
        cache = kept(Cache(), a_policy(**TRIFECTA), TRUSTED, HARMLESS, BOTH)
        async with served(cache) as (certificates, ask):
            certificates.load(chest := a_chest())
            answer = await ask(CRM, chest)
            assert answer["allowed"]
            assert "Agent support/refunds will break: Policy/support/careful tools/trifecta" in answer["warnings"][0]
            assert "warnings" not in await ask(TRUSTED, chest)

    run(scene)


TRUSTED = a_connector("crm", {"name": "get_customer", "effect": "Read", "data": ["pii"], "trusted": True})
HARMLESS = a_connector("payments", {"name": "refund", "effect": "Once", "trusted": True})


def named(name: str, body: Manifest) -> Manifest:
    """That agent under another name."""
    return {**body, "metadata": {**body["metadata"], "name": name}}


def test_every_agent_of_a_connector_is_looked_at():
    """The only one that breaks a policy is the last of three hundred."""

    async def scene() -> None:
        reading = [named(f"a{number:03}", an_agent(("crm", "get_customer"))) for number in range(299)]
        cache = kept(Cache(), a_policy(**TRIFECTA), TRUSTED, HARMLESS, *reading, named("z", BOTH))
        async with served(cache) as (certificates, ask):
            certificates.load(chest := a_chest())
            (warning,) = (await ask(CRM, chest))["warnings"]
            assert "Agent support/z will break: Policy/support/careful tools/trifecta" in warning

    run(scene)


class Hurrying:
    """A clock by which each look takes a second."""

    def __init__(self) -> None:
        self._now = SystemClock().now()

    def now(self) -> datetime:
        """The time."""
        self._now += timedelta(seconds=1)
        return self._now


def test_looking_at_agents_ends_in_time_and_says_so():
    """The API server waits two seconds, and would hear nothing at all."""

    async def scene() -> None:
        agents = [named(f"a{number:03}", BOTH) for number in range(120)]
        cache = kept(Cache(), a_policy(**TRIFECTA), TRUSTED, HARMLESS, *agents)
        admission = Admission(Cluster(), cache, Hurrying())  # type: ignore[arg-type]
        warnings = (await admission.answer({"kind": {"kind": "Connector"}, "name": "crm", "object": CRM})).warnings
        assert len(warnings) == 12
        assert warnings[-2].startswith("and 40 more faults")
        assert warnings[-1].startswith("70 of 120 agents of support were not looked at in time")

    run(scene)


def test_a_policy_with_a_typo_is_refused():
    """Its field is named; it would have stopped every agent."""

    async def scene() -> None:
        async with served(Cache()) as (certificates, ask):
            certificates.load(chest := a_chest())
            bad = a_policy(expressions=[{"name": "typo", "expression": "agent.spec.", "message": "No."}])
            for body in (bad, {**bad, "kind": "ClusterPolicy", "metadata": {"name": "careful"}}):
                answer = await ask(body, chest)
                assert not answer["allowed"]
                assert "spec.expressions[typo] cannot hold" in answer["status"]["message"]
            assert (await ask(a_policy(**TRIFECTA), chest))["allowed"]

    run(scene)


def test_what_this_version_cannot_read_is_not_in_its_way():
    """The operator says in the object's conditions that it cannot be read."""

    async def scene() -> None:
        async with served(Cache()) as (certificates, ask):
            certificates.load(chest := a_chest())
            assert (await ask(written("Connector", "crm", type="Telepathy"), chest))["allowed"]

    run(scene)


def test_a_new_certificate_is_served_from_the_next_connection_on():
    """Before, with and after it the API server trusts what is served, for it trusts both authorities."""

    async def scene() -> None:
        async with served(Cache()) as (certificates, ask):
            certificates.load(first := a_chest(later=timedelta(days=-250)))
            both = a_chest(first)
            assert (len(both.authorities), both.serving) == (2, first.serving)
            certificates.load(opened(both.entries()))
            assert (await ask(CRM, first))["allowed"]
            certificates.load(signed := a_chest(both, later=timedelta(minutes=1)))
            assert signed.serving != first.serving
            assert (await ask(CRM, both))["allowed"]
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await ask(CRM, first)

    run(scene)


def test_a_secret_that_is_broken_is_as_good_as_none():
    """Whatever is missing, is no base64, or does not belong together."""
    entries, other = a_chest().entries(), a_chest().entries()
    assert opened(entries) is not None
    for broken in (
        None,
        {},
        {**entries, "tls.key": other["tls.key"]},
        {**entries, "ca.crt": "?"},
        {**entries, "ca.key": ""},
    ):
        assert opened(broken) is None
    assert "PRIVATE" not in repr(opened(entries))
