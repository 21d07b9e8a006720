"""One cluster and one installation for a run, a namespace of its own for each test, and a look around when one fails.

Without a cluster these tests are skipped, with the reason; under CI=true they fail, so that a green run proves them.
PROCTOR_CLUSTER names the cluster (test). One that this run started is removed at its end, unless PROCTOR_KEEP=1.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import kubernetes
import pytest

from proctor_cluster import clusters, diagnosis, install
from proctor_cluster import images as image_builds
from proctor_cluster.cluster import Cluster
from proctor_cluster.errors import NoClusterError
from proctor_cluster.settings import Settings

_HERE = Path(__file__).parent
_TEST_SECONDS = 300
_NAMESPACES = pytest.StashKey[list[str]]()
_CLUSTER = pytest.StashKey[Cluster]()


@dataclass(frozen=True)
class Installed:
    """A cluster with proctor in it."""

    cluster: Cluster
    images: dict[str, str]
    client: kubernetes.client.ApiClient

    @property
    def kubeconfig(self) -> Path:
        """The way in, for programs that take a file."""
        return self.cluster.kubeconfig

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float | None = 60) -> str:
        """Run kubectl and return its standard output. Raises CommandError."""
        return self.cluster.kubectl(*args, stdin=stdin, timeout=timeout)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a cluster; the time to get one is not the first test's time."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TEST_SECONDS, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test's report carries the pods, events, logs and objects of its namespaces and of proctor's own."""
    report = yield
    cluster = item.session.stash.get(_CLUSTER, None)
    if report.failed and cluster is not None:
        namespaces = [*item.stash.get(_NAMESPACES, []), install.NAMESPACE]
        report.sections.append(("the cluster", diagnosis.report(cluster, namespaces)))
    return report


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The cluster that this run uses."""
    return Settings.read(name=os.environ.get("PROCTOR_CLUSTER") or "test")


@pytest.fixture(scope="session")
def bare_cluster(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster, found or started, whatever is installed in it."""
    try:
        was_running = clusters.find(settings).offer.is_running
    except NoClusterError as nowhere:
        if os.environ.get("CI") == "true":
            pytest.fail(str(nowhere), pytrace=False)
        pytest.skip(str(nowhere))
    try:
        cluster = clusters.up(settings)
        request.session.stash[_CLUSTER] = cluster
        yield cluster
    finally:
        if not was_running and os.environ.get("PROCTOR_KEEP") != "1":
            clusters.down(settings)


@pytest.fixture(scope="session")
def images(settings: Settings, bare_cluster: Cluster) -> dict[str, str]:
    """The images of this tree by name, in the cluster. Their Python is a tool for tests that need a pod."""
    return image_builds.deliver(settings, bare_cluster, image_builds.build(settings))


@pytest.fixture(scope="session")
def cluster(settings: Settings, bare_cluster: Cluster) -> Iterator[Installed]:
    """The cluster with proctor in it, as this tree builds it."""
    _, images = install.install(settings)
    api = kubernetes.config.new_client_from_config(str(bare_cluster.kubeconfig), bare_cluster.context)
    with api:
        yield Installed(bare_cluster, images, api)


@pytest.fixture
def new_namespace(bare_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Makes namespaces for this test: ``new_namespace(label="value")`` returns a name. All go when the test ends."""
    made: list[str] = []
    request.node.stash[_NAMESPACES] = made

    def make(**labels: str) -> str:
        name = f"{_slug(request.node.name)}-{uuid.uuid4().hex[:8]}"
        bare_cluster.kubectl("create", "namespace", name)
        made.append(name)
        for key, value in labels.items():
            bare_cluster.kubectl("label", "namespace", name, f"{key}={value}")
        return name

    yield make
    for name in made:
        bare_cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def namespace(new_namespace: Callable[..., str]) -> str:
    """A namespace of this test's own."""
    return new_namespace()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")


@pytest.fixture(scope="module")
def operator_away(bare_cluster: Cluster) -> Iterator[None]:
    """While a module runs, no operator and no admission policy minds what its tests write to a status."""
    guard = "validatingadmissionpolicybinding/proctor-approval-votes"
    was_there = bare_cluster.kubectl("get", guard, "-o", "name", "--ignore-not-found")
    bare_cluster.kubectl("delete", guard, "--ignore-not-found")
    try:
        yield from _without_operator(bare_cluster)
    finally:
        if was_there:
            bare_cluster.kubectl("apply", "-f", str(_HERE.parents[1] / "manifests" / "base" / "approvals.yaml"))


def _without_operator(bare_cluster: Cluster) -> Iterator[None]:
    deployment = ("-n", install.NAMESPACE, "deployment/proctor-operator")
    found = bare_cluster.kubectl("-n", install.NAMESPACE, "get", "deployments", "-o", "name", "--ignore-not-found")
    if "proctor-operator" not in found:
        yield
        return
    bare_cluster.kubectl("scale", *deployment, "--replicas=0")
    selector = "app.kubernetes.io/name=proctor-operator"
    bare_cluster.kubectl("-n", install.NAMESPACE, "wait", "--for=delete", "pod", "-l", selector, "--timeout=60s")
    yield
    bare_cluster.kubectl("scale", *deployment, "--replicas=1")
    bare_cluster.kubectl("rollout", "status", *deployment, "--timeout=120s")
