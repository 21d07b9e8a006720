"""People of a cluster: each is known to the API server by a certificate of their own, as in any installation."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proctor_cluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

    from proctor_cluster.cluster import Cluster

_VALID_SECONDS = 3600
_SIGN_SECONDS = 30


@dataclass(frozen=True)
class Person:
    """Somebody with a kubeconfig of their own."""

    name: str
    kubeconfig: Path


def person(cluster: Cluster, name: str, group: str, directory: Path) -> Person:
    """A person of that name and group: the cluster signs a certificate that is good for an hour.

    Raises ClusterError when it does not.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    certificate = _signed(cluster, f"proctor-demo-{name}", request.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / f"{name}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(_kubeconfig(cluster, name, certificate, base64.b64encode(private).decode()))
    return Person(name, path)


def _signed(cluster: Cluster, name: str, request: bytes) -> str:
    """The certificate, as base64."""
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "expirationSeconds": _VALID_SECONDS,
            "usages": ["client auth"],
        },
    }
    cluster.kubectl("delete", "csr", name, "--ignore-not-found")
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        cluster.kubectl("certificate", "approve", name)
        until = time.monotonic() + _SIGN_SECONDS
        while time.monotonic() < until:
            found = cluster.kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")
            if found:
                return found
            time.sleep(0.2)
    finally:
        cluster.kubectl("delete", "csr", name, "--ignore-not-found")
    raise ClusterError(f"the cluster signs no certificate for {name}: its signer kubernetes.io/kube-apiserver-client")


def _kubeconfig(cluster: Cluster, name: str, certificate: str, key: str) -> str:
    words = ("config", "view", "--minify", "--raw", "--flatten", "-o", "json")
    admin = json.loads(cluster.kubectl(*words))
    place = admin["clusters"][0]
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [place],
        "users": [{"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": name, "context": {"cluster": place["name"], "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(body)
