"""The webhook's certificates in the cluster: the leader renews them, all replicas serve with what the Secret holds."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
from datetime import datetime
from typing import Any, Final

import structlog

from proctor.api import names
from proctor.plan.certificates import Kept, Lifetimes, plan
from proctor.plan.world import Manifest
from proctor.shell import metrics
from proctor.shell.authority import Chest, fingerprints, opened, renewed
from proctor.shell.client import APPLY, Client, Conflict, NotFound
from proctor.shell.errors import Blocked, Retry
from proctor.shell.lease import Leadership
from proctor.shell.ports import Clock
from proctor.shell.resources import SECRET, WEBHOOK

_IMPATIENT: Final = 2.0
"""Seconds between two looks while there is nothing to serve with."""
_AGAIN: Final = 10.0
_MANAGER: Final = f"{names.FIELD_MANAGER}-certificates"

log = structlog.get_logger()


class Certificates:
    """Follows the Secret in every replica; renews it where this process leads."""

    def __init__(
        self,
        client: Client,
        leadership: Leadership,
        clock: Clock,
        namespace: str,
        lifetimes: Lifetimes,
        poll_seconds: float,
    ) -> None:
        self._client = client
        self._leadership = leadership
        self._clock = clock
        self._namespace = namespace
        self._lifetimes = lifetimes
        self._poll_seconds = poll_seconds
        self._serving: bytes | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """What the server serves with: each new connection gets the newest certificate."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def is_served(self) -> bool:
        """Whether there is a certificate to serve with."""
        return self._serving is not None

    async def follow(self) -> None:
        """Never returns: what the Secret holds is what is served with, a look later."""
        while True:
            try:
                self.load(opened((await self._secret()).get("data")))
            except NotFound:
                log.warning("no certificates: the Secret is missing", secret=f"{self._namespace}/{names.WEBHOOK}")
            except (Retry, Blocked) as exc:
                log.warning("certificates not read", error=str(exc))
            await asyncio.sleep(self._poll_seconds if self.is_served else _IMPATIENT)

    def load(self, chest: Chest | None) -> None:
        """Serve with this from the next connection on; with nothing, go on with what there was."""
        if chest is None or chest.pair == self._serving:
            return
        # OpenSSL reads keys from files only: one in memory, without a name, leaves nothing behind.
        handle = os.memfd_create("proctor-webhook", os.MFD_CLOEXEC)
        try:
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.write(chest.pair)
            self.context.load_cert_chain(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
        self._serving = chest.pair
        until = chest.serving.not_valid_after_utc
        metrics.CERTIFICATE_ENDS.set(until.timestamp())
        log.info("serving with a certificate", serial=f"{chest.serving.serial_number:x}", until=until.isoformat())

    async def renew(self) -> None:
        """Never returns: the leader's part. What cannot be done now is tried again; admission goes on without."""
        while True:
            try:
                wake_at = await self.round()
            except NotFound as exc:
                log.warning("the webhook is not installed", error=str(exc))
                await asyncio.sleep(self._poll_seconds)
                continue
            except (Retry, Blocked) as exc:
                log.warning("certificates not renewed", error=str(exc))
                await asyncio.sleep(_AGAIN)
                continue
            left = (wake_at - self._clock.now()).total_seconds()
            # What somebody else did to the Secret or the webhook is mended within a look.
            await asyncio.sleep(min(max(left, _IMPATIENT), self._poll_seconds))

    async def round(self) -> datetime:
        """One look: renew what is due, tell the API server whom to trust. When to look again."""
        secret, webhook = await self._secret(), await self._client.request("GET", WEBHOOK.path(name=names.WEBHOOK))
        chest, published = opened(secret.get("data")), _published(webhook)
        now = self._clock.now()
        known = fingerprints(published or b"")
        hosts = (f"{names.OPERATOR}.{self._namespace}.svc",)
        kept = chest.kept if chest else Kept()
        renewal = plan(kept, known, hosts, self._lifetimes, now)
        if chest is None or not renewal.is_noop or renewal.trusted != tuple(each.name for each in kept.authorities):
            chest = renewed(chest, renewal, hosts)
            await self._write(secret, chest)
            log.info("certificates renewed", authority=renewal.authority is not None, serving=bool(renewal.serving))
        self.load(chest)
        if published != chest.bundle:
            await self._publish(webhook, chest.bundle)
            log.info("told the API server whom to trust", authorities=len(chest.authorities))
        return renewal.wake_at

    async def _secret(self) -> Manifest:
        return await self._client.request("GET", SECRET.path(self._namespace, names.WEBHOOK))

    async def _write(self, secret: Manifest, chest: Chest) -> None:
        self._leadership.check()
        metrics.WRITES.labels("Secret", "update").inc()
        # Onto the version that was read: of two leaders, however that came to be, one is told to look again.
        body = {**secret, "data": {**(secret.get("data") or {}), **chest.entries()}}
        try:
            await self._client.request("PUT", SECRET.path(self._namespace, names.WEBHOOK), body=body)
        except NotFound as exc:
            raise Conflict("the Secret is gone again") from exc

    async def _publish(self, webhook: Manifest, bundle: bytes) -> None:
        self._leadership.check()
        metrics.WRITES.labels(WEBHOOK.kind, "apply").inc()
        trusted = base64.b64encode(bundle).decode()
        body = {
            "apiVersion": WEBHOOK.api_version,
            "kind": WEBHOOK.kind,
            "metadata": {"name": names.WEBHOOK, "uid": webhook["metadata"]["uid"]},
            # Nothing but the bundles: whoever installed it says what is asked about, and what a failure means.
            "webhooks": [{"name": each["name"], "clientConfig": {"caBundle": trusted}} for each in _hooks(webhook)],
        }
        query = {"fieldManager": _MANAGER, "force": "true"}
        await self._client.request("PATCH", WEBHOOK.path(name=names.WEBHOOK), query=query, body=body, content=APPLY)


def _hooks(webhook: Manifest) -> list[dict[str, Any]]:
    hooks: list[dict[str, Any]] = webhook.get("webhooks") or []
    return hooks


def _published(webhook: Manifest) -> bytes | None:
    """The bundle that all webhooks trust; None if they differ or have none."""
    bundles = {each.get("clientConfig", {}).get("caBundle") for each in _hooks(webhook)}
    bundle = next(iter(bundles)) if len(bundles) == 1 else None
    try:
        return base64.b64decode(bundle, validate=True) if bundle else None
    except (ValueError, binascii.Error):
        return None
