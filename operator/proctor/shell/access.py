"""The way to the API server, the same for requests and watches: the pod's own ServiceAccount, or else a kubeconfig."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import kopf

from proctor.shell.errors import ProctorError

_TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_TOKEN_SECONDS = 60.0
"""The kubelet replaces a token long before its end: a minute late is early enough."""


def connection(kubeconfig: str | None = None) -> kopf.ConnectionInfo:
    """Where the API server is, and by what it knows us. Raises ProctorError when there is neither of the two."""
    settings = kopf.OperatorSettings()
    if kubeconfig is None and (found := kopf.login_with_service_account(settings=settings)):
        return _by_address(found)
    if kubeconfig is not None:
        os.environ["KUBECONFIG"] = kubeconfig
    outside = kopf.login_with_kubeconfig(settings=settings)
    if outside is None:
        raise ProctorError("neither in a pod with a ServiceAccount, nor is there a kubeconfig: set KUBECONFIG")
    return outside


def _by_address(found: kopf.ConnectionInfo) -> kopf.ConnectionInfo:
    # The kubelet tells every container the address: without it, nothing would go on while the cluster's DNS is down.
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return found
    return dataclasses.replace(found, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


class Credentials:
    """The headers by which the API server knows us, with a token that may be replaced while we run."""

    def __init__(self, info: kopf.ConnectionInfo, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._info = info
        self._monotonic = monotonic
        self._read_at = monotonic()
        self._is_of_pod = info.token is not None and info.token == _token_of_pod()

    def headers(self) -> dict[str, str]:
        """For the next request."""
        if self._is_of_pod and self._monotonic() - self._read_at > _TOKEN_SECONDS:
            self._info = dataclasses.replace(self._info, token=_token_of_pod())
            self._read_at = self._monotonic()
        return self._info.as_http_headers()


def _token_of_pod() -> str | None:
    try:
        return _TOKEN_FILE.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
