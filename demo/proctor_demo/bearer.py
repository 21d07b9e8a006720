"""Who may speak to a demo system: the one who holds its key."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz"})


class KeyRequired:
    """Lets a request pass when it carries `Authorization: Bearer <key>`; answers 401 otherwise.

    `/healthz` is open. On `browser_paths` the key is also taken as the password of HTTP Basic
    (with any user name), because a browser can send nothing else.
    """

    def __init__(self, app: ASGIApp, key: str, browser_paths: frozenset[str] = frozenset()) -> None:
        if not key:
            raise ValueError("the key is empty, which would let everyone in")
        self._app = app
        self._key = key.encode()
        self._browser_paths = browser_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._admits(scope):
            await self._app(scope, receive, send)
            return
        scheme = 'Basic realm="proctor demo"' if scope["path"] in self._browser_paths else "Bearer"
        refusal = JSONResponse(_UNAUTHORIZED, status_code=401, headers={"WWW-Authenticate": scheme})
        await refusal(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        scheme, _, credential = Headers(scope=scope).get("authorization", "").partition(" ")
        match scheme.lower():
            case "bearer":
                offered = credential.strip().encode()
            case "basic" if scope["path"] in self._browser_paths:
                offered = _password(credential)
            case _:
                return False
        return hmac.compare_digest(offered, self._key)


# Shaped as OpenAI's errors are, so that a model client shows the message and not a parse error.
_UNAUTHORIZED = {
    "error": {
        "message": "the key is missing or wrong: send it as `Authorization: Bearer <key>`",
        "type": "authentication_error",
        "code": "Unauthorized",
    }
}


def _password(credential: str) -> bytes:
    try:
        return base64.b64decode(credential, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
