"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from codeclm.tts.scheduler import FullError

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
RETRY = 2  # seconds

log = logging.getLogger(__name__)


class RefusalError(Exception):
    """What a client is told instead of an answer."""

    def __init__(
        self, message: str, code: str | None = None, param: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.status = message, code, param, status

    def body(self) -> dict[str, Any]:
        """The error itself."""
        server = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = KINDS.get(self.status, server)
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}

    def response(self) -> JSONResponse:
        """The error as an answer."""
        headers = {"Retry-After": str(RETRY)} if self.status in (429, 503) else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": self.body()}, self.status, headers)


def unknown(what: str, name: str, known: str = "", status: int = 404) -> RefusalError:
    """Of a model or voice that is not here."""
    return RefusalError(
        f"there is no {what} {name[:80]!r}{known}", f"{what}_not_found", what, status
    )


def refusal(error: BaseException, param: str | None = None) -> RefusalError:
    """What a client is told of an error; of one that is ours, only that there was one."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, FullError):
        return RefusalError(str(error), "busy", status=429)
    if isinstance(error, RequestValidationError | ValidationError):
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part != "body"]
        named = next((part for part in place if not part.isdigit()), None)
        return RefusalError(f"{named or 'the body'}: {first['msg']}", first["type"], named)
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code)
        return RefusalError(str(error.detail), code, status=error.status_code)
    if isinstance(error, ValueError):
        return RefusalError(str(error), "invalid_value", param)
    log.error("an answer failed", exc_info=error)
    return RefusalError("the server failed; its log says how", "internal_error", status=500)


def use(app: FastAPI) -> None:
    """Has all errors of an app look like that."""

    async def told(_: Request, error: Exception) -> JSONResponse:
        response = refusal(error).response()
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    for kind in (RefusalError, FullError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, told)
