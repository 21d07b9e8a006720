"""Enforces NetworkPolicies on a node of our own: ``python -m proctor_cluster.enforcer STATE``, run inside the node.

It watches pods, namespaces and policies and replaces the node's firewall rules whenever they change. STATE/pki is its
way into the API; STATE/network-policy holds "on" or "off" and is obeyed within a second, so that both can be tested.
Uses the standard library alone: it lives as long as the node, in a process of a few megabytes.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from proctor_cluster.netpolicy import TABLE, Body, Pod, ruleset

if TYPE_CHECKING:
    from collections.abc import Iterator

_PODS = "/api/v1/pods"
_NAMESPACES = "/api/v1/namespaces"
_POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
_WATCH_SECONDS = 300
_AGAIN_SECONDS = 1.0
_SETTLE_SECONDS = 0.05


class Api:
    """The node's API server, by the administrator's certificate."""

    def __init__(self, address: str, pki: Path) -> None:
        """``address`` is host:port."""
        self._address = address
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def list(self, path: str) -> Body:
        """All objects of a kind, and the version to watch from."""
        body: Body = json.loads(self._get(path, {}).read())
        return body

    def watch(self, path: str, version: str) -> Iterator[Body]:
        """What happens after ``version``, until the server ends it."""
        answer = self._get(path, {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)})
        for line in iter(answer.readline, b""):
            yield json.loads(line)

    def _get(self, path: str, query: dict[str, str]) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(self._address, context=self._tls, timeout=_WATCH_SECONDS + 30)
        connection.request("GET", f"{path}?{urlencode(query)}")
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"{path}: {answer.status} {answer.reason}")
        return answer


class Mirror:
    """The objects of one kind as the API server last told them, kept current by a thread."""

    def __init__(self, api: Api, path: str, changed: threading.Event) -> None:
        """``changed`` is set whenever an object came, went or changed."""
        self._api, self._path, self._changed = api, path, changed
        self._objects: dict[str, Body] = {}
        self.is_filled = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def objects(self) -> list[Body]:
        """A snapshot."""
        return list(self._objects.values())

    def _follow(self) -> None:
        while True:
            try:
                self._follow_once()
            except (OSError, http.client.HTTPException, ValueError) as broken:
                print(f"{self._path}: {broken}", flush=True)
                time.sleep(_AGAIN_SECONDS)

    def _follow_once(self) -> None:
        listed = self._api.list(self._path)
        self._objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        self.is_filled.set()
        self._changed.set()
        for event in self._api.watch(self._path, listed["metadata"]["resourceVersion"]):
            if event["type"] == "ERROR":  # the version is too old: list anew
                return
            uid = event["object"]["metadata"]["uid"]
            # A new dictionary each time: a snapshot that is being read must not change under its reader.
            kept = {key: value for key, value in self._objects.items() if key != uid}
            self._objects = kept if event["type"] == "DELETED" else {**kept, uid: event["object"]}
            self._changed.set()


def main(state: Path) -> None:
    """Never returns; the node's end is its end."""
    node = dict(line.split("=", 1) for line in (state / "node.env").read_text().splitlines())
    api, changed = Api(f"{node['NODE_IP']}:6443", state / "pki"), threading.Event()
    pods, namespaces, policies = (Mirror(api, path, changed) for path in (_PODS, _NAMESPACES, _POLICIES))
    for mirror in (pods, namespaces, policies):
        mirror.is_filled.wait()
    applied = ""
    while True:
        changed.wait(timeout=_AGAIN_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        changed.clear()
        wanted = _rules(pods, namespaces, policies) if _is_on(state) else f"table {TABLE}\ndelete table {TABLE}\n"
        if wanted != applied and _apply(wanted):
            applied = wanted


def _rules(pods: Mirror, namespaces: Mirror, policies: Mirror) -> str:
    addressed = [pod for pod in map(Pod.parse, pods.objects()) if pod is not None]
    labels = {item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in namespaces.objects()}
    return ruleset(addressed, labels, policies.objects())


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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
