"""Bounds on what a local client may cost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HttpLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds on what a client may cost.

    Attributes:
        max_connections: further ones are answered with 503 and closed.
        max_head_bytes: request line and headers together.
        max_body_bytes: a longer body is answered with 413.
        head_timeout_s: from the first byte of a head to its end.
        body_timeout_s: from the end of the head to the end of the body.
        idle_timeout_s: a kept connection without a request is closed.
        send_timeout_s: a client that does not take its answer is dropped.
    """

    max_connections: int = 64
    max_head_bytes: int = 16 * 1024  # what common servers allow; tills send a few hundred bytes
    max_body_bytes: int = 8 * 1024 * 1024
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 120.0
    send_timeout_s: float = 30.0
