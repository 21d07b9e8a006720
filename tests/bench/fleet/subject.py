"""What is measured: the operator as it ships, a process of its own with its own rights and its own metrics."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proctor_cluster.command import run
from tests.bench.fleet.control_plane import ControlPlane, free_ports
from tests.bench.fleet.errors import RunError
from tests.bench.fleet.loads import AGENT_IMAGE
from tests.bench.fleet.processes import Process

_ROOT = Path(__file__).parents[3]
_NAMESPACE = "proctor-system"
_PROGRAM = Path(sys.executable).with_name("proctor-operator")
_BETWEEN_LOOKS = 0.05
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Told:
    """The operator's own metrics, by label values."""

    writes: Counter[tuple[str, str]]
    """By kind and verb."""
    reconciles: Counter[tuple[str, str]]
    """By kind and result."""
    is_leader: bool


class Operator:
    """One replica."""

    def __init__(self, process: Process, url: str, session: aiohttp.ClientSession) -> None:
        self.process = process
        self._url = url
        self._session = session

    async def told(self) -> Told:
        """Its metrics now."""
        self.process.check()
        async with self._session.get(f"{self._url}/metrics") as answer:
            families = {each.name: each for each in text_string_to_metric_families(await answer.text())}
        return Told(
            writes=_counts(families, "proctor_operator_writes", "kind", "verb"),
            reconciles=_counts(families, "proctor_operator_reconciles", "kind", "result"),
            is_leader=families["proctor_operator_leader"].samples[0].value == 1,
        )

    async def until_ready(self) -> None:
        """Returns when it knows the cluster."""
        await self._until("/readyz")

    async def until_leading(self) -> None:
        """Returns when it knows the cluster and holds the lease."""
        await self.until_ready()
        async with asyncio.timeout(_START_SECONDS):
            while not (await self.told()).is_leader:  # noqa: ASYNC110 - another process does not tell
                await asyncio.sleep(_BETWEEN_LOOKS)

    async def until_reconciled(self, kind: str, count: int) -> None:
        """Returns when it has looked at so many objects of the kind."""
        async with asyncio.timeout(_START_SECONDS + count / 10):
            while (await self.told()).reconciles[kind, "ok"] < count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(_BETWEEN_LOOKS)

    async def _until(self, path: str) -> None:
        began = time.monotonic()
        while time.monotonic() - began < _START_SECONDS:
            self.process.check()
            try:
                async with self._session.get(self._url + path) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_BETWEEN_LOOKS)
        raise RunError(f"the operator was not ready within {_START_SECONDS:.0f} s:\n{self.process.last_lines()}")


def install(plane: ControlPlane) -> None:
    """The kinds, the namespace, and the operator's ServiceAccount with exactly the rights that it ships with."""
    kubectl: list[str | Path] = [plane.kubectl, "--kubeconfig", plane.kubeconfig("bench")]
    manifests = _ROOT / "manifests"
    run([*kubectl, "apply", "--server-side", "-k", manifests / "crds"])
    run([*kubectl, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])
    run([*kubectl, "create", "namespace", _NAMESPACE])
    run([*kubectl, "apply", "--server-side", "-n", _NAMESPACE, "-f", manifests / "base" / "operator-rbac.yaml"])
    token = run([*kubectl, "create", "token", "proctor-operator", "-n", _NAMESPACE, "--duration=12h"]).strip()
    plane.kubeconfig("proctor-operator", token)
    (plane.state / "gateway-token").write_text("the stand-in asks for none")


async def start(
    plane: ControlPlane, name: str, gateway: str, session: aiohttp.ClientSession, profile: Path | None = None
) -> Operator:
    """Starts a replica; it is not ready yet. `profile` names a file for a profile of its CPU time."""
    (port,) = free_ports(1)
    kubeconfig = str(plane.state / "proctor-operator.kubeconfig")
    env = {
        "KUBECONFIG": kubeconfig,
        "PROCTOR_OPERATOR_KUBECONFIG": kubeconfig,
        "PROCTOR_OPERATOR_AGENT_IMAGE": AGENT_IMAGE,
        "PROCTOR_OPERATOR_IDENTITY": name,
        "PROCTOR_OPERATOR_GATEWAY_INTERNAL_URL": gateway,
        "PROCTOR_OPERATOR_GATEWAY_TOKEN_FILE": str(plane.state / "gateway-token"),
        "PROCTOR_OPERATOR_PORT": str(port),
    }
    process = await Process.start(name, _argv(profile), plane.state, env)
    return Operator(process, f"http://127.0.0.1:{port}", session)


def _argv(profile: Path | None) -> Sequence[str | Path]:
    if profile is None:
        return [sys.executable, "-Iu", _PROGRAM]
    return [sys.executable, "-u", Path(__file__).with_name("sampling.py"), profile, _PROGRAM]


def _counts(families: Mapping[str, Metric], name: str, *labels: str) -> Counter[tuple[str, str]]:
    family = families.get(name)
    samples = family.samples if family else ()
    first, second = labels
    return Counter(
        {(each.labels[first], each.labels[second]): int(each.value) for each in samples if each.name == f"{name}_total"}
    )
