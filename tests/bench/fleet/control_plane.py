"""A control plane of the run's own on loopback; kwok plays the nodes."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from proctor_cluster.command import run
from tests.bench.fleet.errors import RunError
from tests.bench.fleet.processes import Process

_HERE = Path(__file__).parent
_READY_SECONDS = 90.0
_USERS = {
    "bench": "system:masters",
    "kwok": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}


@dataclass(frozen=True)
class Programs:
    """Where the binaries are."""

    kubernetes: Path
    kwok: Path


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane."""

    url: str
    state: Path
    tokens: Mapping[str, str]
    processes: Mapping[str, Process]
    kubectl: Path

    @property
    def audit_log(self) -> Path:
        """What the API server noted."""
        return self.state / "audit.log"

    def tls(self) -> ssl.SSLContext:
        """Trusts this API server alone."""
        return ssl.create_default_context(cafile=str(self.state / "tls.crt"))

    def check(self) -> None:
        """Raises RunError if one of the processes has ended."""
        for each in self.processes.values():
            each.check()

    def kubeconfig(self, user: str, token: str | None = None) -> Path:
        """A kubeconfig for the user, by its static token or by the one given."""
        return write_kubeconfig(self.state, self.url, user, token or self.tokens[user])


@asynccontextmanager
async def running(state: Path, programs: Programs) -> AsyncIterator[ControlPlane]:
    """Starts everything, and ends everything. Raises RunError when it does not come up."""
    tokens = {user: secrets.token_hex(16) for user in _USERS}
    _write_credentials(state, tokens)
    etcd, peer, api = free_ports(3)
    url = f"https://127.0.0.1:{api}"
    processes: dict[str, Process] = {}
    plane = ControlPlane(url, state, tokens, processes, programs.kubernetes / "kubectl")
    async with AsyncExitStack() as stack:

        async def start(name: str, *args: str, at: Path = programs.kubernetes) -> None:
            processes[name] = await Process.start(name, [at / name, *args], state)
            stack.push_async_callback(processes[name].stop)

        await start("etcd", *_etcd(state, etcd, peer))
        await start("kube-apiserver", *_api_server(state, etcd, api))
        await _until_ready(plane)
        await start("kube-controller-manager", *_controller_manager(plane))
        await start("kube-scheduler", f"--config={_scheduler_config(plane)}", "--secure-port=0")
        await start("kwok", *_kwok(plane), at=programs.kwok)
        yield plane


def _etcd(state: Path, client: int, peer: int) -> list[str]:
    # The state lives as long as the run: etcd need not wait for the disk.
    return [
        f"--data-dir={state}/etcd",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--log-level=warn",
    ]


def _api_server(state: Path, etcd: int, port: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--cert-dir={state}",
        f"--tls-cert-file={state}/tls.crt",
        f"--tls-private-key-file={state}/tls.key",
        f"--token-auth-file={state}/tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={state}/sa.pub",
        f"--service-account-signing-key-file={state}/sa.key",
        "--authorization-mode=RBAC",
        f"--audit-policy-file={_HERE}/audit-policy.yaml",
        f"--audit-log-path={state}/audit.log",
        "--audit-log-maxsize=100000",
        # Exact rather than fast: a count that may drop lines under load would be none.
        "--audit-log-mode=blocking",
    ]


def _controller_manager(plane: ControlPlane) -> list[str]:
    return [
        f"--kubeconfig={plane.kubeconfig('system:kube-controller-manager')}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={plane.state}/sa.key",
        f"--root-ca-file={plane.state}/tls.crt",
        "--secure-port=0",
        # kwok renews a node's lease every 50 s.
        "--node-monitor-grace-period=300s",
        # The default of 20 requests a second would measure that default.
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def _scheduler_config(plane: ControlPlane) -> Path:
    config = plane.state / "scheduler.yaml"
    kubeconfig = str(plane.kubeconfig("system:kube-scheduler"))
    config.write_text((_HERE / "scheduler.yaml").read_text().replace("KUBECONFIG", kubeconfig))
    return config


def _kwok(plane: ControlPlane) -> list[str]:
    return [
        f"--kubeconfig={plane.kubeconfig('kwok')}",
        f"--config={_HERE}/stages.yaml",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
    ]


def _write_credentials(state: Path, tokens: Mapping[str, str]) -> None:
    key: list[str | Path] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run(["openssl", "genpkey", *key, "-out", state / "sa.key"])
    run(["openssl", "pkey", "-in", state / "sa.key", "-pubout", "-out", state / "sa.pub"])
    run(["openssl", "genpkey", *key, "-out", state / "tls.key"])
    extensions = (
        "subjectAltName=IP:127.0.0.1,DNS:kubernetes.default.svc",
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,digitalSignature,keyCertSign",
    )
    made = [word for each in extensions for word in ("-addext", each)]
    certificate: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-new",
        "-key",
        state / "tls.key",
        "-out",
        state / "tls.crt",
        *made,
    ]
    run([*certificate, "-subj", "/CN=bench", "-days", "2"])
    lines = [",".join((tokens[user], user, user, *filter(None, [group]))) for user, group in _USERS.items()]
    (state / "tokens.csv").write_text("\n".join(lines) + "\n")


def write_kubeconfig(state: Path, url: str, user: str, token: str) -> Path:
    """STATE/USER.kubeconfig."""
    authority = base64.b64encode((state / "tls.crt").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
        "current-context": "bench",
    }
    path = state / f"{user.replace(':', '-')}.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


async def _until_ready(plane: ControlPlane) -> None:
    kubectl = [plane.kubectl, "--kubeconfig", plane.kubeconfig("bench"), "get", "--raw", "/readyz"]
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                plane.check()
                asked = await asyncio.create_subprocess_exec(
                    *map(str, kubectl), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
                )
                if await asked.wait() == 0:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError as exc:
        said = plane.processes["kube-apiserver"].last_lines()
        raise RunError(f"the API server was not ready within {_READY_SECONDS:.0f} s:\n{said}") from exc
