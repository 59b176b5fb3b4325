"""What one frame may spend beyond its own bytes: nested CBOR, its events as rows, computed columns.

The same limits hold for the writer, who made too big a frame, and for the reader, who was sent
one; they differ in the error only.
"""

from __future__ import annotations

from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.limits import (
    MAX_FRAME_CBOR_BYTES,
    MAX_FRAME_COMPUTED,
    MAX_FRAME_ROWS_BYTES,
)

__all__ = ["Budget"]


class Budget:
    """Counts down what is left for one frame.

    Args:
        error: raised when a limit is passed.
    """

    __slots__ = ("_cbor_bytes", "_computed", "_error", "_rows_bytes")

    def __init__(self, error: type[LocalProtocolError | RemoteProtocolError]) -> None:
        self._error = error
        self._cbor_bytes = 0
        self._rows_bytes = 0
        self._computed = 0

    def spend_cbor(self, size_bytes: int) -> None:
        """Count bytes of CBOR inside the columns."""
        self._cbor_bytes += size_bytes
        if self._cbor_bytes > MAX_FRAME_CBOR_BYTES:
            raise self._error(
                f"nested values are {self._cbor_bytes} bytes: must be at most"
                f" {MAX_FRAME_CBOR_BYTES} in a frame, seal fewer events at once"
            )

    @property
    def computed_left(self) -> int:
        """How many more columns may be computed."""
        return MAX_FRAME_COMPUTED - self._computed

    def spend_computed(self) -> None:
        """Count a computed column."""
        self._computed += 1
        if self._computed > MAX_FRAME_COMPUTED:
            raise self._error(f"more than {MAX_FRAME_COMPUTED} columns of a frame are computed")

    def spend_rows(self, size_bytes: int) -> None:
        """Count bytes that the events have when each is written on its own."""
        self._rows_bytes += size_bytes
        if self._rows_bytes > MAX_FRAME_ROWS_BYTES:
            raise self._error(
                f"events are {self._rows_bytes} bytes one by one: must be at most"
                f" {MAX_FRAME_ROWS_BYTES} in a frame, seal fewer events at once"
            )
