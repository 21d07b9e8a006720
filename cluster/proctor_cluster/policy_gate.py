"""The last plugin of the node's CNI chain: no container starts before the firewall knows its pod.

Without it a pod could speak for the second or so that the API server takes to tell the enforcer the pod's address. It
asks the enforcer over a socket, named in its configuration, and waits. No answer is an error: the pod does not start,
and the kubelet tries again. Run by the container runtime as a program of its own: the standard library alone.
"""

from __future__ import annotations

import json
import os
import socket
import sys

_VERSIONS = ["0.4.0", "1.0.0", "1.1.0"]
_WAIT_SECONDS = 10.0


def main() -> int:
    """Speak the container network interface: the command in the environment, the configuration on standard input."""
    command = os.environ.get("CNI_COMMAND")
    if command == "VERSION":
        print(json.dumps({"cniVersion": _VERSIONS[-1], "supportedVersions": _VERSIONS}))
    if command != "ADD":
        return 0
    configuration = json.load(sys.stdin)
    earlier = configuration["prevResult"]
    pod = dict(word.split("=", 1) for word in os.environ.get("CNI_ARGS", "").split(";") if "=" in word)
    try:
        _wait_for_rules(configuration["socket"], pod, earlier["ips"][0]["address"].partition("/")[0])
    except (OSError, KeyError) as silent:
        why = f"the network policy enforcer does not answer: {silent}"
        print(json.dumps({"cniVersion": configuration["cniVersion"], "code": 11, "msg": why}))
        return 1
    print(json.dumps(earlier))
    return 0


def _wait_for_rules(address: str, pod: dict[str, str], ip: str) -> None:
    asked = {"namespace": pod["K8S_POD_NAMESPACE"], "name": pod["K8S_POD_NAME"], "ip": ip}
    with socket.socket(socket.AF_UNIX) as enforcer:
        enforcer.settimeout(_WAIT_SECONDS)
        enforcer.connect(address)
        enforcer.sendall(json.dumps(asked).encode() + b"\n")
        if enforcer.recv(16) != b"ok\n":
            raise OSError("no rules yet")


if __name__ == "__main__":
    raise SystemExit(main())
