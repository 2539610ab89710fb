"""Who may come in: keys, origins, hosts, and how much they may bring.

A server on loopback without keys is still reached by any page that a browser on this machine shows.
So a page from elsewhere is refused by its Origin, and a name that was bent to this address (DNS
rebinding) by its Host.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from codeclm.serve.errors import RefusalError

OPEN, REPORTS = ("/", "/health", "/reports"), "/reports/"  # without a key
SAFE = ("GET", "HEAD", "OPTIONS")
UPLOADS = ("/v1/voices", "/v1/audio/voices")
PROTOCOL, KEY = "codeclm", "key."  # WebSocket subprotocols: a browser can send no other header


class Gate:
    """ASGI middleware.

    Args:
        keys: one of them must be brought; none: everybody may come in.
        origins: of pages elsewhere that may use this.
        any_host: whatever name the client knows this machine by.
        most: bytes of a body.
        most_upload: bytes of one that carries a recording.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Iterable[str],
        origins: Iterable[str],
        any_host: bool,
        most: int,
        most_upload: int,
    ) -> None:
        self.app, self.any_host = app, any_host
        self.keys, self.origins = [_digest(key) for key in keys], set(origins)
        self.most, self.most_upload = most, most_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        most = self.most_upload if scope["path"] in UPLOADS else self.most
        refused = self._refuse(scope, headers, most)
        if refused is not None:
            await refused.response()(scope, receive, send)
            return
        spent = 0

        async def limited() -> MutableMapping[str, Any]:
            nonlocal spent
            message = await receive()
            spent += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            if spent > most:
                raise HTTPException(413, f"the body is larger than {most} bytes")
            return message

        await self.app(scope, limited, send)

    def _refuse(self, scope: Scope, headers: Headers, most: int) -> RefusalError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.any_host and not is_loopback(_name(host)):
            told = f"this server is for its own machine, not for the host {host[:80]!r}"
            return RefusalError(told, "wrong_host", status=403)
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE
        known = origin is None or origin in self.origins or origin.partition("://")[2] == host
        if changes and not known:
            told = (
                f"pages of {str(origin)[:80]!r} may not use this server; its --origin allows them"
            )
            return RefusalError(told, "wrong_origin", status=403)
        opened = scope["path"] in OPEN or scope["path"].startswith(REPORTS)
        if self.keys and not opened and not self._known(scope, headers):
            told = "send a key of this server: Authorization: Bearer KEY"
            return RefusalError(told, "invalid_api_key", status=401)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            return RefusalError(f"the body is larger than {most} bytes", "too_large", status=413)
        return None

    def _known(self, scope: Scope, headers: Headers) -> bool:
        kind, _, key = headers.get("authorization", "").partition(" ")
        given = [key] if kind.lower() == "bearer" else []
        if scope["type"] == "websocket":
            offered = scope.get("subprotocols", ())
            given += [name.removeprefix(KEY) for name in offered if name.startswith(KEY)]
        # All are compared, whichever fits.
        fits = [hmac.compare_digest(_digest(one), key) for one in given for key in self.keys]
        return any(fits)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The name in a Host header."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
