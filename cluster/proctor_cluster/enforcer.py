"""Enforces NetworkPolicies on a node of our own: ``python -m proctor_cluster.enforcer STATE SOCKET``, run in the node.

It watches pods, namespaces and policies and replaces the node's firewall rules whenever they change. STATE/pki is its
way into the API; STATE/network-policy holds "on" or "off" and is obeyed within a second, so that both can be tested.
SOCKET is where policy_gate tells it of a pod that is about to start. Uses the standard library alone: it lives as long
as the node, in a process of some 20 MB.
"""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from proctor_cluster.mirror import Api, Mirror
from proctor_cluster.netpolicy import TABLE, Body, Pod, ruleset

_PODS = "/api/v1/pods"
_NAMESPACES = "/api/v1/namespaces"
_POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 0.02
_ANSWER_SECONDS = 8.0

PodName = tuple[str, str]


class Enforcer:
    """Keeps the firewall equal to what the mirrors and the arriving pods ask for."""

    def __init__(self, state: Path) -> None:
        """``state`` is the node's directory. Returns once all objects are known."""
        node = dict(line.split("=", 1) for line in (state / "node.env").read_text().splitlines())
        api = Api(f"{node['NODE_IP']}:6443", state / "pki")
        self._state = state
        self._changed = threading.Event()
        self._applied = threading.Condition()
        # Addresses of pods that are being started, which the API server does not know yet.
        self._arriving: dict[PodName, str] = {}
        self._in_force: set[tuple[PodName, str]] = set()
        self._mirrors = [Mirror(api, path, self._changed) for path in (_PODS, _NAMESPACES, _POLICIES)]
        for mirror in self._mirrors:
            mirror.is_filled.wait()

    def run(self) -> None:
        """Never returns; the node's end is its end."""
        rules = ""
        while True:
            self._changed.wait(timeout=_LOOK_SECONDS)
            time.sleep(_SETTLE_SECONDS)
            self._changed.clear()
            pods = self._addressed_pods()
            wanted = self._rules(pods) if _is_on(self._state) else f"table {TABLE}\ndelete table {TABLE}\n"
            if wanted != rules and not _apply(wanted):
                continue
            rules = wanted
            with self._applied:
                self._in_force = {((pod.namespace, pod.name), pod.ip) for pod in pods}
                self._applied.notify_all()

    def wait_for(self, name: PodName, ip: str) -> bool:
        """Whether the rules came to hold for this pod at this address within some seconds."""
        with self._applied:
            self._arriving[name] = ip
            self._changed.set()
            holds = self._applied.wait_for(lambda: (name, ip) in self._in_force, timeout=_ANSWER_SECONDS)
            if not holds:
                self._arriving.pop(name, None)
            return holds

    def _addressed_pods(self) -> list[Pod]:
        bodies = {
            (body["metadata"]["namespace"], body["metadata"]["name"]): body for body in self._mirrors[0].objects()
        }
        with self._applied:
            for name in [name for name in self._arriving if name in bodies and bodies[name]["status"].get("podIP")]:
                del self._arriving[name]
            arriving = dict(self._arriving)
        given = (_with_address(body, arriving.get(name)) for name, body in bodies.items())
        return [pod for pod in map(Pod.parse, given) if pod is not None]

    def _rules(self, pods: list[Pod]) -> str:
        _, namespaces, policies = (mirror.objects() for mirror in self._mirrors)
        labels = {item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in namespaces}
        return ruleset(pods, labels, policies)


def _with_address(body: Body, ip: str | None) -> Body:
    return {**body, "status": {**body["status"], "podIP": ip}} if ip else body


def _is_on(state: Path) -> bool:
    # Fails closed: only a clear "off" turns the rules off.
    try:
        return (state / "network-policy").read_text().strip() != "off"
    except OSError:
        return True


def _apply(rules: str) -> bool:
    done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"nft refused:\n{done.stderr}\n{rules}", flush=True)
    return done.returncode == 0


def _serve(enforcer: Enforcer, address: Path) -> None:
    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked: dict[str, Any] = json.loads(self.rfile.readline())
            if enforcer.wait_for((asked["namespace"], asked["name"]), asked["ip"]):
                self.wfile.write(b"ok\n")

    address.unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(str(address), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(state: Path, address: Path) -> None:
    """Enforce for as long as the node lives."""
    enforcer = Enforcer(state)
    _serve(enforcer, address)
    enforcer.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
