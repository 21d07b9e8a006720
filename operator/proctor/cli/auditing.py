"""The options that the commands of `audit` share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Export = Annotated[Path, typer.Argument(help="An exported record: a directory, or a .tar of it.", metavar="EXPORT")]
Keys = Annotated[
    list[str],
    typer.Option("--key", help="The public key, as a verifier key or a file of them; may be repeated.", metavar="KEY"),
]
Anchors = Annotated[
    Path | None,
    typer.Option(
        "--anchors", help="The ConfigMap proctor-record as JSON: what another has remembered.", metavar="FILE"
    ),
]
LogName = Annotated[str, typer.Argument(help="The log.", metavar="LOG")]
