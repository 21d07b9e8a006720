"""The command line: ``python -m proctor_cluster COMMAND``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from proctor_cluster import clusters, demo, governance, images, install
from proctor_cluster.errors import ClusterError
from proctor_cluster.progress import say
from proctor_cluster.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 failed, 2 wrong usage, 69 no cluster can be had here."""
    arguments = _parser().parse_args(argv)
    try:
        COMMANDS[arguments.command](Settings.read(name=arguments.name))
    except ClusterError as error:
        say(f"proctor_cluster {arguments.command}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def find(settings: Settings) -> None:
    """Say which cluster would be used, and why."""
    choice = clusters.find(settings)
    print(f"{choice.offer.provider}: {choice.why}")


def up(settings: Settings) -> None:
    """Find or start a cluster; print how to reach it."""
    cluster = clusters.up(settings)
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def down(settings: Settings) -> None:
    """Remove the cluster and everything it left."""
    clusters.down(settings)


def build_images(settings: Settings) -> None:
    """Build the images and bring them to the cluster; print their references."""
    cluster = clusters.up(settings)
    for reference in images.deliver(settings, cluster, images.build(settings)).values():
        print(reference)


def install_proctor(settings: Settings) -> None:
    """Build the images, install proctor and wait until it serves."""
    cluster, _ = install.install(settings)
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def show_demo(settings: Settings) -> None:
    """Install proctor with an agent and the systems around it, and show it at work."""
    demo.demo(settings)


def show_governance(settings: Settings) -> None:
    """Install proctor with an agent that is held to rules, and show that they hold."""
    governance.governance(settings)


COMMANDS: dict[str, Callable[[Settings], None]] = {
    "find": find,
    "up": up,
    "down": down,
    "images": build_images,
    "install": install_proctor,
    "demo": show_demo,
    "demo-governance": show_governance,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proctor_cluster", description=sys.modules["proctor_cluster"].__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        one.add_argument("--name", help="the cluster's name (default: PROCTOR_CLUSTER, then dev)")
    return parser
