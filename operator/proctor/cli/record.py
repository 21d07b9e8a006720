"""The gateway's record, as an auditor reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from proctor.api import names
from proctor.audit.notes import BadNote, unchecked
from proctor.audit.proofs import Proof
from proctor.audit.tiles import ENTRIES, NoTile, tiles_of, unpack_entries
from proctor.audit.verifier import CHECKPOINTS, RECORDS
from proctor.cli import identity
from proctor.cli.cluster import Cluster
from proctor.cli.errors import Away, CliError, Denied, NotFound
from proctor.cli.forward import PodTransport
from proctor.cli.identity import Bearer
from proctor.cli.reaching import Wanted, is_private
from proctor.cli.refusals import cause
from proctor.cli.resources import segment

_PAGE = 500
_SECONDS = 60.0
_SELECTOR = f"app.kubernetes.io/name={names.GATEWAY}"


@dataclass(frozen=True)
class Log:
    """One log of the record."""

    id: str
    origin: str
    verifier: str
    state: str
    size: int
    signed: int

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Log:
        """The log in the gateway's answer."""
        return cls(body["id"], body["origin"], body["verifier"], body["state"], body["size"], body["signedSize"])


class RecordReader:
    """Reads the record of one installation. Raises only CliErrors."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def logs(self) -> list[Log]:
        """All logs that are kept, the oldest first."""
        return [Log.parse(each) for each in self._get("").json()["items"]]

    def notes(self, log: str) -> dict[int, str]:
        """The log's signed checkpoints, by size."""
        found: dict[int, str] = {}
        while True:
            page = self._get(f"/{segment(log)}/checkpoints", after=str(max(found, default=0))).json()["items"]
            if not page:
                return found
            found |= {unchecked(note).size: note for note in page}

    def files(self, log: str) -> dict[str, bytes]:
        """The files of an export: all that the newest checkpoint covers. Empty if nothing is signed yet."""
        try:
            notes = self.notes(log)
            if not notes:
                return {}
            newest = max(notes)
            files = {"checkpoint": notes.pop(newest).encode()}
            files |= {f"{CHECKPOINTS}{size}": note.encode() for size, note in notes.items()}
            files |= {tile.path: self._get(f"/{segment(log)}/{tile.path}").content for tile in tiles_of(newest)}
            parts = [unpack_entries(files[each.path]) for each in tiles_of(newest) if each.level == ENTRIES]
        except (BadNote, NoTile) as exc:
            raise CliError(f"log {log} cannot be read: {exc}") from exc
        return {**files, RECORDS: b"".join(line + b"\n" for part in parts for line in part)}

    def records(self, log: str, **wanted: str | None) -> Iterator[str]:
        """The lines of the records that match: namespace, agent, task, type."""
        first, query = 0, {key: value for key, value in wanted.items() if value is not None}
        while True:
            page: Sequence[str] = self._get(
                f"/{segment(log)}/records", first=str(first), limit=str(_PAGE), **query
            ).json()["items"]
            yield from page
            if len(page) < _PAGE:
                return
            first = int(json.loads(page[-1])["seq"]) + 1

    def proof(self, log: str, seq: int) -> Proof:
        """The proof that a record is in the log, under its newest checkpoint."""
        text = self._get(f"/{segment(log)}/inclusion", seq=str(seq)).text
        try:
            return Proof.parse(text)
        except BadNote as exc:
            raise CliError(f"the gateway's proof cannot be read: {exc}") from exc

    def _get(self, path: str, **query: str) -> httpx2.Response:
        try:
            response = self._client.get(f"/internal/logs{path}", params=query, timeout=_SECONDS)
        except httpx2.HTTPError as exc:
            raise Away(f"the gateway cannot be reached: {cause(exc)}", "kubectl get pods -n proctor-system") from exc
        if response.is_success:
            return response
        detail = _detail(response)
        match response.status_code:
            case 401 | 403:
                raise Denied(
                    f"the record is not yours to read: {detail}", "ask as an auditor: --service-account NS/NAME"
                )
            case 404:
                raise NotFound(detail)
            case _:
                raise CliError(f"the gateway answered {response.status_code}: {detail}")


@contextmanager
def reader(cluster: Cluster, wanted: Wanted) -> Iterator[RecordReader]:
    """The record of the installation."""
    account = wanted.service_account or f"{wanted.installation}/{names.AUDITOR}"
    asker = identity.choose(cluster, wanted.installation, account, is_private=is_private(wanted.url))
    port = names.INTERNAL_PORT
    transport = None if wanted.url else PodTransport(cluster, wanted.installation, _SELECTOR, port)
    base = wanted.url or f"http://{names.GATEWAY}.{wanted.installation}:{port}"
    with httpx2.Client(base_url=base, transport=transport, auth=Bearer(asker), trust_env=False) as client:
        yield RecordReader(client)


def _detail(response: httpx2.Response) -> str:
    try:
        return str(response.json().get("detail", ""))
    except (ValueError, AttributeError):
        return "without a problem: is it proctor's gateway?"
