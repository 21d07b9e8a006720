"""What a cluster in use has had for long: nodes, namespaces with their defaults, Connectors that were probed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from tests.bench.fleet.api import Api, Body
from tests.bench.fleet.control_plane import ControlPlane
from tests.bench.fleet.errors import RunError
from tests.bench.fleet.loads import make_connector, namespaces

_NODES = 50
_SECONDS = 60.0


async def prepare(plane: ControlPlane, api: Api, count: int) -> None:
    """Nodes played by kwok, and the namespaces for so many Agents and Deployments."""
    await api.all(api.request("POST", "/api/v1/nodes", _node(number)) for number in range(_NODES))
    await _until("nodes ready", _NODES, partial(_ready, plane, api, "/api/v1/nodes"))
    places = [*namespaces("fleet", count), *namespaces("plain", count)]
    await api.all(api.request("POST", "/api/v1/namespaces", _namespace(name)) for name in places)
    await _until("default ServiceAccounts", len(places), partial(_service_accounts, api, set(places)))


async def connect(plane: ControlPlane, api: Api, count: int) -> None:
    """One Connector in each namespace of Agents, probed."""
    places = namespaces("fleet", count)
    path = "/apis/proctor.dev/v1alpha1/{}connectors".format
    await api.all(api.request("POST", path(f"namespaces/{each}/"), make_connector(each)) for each in places)
    await _until("Connectors ready", len(places), partial(_ready, plane, api, path("")))


def _node(number: int) -> Body:
    name = f"node-{number:02}"
    metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"kubernetes.io/hostname": name}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def _namespace(name: str) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def _ready(plane: ControlPlane, api: Api, path: str) -> int:
    plane.check()
    items = (await api.request("GET", path))["items"]
    conditions = (each for item in items for each in item.get("status", {}).get("conditions", ()))
    return sum(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _service_accounts(api: Api, places: set[str]) -> int:
    items = (await api.request("GET", "/api/v1/serviceaccounts"))["items"]
    return sum(each["metadata"]["name"] == "default" and each["metadata"]["namespace"] in places for each in items)


async def _until(what: str, wanted: int, count: Callable[[], Awaitable[int]]) -> None:
    found = 0
    try:
        async with asyncio.timeout(_SECONDS):
            while found < wanted:
                found = await count()
                await asyncio.sleep(0.2)
    except TimeoutError as exc:
        raise RunError(f"{found} of {wanted} {what} within {_SECONDS:.0f} s") from exc
