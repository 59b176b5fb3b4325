"""JSON answers and errors: every error body is ``{"error": {"field", "value", "rule"}}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from whimbrel_aggregator.query import UnknownPositionError
from whimbrel_protocol.errors import FieldError


class RefusedError(Exception):
    """A request that is answered with an error; every status here is in the OpenAPI document."""

    def __init__(
        self,
        status: int,
        field: str,
        value: object,
        rule: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(rule)
        self.status = status
        self.field = field
        self.value = value if isinstance(value, str) else repr(value)
        self.rule = rule
        self.headers = headers or {}

    @classmethod
    def of(cls, error: FieldError) -> RefusedError:
        """Return what says the same as a FieldError: 404 for an unknown position, else 400."""
        status = 404 if isinstance(error, UnknownPositionError) else 400
        return cls(status, error.field, error.value, error.rule)

    def response(self) -> web.Response:
        """Return the answer."""
        error = {"field": self.field, "value": self.value[:200], "rule": self.rule}
        return answer({"error": error}, status=self.status, headers=self.headers)


def answer(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON answer."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # a lone surrogate of a bad request may be quoted in an error
    body = text.encode(errors="backslashreplace")
    return web.Response(
        body=body,
        status=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        content_type="application/json",
        charset="utf-8",
    )
