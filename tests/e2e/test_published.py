"""What we publish works: the demo, the samples, the manifests in the documentation, the install page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proctor_cluster import install
from proctor_cluster.settings import Settings
from tests.e2e.conftest import Installed

_ROOT = install.ROOT
_PAGES = sorted([_ROOT / "README.md", _ROOT / "operator" / "README.md", *(_ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^( *)```ya?ml\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def _manifests() -> Iterator[tuple[str, str]]:
    """Each whole manifest that a page shows, under the page's name and its place in it."""
    for page in _PAGES:
        for place, found in enumerate(_FENCE.finditer(page.read_text())):
            text = re.sub(f"^{found[1]}", "", found[2], flags=re.MULTILINE)
            if all(_is_ours(each) for each in _parts(text)):
                yield f"{page.relative_to(_ROOT)}-{place}", text


def _is_ours(part: object) -> bool:
    """A whole manifest that this cluster can know: not one of Flux, Argo CD or the Gateway API."""
    if not isinstance(part, dict) or not {"apiVersion", "kind"} <= set(part):
        return False
    group = str(part["apiVersion"]).partition("/")[0]
    return not group.endswith(("fluxcd.io", "argoproj.io", "gateway.networking.k8s.io"))


def _parts(text: str) -> list[object]:
    try:
        return list(yaml.safe_load_all(text)) or [None]
    except yaml.YAMLError:
        return [None]


_SHOWN = dict(_manifests())


def test_the_demo_ends_well(cluster: Installed, settings: Settings) -> None:
    """`make demo` on this cluster exits 0: the answer, the row, the payment, the cost, three upgrades."""
    command = [sys.executable, "-m", "proctor_cluster", "demo", "--name", settings.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, cwd=_ROOT, check=False)
    # Its agent has steps and an exam that the sample of the other tests has not.
    cluster.kubectl("-n", "support", "delete", "agent", "refunds", "--ignore-not-found", "--wait")
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    for word in (
        '"decision": "approve"',
        '"decision": "escalate"',
        "greta.jensen",
        '"payment_id"',
        "Cost: 0.0",
        "Failed: ",
        "RolledBack: ",
        "Promoted: ",
        "make down",
    ):
        assert word in told, f"{word} is missing in: {told}"


@pytest.mark.parametrize("place", _SHOWN)
def test_a_manifest_in_the_documentation_is_accepted(cluster: Installed, place: str) -> None:
    """The API server takes, in strict validation, what a page tells people to apply."""
    for namespace in ("support", "shop"):
        cluster.kubectl(
            "apply", "-f", "-", stdin=f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
        )
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=_SHOWN[place])


def test_the_documentation_has_manifests() -> None:
    """The pages are really searched."""
    assert any(place.startswith("README.md") for place in _SHOWN)
    assert any(place.startswith("docs/rbac.md") for place in _SHOWN)


def test_the_overlay_of_the_install_page_builds(cluster: Installed, tmp_path: Path) -> None:
    """The overlay that the page shows sets all images: none keeps the name that only a build knows."""
    page = (_ROOT / "docs" / "install.md").read_text()
    overlay = next(found[2] for found in _FENCE.finditer(page) if "kustomization.yaml" in found[2])
    inner = _ROOT / "manifests" / "overlays" / f"test-{tmp_path.name}"
    inner.mkdir(parents=True)
    try:
        (inner / "kustomization.yaml").write_text(re.sub("^   ", "", overlay, flags=re.MULTILINE))
        built = cluster.kubectl("kustomize", str(inner))
    finally:
        (inner / "kustomization.yaml").unlink()
        inner.rmdir()
    images = {
        container["image"]
        for each in yaml.safe_load_all(built)
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry.example.com/proctor-control:1"}
    assert "value: registry.example.com/proctor-agent:1" in built
