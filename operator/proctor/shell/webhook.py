"""The webhook's server: AdmissionReviews over TLS. Every replica serves it, leading or not."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiohttp import web

from proctor.shell import metrics
from proctor.shell.admission import Admission, Answer

_LARGEST: Final = 8 << 20
"""Bytes of a request: two versions of the largest object that etcd takes."""
_FORBIDDEN: Final = 403

log = structlog.get_logger()


class Webhook:
    """The HTTPS server of one process. An answer that fails is a 500, which the API server takes for no answer."""

    def __init__(self, admission: Admission, context: ssl.SSLContext) -> None:
        self._admission = admission
        self._context = context
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> None:
        """Listens on all addresses."""
        app = web.Application(client_max_size=_LARGEST)
        app.add_routes([web.post("/admit", self._admit)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, port, ssl_context=self._context).start()

    async def stop(self) -> None:
        """Ends the server; what is being answered is answered."""
        if self._runner:
            await self._runner.cleanup()

    async def _admit(self, request: web.Request) -> web.Response:
        began = time.perf_counter()
        asked = (await request.json())["request"]
        resource = str((asked.get("resource") or {}).get("resource"))
        try:
            answer = await self._admission.answer(asked)
        except Exception:
            metrics.ADMISSIONS.labels(resource, "failed").inc()
            log.exception("admission failed", resource=resource)
            raise
        said = "refused" if answer.refusal else "warned" if answer.warnings else "allowed"
        metrics.ADMISSIONS.labels(resource, said).inc()
        metrics.ADMISSION_DURATION.observe(time.perf_counter() - began)
        if answer.refusal:
            log.info("change refused", resource=resource, namespace=asked.get("namespace"), name=asked.get("name"))
        return web.json_response(review(asked, answer))


def review(asked: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """The answer as admission.k8s.io/v1 has it."""
    response: dict[str, Any] = {"uid": asked["uid"], "allowed": answer.refusal is None}
    if answer.refusal is not None:
        response["status"] = {"code": _FORBIDDEN, "reason": "Forbidden", "message": answer.refusal}
    if answer.warnings:
        response["warnings"] = list(answer.warnings)
    if answer.notes:
        response["auditAnnotations"] = {"findings": "; ".join(answer.notes)}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
