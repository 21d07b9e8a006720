"""The options that several verbs share, worded once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from proctor.api.fields import parse_duration
from proctor.cli.terminal import Format

_CLUSTER = "Cluster"


def duration(text: str) -> timedelta:
    """The duration that somebody typed."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        help="The kubeconfig; default: $KUBECONFIG, then ~/.kube/config.",
        metavar="FILE",
        rich_help_panel=_CLUSTER,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="The kubeconfig's context; default: the current one.",
        metavar="NAME",
        rich_help_panel=_CLUSTER,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="The namespace; default: the context's.", metavar="NAME", rich_help_panel=_CLUSTER
    ),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]
Timeout = Annotated[
    timedelta,
    typer.Option(
        "--timeout",
        help="How long to wait, for example 90s or 1h30m; default: 5m.",
        parser=duration,
        metavar="DURATION",
        show_default=False,
    ),
]
Since = Annotated[
    timedelta | None,
    typer.Option("--since", help="Only what is newer: 90s, 10m, 1h.", parser=duration, metavar="DURATION"),
]
AgentName = Annotated[str, typer.Argument(help="The agent's name.", metavar="NAME")]
Installation = Annotated[
    str,
    typer.Option(
        "--installation", help="The namespace in which proctor is installed.", metavar="NAME", rich_help_panel=_CLUSTER
    ),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        "--service-account",
        help="Ask as this ServiceAccount, by a token for the gateway alone; "
        "default: the kubeconfig's own token if it has one, else the namespace's default.",
        metavar="[NS/]NAME",
        rich_help_panel="Gateway",
    ),
]
GatewayUrl = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        envvar="PROCTOR_GATEWAY",
        help="Where the gateway is; default: one of its pods, through the API server.",
        metavar="URL",
        rich_help_panel="Gateway",
    ),
]
