"""The two programs that can build images: docker, where its engine answers, and buildah, which needs none."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proctor_cluster import base
from proctor_cluster.command import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
_STEP = "<none>"  # how buildah shows an image that is a step of a build
_KEPT_IMAGES = 5
_KEPT_STEPS = 60
_CA_INSIDE = "/etc/ssl/certs/ca-certificates.crt"


class Engine(Protocol):
    """Builds and keeps images. References are ``name:tag``."""

    def base_hash(self) -> str:
        """Changes when the base images change."""

    def has(self, reference: str) -> bool:
        """Whether the image is there already."""

    def build(self, target: str, reference: str, arguments: Mapping[str, str]) -> None:
        """Build one stage of the Dockerfile. Raises CommandError with the end of what the build said."""

    def archive(self, reference: str, path: Path) -> None:
        """Write the image as a docker archive."""

    def push(self, reference: str, destination: str) -> None:
        """Push the image to a registry, with the credentials that the program finds by itself."""

    def size(self, reference: str) -> int:
        """Bytes of all layers, not compressed."""


class Docker:
    """``docker build`` with BuildKit; base images come from the public registry."""

    def base_hash(self) -> str:  # noqa: D102
        return "docker"

    def has(self, reference: str) -> bool:  # noqa: D102
        return bool(run(["docker", "image", "ls", "-q", reference]).strip())

    def build(self, target: str, reference: str, arguments: Mapping[str, str]) -> None:  # noqa: D102
        words = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        run(["docker", "build", "--target", target, "-t", reference, *words, ROOT], env={"DOCKER_BUILDKIT": "1"})

    def archive(self, reference: str, path: Path) -> None:  # noqa: D102
        run(["docker", "save", "-o", path, reference])

    def push(self, reference: str, destination: str) -> None:  # noqa: D102
        run(["docker", "tag", reference, destination])
        run(["docker", "push", destination])

    def size(self, reference: str) -> int:  # noqa: D102
        return int(run(["docker", "image", "inspect", "-f", "{{.Size}}", reference]))


class Buildah:
    """buildah with a storage of its own, on base images made here: no container engine and no image registry."""

    def __init__(self, home: Path) -> None:
        """``home`` keeps the storage and the base images; removing it removes all of them."""
        self._home = home
        self._program = ["buildah", "--root", str(home / "storage"), "--runroot", str(home / "run")]

    def base_hash(self) -> str:  # noqa: D102
        return "-".join(map(base.recipe_hash, base.RECIPES))

    def has(self, reference: str) -> bool:  # noqa: D102
        try:
            self._run("inspect", "--type", "image", reference)
        except CommandError:
            return False
        return True

    def build(self, target: str, reference: str, arguments: Mapping[str, str]) -> None:  # noqa: D102
        # One build at a time: a second one of the same then has nothing left to do.
        with self._one_at_a_time():
            if not self.has(reference):
                self._build(target, reference, arguments)
                self._forget_old()

    def _build(self, target: str, reference: str, arguments: Mapping[str, str]) -> None:
        bases = {"BASE": self._base("runtime"), "BUILDER": self._base("builder")}
        words = [f"--build-arg={key}={value}" for key, value in {**bases, **arguments}.items()]
        # The build talks to the package index as this machine does: over its network, trusting what it trusts.
        trusted = os.environ.get("SSL_CERT_FILE", _CA_INSIDE)
        self._run(
            "build",
            "--layers",
            "--isolation=chroot",
            "--network=host",
            f"--volume={trusted}:{_CA_INSIDE}:ro",
            f"--ignorefile={ROOT / '.dockerignore'}",
            f"--target={target}",
            f"--tag={reference}",
            *words,
            str(ROOT),
        )

    def archive(self, reference: str, path: Path) -> None:  # noqa: D102
        self._run("push", "--quiet", reference, f"docker-archive:{path}:{reference}")

    def push(self, reference: str, destination: str) -> None:  # noqa: D102
        self._run("push", "--quiet", reference, f"docker://{destination}")

    def size(self, reference: str) -> int:  # noqa: D102
        # buildah tells sizes only rounded, for reading: "288 MB"
        # and in a line for each name that the image has.
        number, unit = self._run("images", "--format", "{{.Size}}", reference).splitlines()[0].split()
        return round(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])

    def _base(self, kind: str) -> str:
        reference = f"localhost/proctor-base-{kind}:{base.recipe_hash(kind)}"
        if not self.has(reference):
            self._import_base(kind, reference)
        return reference

    def _import_base(self, kind: str, reference: str) -> None:
        with tempfile.TemporaryDirectory(dir=self._home) as scratch:
            archive = Path(scratch) / "root.tar"
            base.make(kind, archive)
            container = self._run("from", "scratch").strip()
            self._run("add", "--quiet", container, str(archive), "/")
            self._run("commit", "--quiet", "--rm", container, reference)

    def _forget_old(self) -> None:
        """Keep the newest few images of each name, and the steps of builds until there are many of them."""
        self._run("rm", "--all")  # containers of builds that were broken off; we hold the lock, so none is in use
        seen: defaultdict[str, list[str]] = defaultdict(list)
        newest_first = self._run("images", "--format", "{{.Name}} {{.Tag}} {{.ID}}").split("\n")
        for name, tag, identity in map(str.split, filter(None, newest_first)):
            # A new tag may be of an image that was made long ago: what is counted is images, not tags.
            if identity not in seen[name]:
                seen[name].append(identity)
            if name != _STEP and seen[name].index(identity) >= _KEPT_IMAGES:
                self._run("rmi", f"{name}:{tag}")
        if len(seen[_STEP]) > _KEPT_STEPS:
            self._run("rmi", "--prune")

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        self._home.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._home, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _run(self, *words: str) -> str:
        return run([*self._program, *words])
