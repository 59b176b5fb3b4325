"""Writes PNG files with a palette: enough for bars and letters, without a graphics library.

========  ======================================================================
signature ``89 50 4E 47 0D 0A 1A 0A``
``IHDR``  width, height (4 bytes each, big-endian), bit depth 8, colour type 3
          (palette), compression 0, filter 0, interlace 0
``PLTE``  three bytes a colour
``IDAT``  zlib stream of all rows, each with a filter byte 0 before it
``IEND``  empty
========  ======================================================================

A chunk is length, type, data, CRC-32 of type and data. (PNG specification, third edition.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

from whimbrel_sim.energy.lettering import dots

__all__ = ["Canvas"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

Colour = tuple[int, int, int]


class Canvas:
    """A picture of some colours; colour 0 is its ground.

    Args:
        width, height: in dots.
        palette: colours as red, green, blue; at most 256.
    """

    def __init__(self, width: int, height: int, palette: Sequence[Colour]) -> None:
        self.width = width
        self.height = height
        self._palette = palette
        self._rows = [bytearray(width) for _ in range(height)]

    def bar(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        """Fill a rectangle; what lies outside is cut off."""
        left, right = max(0, x), min(self.width, x + width)
        for row in self._rows[max(0, y) : max(0, y + height)]:
            row[left:right] = bytes([colour]) * max(0, right - left)

    def write(self, x: int, y: int, text: str, colour: int, *, scale: int = 2) -> None:
        """Write a text with its upper left corner at (x, y)."""
        for column, line in dots(text):
            self.bar(x + column * scale, y + line * scale, scale, scale, colour)

    def to_png(self) -> bytes:
        """Return the file's bytes; the same picture gives the same bytes."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        rows = b"".join(b"\0" + bytes(row) for row in self._rows)
        palette = b"".join(bytes(colour) for colour in self._palette)
        return b"".join(
            [
                _SIGNATURE,
                _chunk(b"IHDR", header),
                _chunk(b"PLTE", palette),
                _chunk(b"IDAT", zlib.compress(rows, 9)),
                _chunk(b"IEND", b""),
            ]
        )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
