"""The objects of an API server, kept current: list, then watch, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WATCH_SECONDS = 300
_AGAIN_SECONDS = 1.0

Body = dict[str, Any]


class Api:
    """The node's API server, by the administrator's certificate."""

    def __init__(self, address: str, pki: Path) -> None:
        """``address`` is host:port; ``pki`` holds ca.crt, admin.crt and admin.key."""
        self._address = address
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def list(self, path: str) -> Body:
        """All objects of a kind, and the version to watch from."""
        body: Body = json.loads(self._get(path, {}).read())
        return body

    def watch(self, path: str, version: str) -> Iterator[Body]:
        """What happens after ``version``, until the server ends it."""
        answer = self._get(path, {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)})
        for line in iter(answer.readline, b""):
            yield json.loads(line)

    def _get(self, path: str, query: dict[str, str]) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(self._address, context=self._tls, timeout=_WATCH_SECONDS + 30)
        connection.request("GET", f"{path}?{urlencode(query)}")
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"{path}: {answer.status} {answer.reason}")
        return answer


class Mirror:
    """The objects of one kind as the API server last told them, kept current by a thread."""

    def __init__(self, api: Api, path: str, changed: threading.Event) -> None:
        """``changed`` is set whenever an object came, went or changed."""
        self._api, self._path, self._changed = api, path, changed
        self._objects: dict[str, Body] = {}
        self.is_filled = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def objects(self) -> list[Body]:
        """A snapshot."""
        return list(self._objects.values())

    def _follow(self) -> None:
        while True:
            try:
                self._follow_once()
            except (OSError, http.client.HTTPException, ValueError) as broken:
                print(f"{self._path}: {broken}", flush=True)
                time.sleep(_AGAIN_SECONDS)

    def _follow_once(self) -> None:
        listed = self._api.list(self._path)
        self._objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        self.is_filled.set()
        self._changed.set()
        for event in self._api.watch(self._path, listed["metadata"]["resourceVersion"]):
            if event["type"] == "ERROR":  # the version is too old: list anew
                return
            uid = event["object"]["metadata"]["uid"]
            # A new dictionary each time: a snapshot that is being read must not change under its reader.
            kept = {key: value for key, value in self._objects.items() if key != uid}
            self._objects = kept if event["type"] == "DELETED" else {**kept, uid: event["object"]}
            self._changed.set()
