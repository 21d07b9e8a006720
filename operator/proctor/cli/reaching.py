"""The way to the gateway: the URL that is named, or through the API server to one of its pods."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import httpx2

from proctor.api import names
from proctor.cli import identity
from proctor.cli.cluster import Cluster
from proctor.cli.errors import CliError, Denied, Misused
from proctor.cli.forward import PodTransport
from proctor.cli.gateway import Gateway
from proctor.cli.identity import Bearer, Identity
from proctor.cli.observe import agent as read_agent
from proctor.cli.views.agent import callers, resolvers

_SELECTOR = f"app.kubernetes.io/name={names.GATEWAY}"


@dataclass(frozen=True)
class Wanted:
    """What the command line says of the way and of the identity."""

    url: str | None
    installation: str
    service_account: str | None


class Door(StrEnum):
    """The list of spec.access that lets one in."""

    CALLERS = "callers"
    RESOLVERS = "resolvers"


@contextmanager
def gateway(
    cluster: Cluster, namespace: str, name: str, wanted: Wanted, door: Door = Door.CALLERS
) -> Iterator[Gateway]:
    """The agent's gateway. A refusal that is raised inside says how to be let in."""
    asker = identity.choose(cluster, namespace, wanted.service_account, is_private=is_private(wanted.url))
    transport = None if wanted.url else PodTransport(cluster, wanted.installation, _SELECTOR, names.CALLER_PORT)
    base = wanted.url or f"http://{names.GATEWAY}.{wanted.installation}"
    # Of the environment neither proxies nor credentials: a token goes where the person said, and nowhere else.
    with httpx2.Client(base_url=base, transport=transport, auth=Bearer(asker), trust_env=False) as client:
        try:
            yield Gateway(client, namespace, name)
        except Denied as denied:
            if denied.hints:
                raise
            raise Denied(denied.message, *_ways_in(cluster, namespace, name, asker, door)) from denied


def is_private(url: str | None) -> bool:
    """Whether nobody on the way can read what is sent: through the API server, by TLS, or inside this machine."""
    if url is None:
        return True
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as exc:
        raise Misused(f"--gateway {url}: {exc}") from exc
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Misused(f"--gateway {url}: it must be http://HOST:PORT or https://HOST")
    if parsed.scheme == "https" or parsed.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(parsed.host).is_loopback
    except ValueError:
        return False


def _ways_in(cluster: Cluster, namespace: str, name: str, asker: Identity, door: Door) -> Iterator[str]:
    yield f"you asked as {asker.who}; to let it in, add to spec.access.{door}:  - {asker.caller}"
    try:
        agent = read_agent(cluster, namespace, name)
    except CliError as error:
        yield error.message
        return
    known = callers(agent) if door is Door.CALLERS else resolvers(agent)
    if known:
        yield f"those let in are: {', '.join(known)}"
    account = next((each.removeprefix("ServiceAccount ") for each in known if each.startswith("ServiceAccount ")), None)
    if account:
        yield f"ask as one of them: --service-account {account}"
