"""What the gateway has written down, read from its own store by a Python beside it."""

from __future__ import annotations

import json
import time
from typing import Any

from proctor_cluster import install
from proctor_cluster.command import CommandError
from tests.e2e import pods
from tests.e2e.conftest import Installed

_BACK_SECONDS = 60
_READ = """
import json, sqlite3, sys
store = sqlite3.connect("file:/var/lib/proctor/gateway.db?mode=ro", uri=True, timeout=30)
print(json.dumps(list(store.execute(sys.argv[1], json.loads(sys.argv[2])))))
"""


def rows(cluster: Installed, query: str, **about: str) -> list[list[Any]]:
    """What the query finds; `:name` in it is what `about` says. A gateway that was killed is waited for."""
    words = ("-n", install.NAMESPACE, "exec", "deployment/proctor-gateway", "--", pods.PYTHON, "-c", _READ)
    until = time.monotonic() + _BACK_SECONDS
    while True:
        try:
            found: list[list[Any]] = json.loads(cluster.kubectl(*words, query, json.dumps(about)))
        except CommandError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return found
