"""As whom a task is sent: the kubeconfig's own user, or a ServiceAccount for which this user may ask for tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import httpx2

from proctor.api import names
from proctor.cli.cluster import Cluster
from proctor.cli.errors import Denied, Misused, NotFound
from proctor.cli.resources import SERVICE_ACCOUNTS

_SECONDS = 600
_RENEW_AFTER = _SECONDS * 0.8


@dataclass(frozen=True)
class Identity:
    """Who asks. `token` gives a token that is valid now."""

    who: str
    caller: str
    """What to add to `spec.access.callers`, as YAML on one line."""
    token: Callable[[], str]


class Bearer(httpx2.Auth):
    """Shows the identity's token to the gateway, and gets a new one in time."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._token = ""
        self._since = float("-inf")

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """One header. A token is asked for before the first request, and again before it expires."""
        if time.monotonic() - self._since > _RENEW_AFTER:
            self._token, self._since = self._identity.token(), time.monotonic()
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def choose(cluster: Cluster, namespace: str, wanted: str | None, *, is_private: bool) -> Identity:
    """The identity for an agent in `namespace`.

    `wanted` is NS/NAME or NAME. Without it the kubeconfig's token is shown, but only on a private way: it opens the
    whole API server, and who reads it on an open one could use it there. A ServiceAccount's is good for the gateway
    alone, and for ten minutes.
    """
    if wanted is None and is_private and cluster.bearer():
        return Identity("the kubeconfig's user", "user: NAME    # kubectl auth whoami", lambda: cluster.bearer() or "")
    place, _, name = (wanted or "default").rpartition("/")
    place = place or namespace
    if not name or "/" in place:
        raise Misused(f"--service-account {wanted}: it must be NAMESPACE/NAME or NAME")
    return Identity(
        who=f"ServiceAccount {place}/{name}",
        caller=f"serviceAccount: {{namespace: {place}, name: {name}}}",
        token=lambda: _token(cluster, place, name),
    )


def _token(cluster: Cluster, namespace: str, name: str) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [names.AUDIENCE], "expirationSeconds": _SECONDS},
    }
    about = f"ServiceAccount {namespace}/{name}"
    try:
        issued = cluster.send("POST", f"{SERVICE_ACCOUNTS.path(namespace, name)}/token", body, about)
    except Denied as denied:
        raise Denied(
            f"you may not ask for a token of {about}: {denied.message}",
            f"kubectl create role ask-as-{name} -n {namespace} --verb=create --resource=serviceaccounts/token "
            f"--resource-name={name}    and bind it to yourself",
            "or name another one: --service-account NAMESPACE/NAME",
        ) from denied
    except NotFound as absent:
        raise NotFound(absent.message, "name one that exists: --service-account NAMESPACE/NAME") from absent
    return str(issued["status"]["token"])
