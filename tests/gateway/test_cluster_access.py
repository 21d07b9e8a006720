"""Where the API server is, and by what it knows us: in a pod, and outside of one."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from proctor_gateway.cluster.access import NoCluster, TokenFile, found, of_kubeconfig

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    """A certificate and its key, in PEM."""
    key, name = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1)).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    certificate = built.sign(key, None).public_bytes(Encoding.PEM)
    return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def kubeconfig(directory: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """A file with one context."""
    path = directory / "config"
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_asks_by_address_with_its_own_token(tmp_path: Path, pair, host, server):
    """By address, so that it goes on while the cluster's DNS does not; trusting the cluster's authority alone."""
    (tmp_path / "ca.crt").write_bytes(pair[0])
    (tmp_path / "token").write_text("mine\n")
    access = found({**IN_A_POD, "KUBERNETES_SERVICE_HOST": host}, tmp_path)
    assert (access.server, access.headers) == (server, {"authorization": "Bearer mine"})
    assert access.tls is not None
    assert access.tls.verify_mode is ssl.CERT_REQUIRED
    assert len(access.tls.get_ca_certs()) == 1


def test_a_token_is_read_again(tmp_path: Path):
    """Once a minute; the last one is used on where the file cannot be read."""
    file, seconds = tmp_path / "token", [0.0]
    file.write_text("first")
    token = TokenFile(file, lambda: seconds[0])
    said = [token()]
    file.write_text("second")
    for seconds[0] in (59.0, 61.0):
        said.append(token())
    file.unlink()
    seconds[0] = 200.0
    assert [*said, token()] == ["first", "first", "second", "second"]


def test_a_kubeconfig_is_asked_outside_of_a_pod(tmp_path: Path, pair):
    """Its authority, its certificate, its token: in the file, or in files beside it."""
    (tmp_path / "key.pem").write_bytes(pair[1])
    inline = base64.b64encode(pair[0]).decode()
    user = {"client-certificate-data": inline, "client-key": "key.pem", "token": "mine"}
    path = kubeconfig(tmp_path, {"certificate-authority-data": inline}, user)
    access = found({"KUBECONFIG": str(path)}, tmp_path / "nowhere")
    assert (access.server, access.headers) == ("https://api:6443", {"authorization": "Bearer mine"})
    assert access.tls is not None
    assert len(access.tls.get_ca_certs()) == 1


def test_a_server_is_left_unproven_only_if_that_is_said(tmp_path: Path):
    """`insecure-skip-tls-verify`."""
    for said, mode in ((False, ssl.CERT_REQUIRED), (True, ssl.CERT_NONE)):
        access = of_kubeconfig(kubeconfig(tmp_path, {"insecure-skip-tls-verify": said}, {}))
        assert access.tls is not None
        assert access.tls.verify_mode is mode


def test_credentials_that_a_program_makes_are_refused(tmp_path: Path):
    """Rather than to ask without any."""
    with pytest.raises(NoCluster, match="made by a program"):
        of_kubeconfig(kubeconfig(tmp_path, {}, {"exec": {"command": "aws"}}))


@pytest.mark.parametrize("text", [None, "", "{]", "a: b", "current-context: x\ncontexts: []"])
def test_without_a_cluster_that_is_said(tmp_path: Path, text):
    """No file, no YAML, no context."""
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NoCluster, match="no kubeconfig"):
        found({"KUBECONFIG": str(path)}, tmp_path)
