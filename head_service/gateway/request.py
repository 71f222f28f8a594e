"""The body of POST /v1/classify: read up to a limit, checked, every refusal naming the field and the remedy."""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from head_service.gateway.settings import Limits
from twohop.errors import InvalidInput, TooLarge


class ClassifyRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"texts": ["a film that stays with you"], "heads": ["sentiment", "topic"]}]},
    )

    texts: list[str] = Field(min_length=1, description="One or more texts; none of them blank.")
    heads: list[str] = Field(min_length=1, description="Names of heads, as GET /v1/heads lists them; NAME-canary for a canary.")
    policy: Literal["any", "all"] = Field("any", description="any: 200 if one head answered; all: the first error's code.")
    all_scores: StrictBool = Field(False, description="Every label's score, not only the winner's.")


async def read(request: Request, limits: Limits) -> ClassifyRequest:
    """Raises TooLarge for a body above the limit, RequestValidationError or InvalidInput for what cannot be served."""
    try:
        asked = ClassifyRequest.model_validate_json(await _body(request, limits.max_body_bytes))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False, include_context=False)) from error
    check(asked, limits)
    return asked


async def _body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:18]) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes: send the texts in several requests", detail={"max_body_bytes": limit}
    )


def check(asked: ClassifyRequest, limits: Limits) -> None:
    """Raises InvalidInput, which names the text or head."""
    if len(asked.texts) > limits.max_texts:
        raise InvalidInput(
            f"texts: {len(asked.texts)} in one request, {limits.max_texts} are allowed: send several requests",
            detail={"texts": len(asked.texts), "max_texts": limits.max_texts},
        )
    if len(asked.heads) > limits.max_heads:
        raise InvalidInput(
            f"heads: {len(asked.heads)} in one request, {limits.max_heads} are allowed: send several requests",
            detail={"heads": len(asked.heads), "max_heads": limits.max_heads},
        )
    for index, text in enumerate(asked.texts):
        if not text.strip():
            raise InvalidInput(f"texts[{index}] is blank: there is nothing to classify", detail={"index": index})
    for index, head in enumerate(asked.heads):
        if head in asked.heads[:index]:
            raise InvalidInput(f"heads[{index}]: {head[:80]!r} is named twice", detail={"index": index})
