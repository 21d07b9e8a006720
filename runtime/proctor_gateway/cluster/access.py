"""The way to the API server: the pod's own ServiceAccount, or else the current context of a kubeconfig.

Of a kubeconfig it knows certificates and tokens. Programs that make credentials are not run: a gateway that needs them
is not in its cluster.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_OF_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_SECONDS: Final = 60.0
"""The kubelet replaces a token long before its end: a minute late is early enough."""


class NoCluster(Exception):  # noqa: N818 - a fact about where we are
    """There is no API server to talk to. The text says what is missing, never what a credential is."""


@dataclass(frozen=True)
class Access:
    """Where the API server is, how it proves itself, and the token by which it knows us, for it may be replaced."""

    server: str
    tls: ssl.SSLContext | None = None
    token: Callable[[], str | None] = lambda: None

    @property
    def headers(self) -> dict[str, str]:
        """For the next request."""
        token = self.token()
        return {"authorization": f"Bearer {token}"} if token else {}


class TokenFile:
    """A token in a file, read again once a minute."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._token: str | None = None

    def __call__(self) -> str | None:
        """The token as it was a minute ago at most; as it was last, if it cannot be read."""
        now = self._monotonic()
        if now - self._read_at > _TOKEN_SECONDS:
            with contextlib.suppress(OSError):
                self._token = self._path.read_text(encoding="utf-8").strip() or self._token
            self._read_at = now
        return self._token


def found(environment: Mapping[str, str], of_pod: Path = _OF_POD) -> Access:
    """The API server of the cluster we are in, or that of the kubeconfig. Raises NoCluster."""
    host, token = environment.get("KUBERNETES_SERVICE_HOST"), of_pod / "token"
    if host and token.is_file():
        port = environment.get("KUBERNETES_SERVICE_PORT", "443")
        tls = ssl.create_default_context(cafile=str(of_pod / "ca.crt"))
        return Access(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", tls, TokenFile(token))
    path = Path(environment.get("KUBECONFIG") or Path.home() / ".kube" / "config").expanduser()
    return of_kubeconfig(path)


def of_kubeconfig(path: Path) -> Access:
    """The API server of the file's current context. Raises NoCluster."""
    import yaml  # only outside of a cluster

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        server = str(cluster["server"]).rstrip("/")
    except (OSError, yaml.YAMLError, LookupError, TypeError) as exc:
        raise NoCluster(f"not in a pod with a ServiceAccount, and {path} is no kubeconfig with a context") from exc
    if user.get("exec") or user.get("auth-provider"):
        raise NoCluster(f"{path}: the user's credentials are made by a program, which is not run here")
    return Access(server, _tls(path.parent, cluster, user) if server.startswith("https:") else None, _token(path, user))


def _named(items: Any, name: str) -> Any:
    return {each["name"]: each for each in items}[name]


def _token(path: Path, user: Mapping[str, Any]) -> Callable[[], str | None]:
    if user.get("tokenFile"):
        return TokenFile(path.parent / user["tokenFile"])
    token = user.get("token")
    return lambda: token


def _tls(base: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _content(base, cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate, key = _content(base, user, "client-certificate"), _content(base, user, "client-key")
    if certificate and key:
        # The library takes them from a file alone, which only we can read and which is gone at once.
        with tempfile.NamedTemporaryFile() as both:
            both.write(certificate + b"\n" + key)
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _content(base: Path, entry: Mapping[str, Any], name: str) -> bytes | None:
    inline = entry.get(f"{name}-data")
    if inline:
        return base64.b64decode(inline)
    return (base / entry[name]).read_bytes() if entry.get(name) else None
