"""Bytes of columns with some of them changed."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.shared import Shared


def read_damaged(data: st.DataObject, body: bytes, shared: Shared) -> None:
    """Read a body of which one to three bytes are others: it is refused, or has other events."""
    raw = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        read_body(bytes(raw), shared)
