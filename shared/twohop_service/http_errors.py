"""The boundary between the error tree and HTTP, for our own routes: the error object of the contract, always."""

from __future__ import annotations

import asyncio
import math
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twohop.errors import InvalidInput, ModelError, NotFound, TwoHopError, Unavailable

RETRY_S = 1.0


def install(app: FastAPI) -> None:
    """Every error of a route of `app` becomes the error object with the tree's status; FastAPI's 422 becomes 400."""
    app.add_exception_handler(TwoHopError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(_EndTold)


class _EndTold:
    """The server cancels what is not done when the time to drain is over; then the caller is told so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if has_begun:
                raise
            went = Unavailable("the service went down before this was done: ask elsewhere, or later", retry_after_s=RETRY_S)
            await response(went)(scope, receive, send)


def response(error: TwoHopError) -> JSONResponse:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return JSONResponse(error.as_json(), status_code=error.http_status, headers=headers)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    return response(cast(TwoHopError, error))


async def _validation(request: Request, error: Exception) -> JSONResponse:
    problems = cast(RequestValidationError, error).errors()
    where = [".".join(str(part) for part in problem["loc"] if part != "body") or "body" for problem in problems]
    said = "; ".join(f"{place}: {problem['msg']}" for place, problem in zip(where, problems, strict=True))
    return response(InvalidInput(said, detail={"fields": where[:20]}))


async def _routing(request: Request, error: Exception) -> JSONResponse:
    """Unknown path or method, as starlette's router raises them."""
    raised = cast(HTTPException, error)
    kind = NotFound if raised.status_code in (404, 405) else InvalidInput
    body = kind(f"{request.method} {request.url.path}: {raised.detail}").as_json()
    return JSONResponse(body, status_code=raised.status_code, headers=raised.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours. The caller gets no traceback; starlette raises it again, so that the server's log does."""
    return response(ModelError("the request failed unexpectedly; the server's log says why"))
