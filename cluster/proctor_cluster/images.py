"""The images of the programs: built when what goes in has changed, and brought to a cluster that lacks them."""

from __future__ import annotations

import hashlib
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proctor_cluster import archives, kind, node, packages
from proctor_cluster.engines import ROOT, Buildah, Docker, Engine
from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proctor_cluster.cluster import Cluster
    from proctor_cluster.settings import Settings


@dataclass(frozen=True)
class Image:
    """One target of the Dockerfile, and the directories of our own code that it copies."""

    target: str
    code: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name by which the manifests know it."""
        return f"proctor-{self.target}"


IMAGES = (
    Image("control", ("operator/proctor", "runtime/proctor_gateway")),
    Image("agent", ("runtime/proctor_agent",)),
    Image("demo", ("demo/proctor_demo",)),
)
_LIBRARY_FILES = ("Dockerfile", ".dockerignore", "uv.lock", "cluster/images/uv.txt", "cluster/images/finish")


def build(settings: Settings) -> dict[str, str]:
    """Build what has changed; return name → reference. The tag is a hash of what goes in: same tree, same tag, no work.

    Raises ClusterError when neither docker nor buildah can be used.
    """
    engine = _engine(settings)
    return {image.name: _build_one(engine, image) for image in IMAGES}


def deliver(settings: Settings, cluster: Cluster, references: dict[str, str]) -> dict[str, str]:
    """Bring the images to the cluster; return name → the reference to use in its manifests."""
    engine = _engine(settings)
    if cluster.provider == "explicit":
        return {name: _push(settings, engine, reference) for name, reference in references.items()}
    held = node.images(settings) if cluster.provider == "node" else kind.images(settings)
    for reference in references.values():
        if reference not in held:
            with progress(f"loading {reference}"), tempfile.TemporaryDirectory(dir=settings.cache) as scratch:
                _load(settings, cluster, engine, reference, Path(scratch))
    return references


def _engine(settings: Settings) -> Engine:
    if kind.engine_problem() is None:
        return Docker()
    lacking = packages.absent(packages.IMAGES)
    if lacking and not packages.can_install():
        needed = ", ".join(tool.package for tool in lacking)
        raise ClusterError(f"images need a container engine that answers, or as root the Debian packages {needed}")
    packages.install(lacking)
    return Buildah(settings.cache.absolute() / "images")


def _build_one(engine: Engine, image: Image) -> str:
    libraries = libraries_hash(ROOT, engine.base_hash())
    reference = f"localhost/{image.name}:{code_hash(ROOT, image, libraries)}"
    started = time.monotonic()
    if engine.has(reference):
        what = "unchanged"
    else:
        with progress(f"building {image.name}"):
            _build_target(engine, image, reference, libraries)
        what = f"built in {time.monotonic() - started:.1f} s"
    say(f"{reference}  {engine.size(reference) / 1e6:.0f} MB  {what}")
    return reference


def _build_target(engine: Engine, image: Image, reference: str, libraries: str) -> None:
    if isinstance(engine, Docker):
        engine.build(image.target, reference, {})
        return
    # buildah hashes all libraries again whenever a stage copies them: an image of their own spares it the seconds.
    runtime = f"localhost/{image.name}-runtime:{libraries}"
    if not engine.has(runtime):
        engine.build(f"{image.target}-runtime", runtime, {})
    engine.build(image.target, reference, {image.target.upper(): runtime})


def _load(settings: Settings, cluster: Cluster, engine: Engine, reference: str, scratch: Path) -> None:
    whole = scratch / "image.tar"
    engine.archive(reference, whole)
    if cluster.provider == "kind":
        kind.load(settings, whole)
        return
    lacking = scratch / "lacking.tar"
    archives.write_lacking(whole, reference, node.blobs(settings), lacking)
    node.load(settings, lacking)


def _push(settings: Settings, engine: Engine, reference: str) -> str:
    if settings.registry is None:
        raise ClusterError("this cluster pulls images from a registry: set PROCTOR_REGISTRY to one it can reach")
    destination = f"{settings.registry}/{reference.removeprefix('localhost/')}"
    with progress(f"pushing {destination}"):
        engine.push(reference, destination)
    return destination


def libraries_hash(root: Path, base: str) -> str:
    """Changes with all that the libraries of the images are made of; ``base`` says which base images."""
    # Of pyproject.toml only what names the libraries: a changed lint rule must not rebuild them.
    requirements = repr(tomllib.loads((root / "pyproject.toml").read_text())["project"])
    return _hash([base, requirements, *_digests(root, _LIBRARY_FILES)])


def code_hash(root: Path, image: Image, libraries: str) -> str:
    """Changes with all that one image is made of."""
    return _hash([libraries, *_digests(root, image.code)])


def _digests(root: Path, names: Sequence[str]) -> Iterator[str]:
    for path in (root / name for name in names):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield f"{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
