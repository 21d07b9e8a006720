"""What the API server makes of an object on its way in: defaults, quantities in their canonical form, refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.sim.cluster.kinds import Body

_CPU = re.compile(r"^([0-9]+)\.([0-9]+)$")


def defaulted(body: Body) -> Body:
    """The object with what the API server adds to it."""
    make = _DEFAULTS.get(body["kind"])
    return make(body) if make else body


def refusals(before: Body | None, after: Body) -> Iterator[str]:
    """Why the API server would not store this version of the object."""
    if before is None:
        return
    for kind, path, unless in _IMMUTABLE:
        if body_is(before, kind) and not unless(before) and _at(before, path) != _at(after, path):
            yield f"{'.'.join(path)}: Invalid value: field is immutable"


def body_is(body: Body, kind: str) -> bool:
    """Whether the object is of the kind."""
    return bool(body["kind"] == kind)


def _never(_: Body) -> bool:
    return False


_IMMUTABLE: tuple[tuple[str, tuple[str, ...], Callable[[Body], bool]], ...] = (
    ("ConfigMap", ("data",), lambda body: not body.get("immutable")),
    ("ControllerRevision", ("data",), _never),
    ("Deployment", ("spec", "selector"), _never),
    ("Pod", ("spec",), _never),
)


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for each in path:
        body = body.get(each, {})
    return body


def _deployment(body: Body) -> Body:
    spec = {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, "replicas": 1, **body["spec"]}
    template = spec["template"]
    return {**body, "spec": {**spec, "template": {**template, "spec": pod_spec(template["spec"])}}}


def _pod(body: Body) -> Body:
    return {**body, "spec": pod_spec(body["spec"])}


_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")


def pod_spec(spec: Body) -> Body:
    """A pod's spec with its defaults."""
    return {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        **spec,
        "containers": [_container(each) for each in spec["containers"]],
        "volumes": [_volume(each) for each in spec.get("volumes", ())],
    }


def _container(container: Body) -> Body:
    probes: Body = {key: _probe(container[key]) for key in _PROBES if key in container}
    resources = {name: _amounts(each) for name, each in container.get("resources", {}).items()}
    return {
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **container,
        **probes,
        "resources": resources,
    }


def _probe(probe: Body) -> Body:
    http = {"scheme": "HTTP", **probe["httpGet"]} if "httpGet" in probe else {}
    return {"periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3, **probe, "httpGet": http}


def _amounts(amounts: Body) -> Body:
    return {name: _canonical(amount) for name, amount in amounts.items()}


def _canonical(amount: str) -> str:
    """0.5 is kept as 500m, and 1000m as 1, as the real one does."""
    if found := _CPU.match(amount):
        return f"{int(found[1]) * 1000 + int(found[2].ljust(3, '0')[:3])}m"
    if amount.endswith("000m"):
        return amount.removesuffix("000m")
    return amount


def _volume(volume: Body) -> Body:
    if "configMap" in volume:
        return {**volume, "configMap": {"defaultMode": 420, **volume["configMap"]}}
    return volume


_DEFAULTS: dict[str, Callable[[Body], Body]] = {"Deployment": _deployment, "Pod": _pod}
