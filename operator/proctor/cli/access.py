"""Which API server, as whom, and in which namespace: read from the kubeconfig as kubectl reads it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from proctor.cli.errors import CliError, Denied, Misused, NotFound, Refused

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Wanted:
    """What the command line says of the cluster. None: as the kubeconfig says."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Access:
    """A client of the official library, and the namespace that is meant when none is named."""

    client: Any
    namespace: str


def open_access(wanted: Wanted) -> Access:
    """The way into the cluster. Reads files, may run the kubeconfig's credential plugin, asks nothing of the server.

    Raises CliError, which names the file or the context that is missing.
    """
    files = str(wanted.kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not any(Path(each).is_file() for each in files.split(os.pathsep)):
        return _inside_a_pod(wanted, files)
    return _by_kubeconfig(wanted, files)


def _by_kubeconfig(wanted: Wanted, files: str) -> Access:
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException
    from yaml import YAMLError

    configuration = client.Configuration()
    try:
        contexts, current = config.list_kube_config_contexts(files)  # type: ignore[no-untyped-call]
        chosen = (
            next((each for each in contexts if each["name"] == wanted.context), None) if wanted.context else current
        )
        if chosen is None:
            known = ", ".join(sorted(each["name"] for each in contexts)) or "none"
            raise Misused(f"kubeconfig {files} has no context {wanted.context}; it has: {known}")
        config.load_kube_config(  # type: ignore[no-untyped-call]
            files, wanted.context, configuration, persist_config=False
        )
    except (ConfigException, YAMLError, OSError) as exc:
        raise CliError(
            f"kubeconfig {files} cannot be used: {exc}", "kubectl config view    shows what kubectl makes of it"
        ) from exc
    return Access(client.ApiClient(configuration), wanted.namespace or chosen["context"].get("namespace") or "default")


def _inside_a_pod(wanted: Wanted, files: str) -> Access:
    from kubernetes import client, config

    if wanted.kubeconfig or wanted.context or not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise CliError(
            f"there is no kubeconfig: {files} does not exist",
            "export KUBECONFIG=FILE, or name one with --kubeconfig FILE",
        )
    configuration = client.Configuration()
    config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    own = _IN_POD.read_text(encoding="utf-8").strip() if _IN_POD.is_file() else "default"
    return Access(client.ApiClient(configuration), wanted.namespace or own)


def refuse(status: int, body: bytes, about: str) -> NoReturn:
    """Raise what the API server's refusal means to a person."""
    said = _said(body)
    match status:
        case 401:
            raise Denied(
                f"{about}: the API server does not accept this kubeconfig's credential",
                "kubectl auth whoami    shows as whom the API server sees you",
            )
        case 403:
            rule, _, why = said.partition(" denied request: ")
            if why and "ValidatingAdmissionPolicy" in rule:
                # A rule of the installation: no Role helps against it.
                raise Denied(f"{about}: {why}")
            role = "ClusterRole" if said.endswith("at the cluster scope") else "Role"
            raise Denied(f"{about}: {said}", f"ask for a {role} with that verb on that resource")
        case 404 if "could not find the requested resource" in said or not body.lstrip().startswith(b"{"):
            raise NotFound(
                f"{about}: the API server does not know this kind",
                "kubectl apply --server-side -k manifests/crds    installs proctor's kinds",
            )
        case 404:
            raise NotFound(f"there is no {about}", *_elsewhere(said))
        case 400 | 422:
            raise Refused(f"{about}: {said}", _causes(body))
        case _:
            raise CliError(f"{about}: the API server answered {status}: {said}")


def _elsewhere(said: str) -> tuple[str, ...]:
    """The API server says what is missing; of interest where that is not the object itself, as the namespace."""
    return (said,) if said.startswith("namespaces ") else ()


def _causes(body: bytes) -> tuple[tuple[str, str], ...]:
    try:
        causes = json.loads(body).get("details", {}).get("causes", [])
    except (ValueError, AttributeError):
        return ()
    return tuple((str(each.get("field", "")), str(each.get("message", ""))) for each in causes)


def _said(body: bytes) -> str:
    try:
        status = json.loads(body)
        return str(status.get("message", ""))
    except (ValueError, AttributeError):
        return body.decode(errors="replace")[:300].strip()
