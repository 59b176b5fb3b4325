"""Symbols of known frequencies in as many bits as they tell: asymmetric numeral systems.

The range variant, rANS, of J. Duda, "Asymmetric numeral systems" (arXiv:1311.2540, section 3), with a
state below 2^32 and words of 16 bits. A symbol is a *share* ``(start, size, bits)``: of 2^bits equal parts
it has those from ``start`` on, ``size`` in number. A writer begins with state 1 and the last symbol::

    if state >= size * 2^(32 - bits): the low 16 bits of the state become a word
    state = (state // size) * 2^bits + start + state % size

and ends with the state and the words, the last one first. A reader goes the other way, so it gives the
symbols in their order, and ends where the writer began: at 1, with no word left.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from whimbrel_protocol.errors import RemoteProtocolError

__all__ = ["MAX_BITS", "WORD", "WORD_BITS", "Share", "ShareReader", "write_shares"]

Share = tuple[int, int, int]
"""Where a symbol's parts start, how many it has, and of 2 to which power."""

MAX_BITS: Final = 16
"""The largest power: more would need a second word."""

_STATE_BITS: Final = 32
WORD_BITS: Final = 16
WORD: Final = 2**WORD_BITS
_STATE_BYTES: Final = 4
_BEGIN: Final = 1


def write_shares(shares: Sequence[Share]) -> bytes:
    """Return symbols as bytes: nothing for none, else the state, and where there are any the words."""
    state = _BEGIN
    words = []
    for start, size, bits in reversed(shares):
        if state >= size << _STATE_BITS - bits:
            words.append(state % WORD)
            state >>= WORD_BITS
        times, rest = divmod(state, size)
        state = (times << bits) + start + rest
    if not words:
        return state.to_bytes((state.bit_length() + 7) // 8, "big") if state > _BEGIN else b""
    words.reverse()
    return state.to_bytes(_STATE_BYTES, "big") + struct.pack(f">{len(words)}H", *words)


class ShareReader:
    """Reads symbols from what ``write_shares`` wrote; past the end it gives any, and ``close`` says so.

    Attributes:
        state: who reads many symbols keeps it to themselves meanwhile.
        words: that are left, the next one last.
    """

    __slots__ = ("state", "words")

    def __init__(self, data: bytes) -> None:
        """Begin.

        Raises:
            RemoteProtocolError: so many bytes are no state and words.
        """
        count, odd = divmod(max(0, len(data) - _STATE_BYTES), WORD_BITS // 8)
        if odd:
            raise RemoteProtocolError(f"coded numbers are {len(data)} bytes: no state and words")
        self.words = list(struct.unpack_from(f">{count}H", data, _STATE_BYTES) if count else ())
        self.words.reverse()
        self.state = int.from_bytes(data[:_STATE_BYTES], "big") if data else _BEGIN
        if self.state < (WORD if count else _BEGIN) or (data and self.state == _BEGIN):
            raise RemoteProtocolError(f"coded numbers begin with state {self.state}")

    def symbol(self, starts: Sequence[int], sizes: Sequence[int], bits: int) -> int:
        """Give the number of the next symbol.

        Args:
            starts: of all symbols' shares, ascending from 0.
            sizes: of these; they fill 2^bits.
            bits: at most ``MAX_BITS``.
        """
        part = self.state & (1 << bits) - 1
        symbol = bisect_right(starts, part) - 1
        self._go_on(sizes[symbol] * (self.state >> bits) + part - starts[symbol])
        return symbol

    def number(self, bits: int) -> int:
        """Give the next number of so many bits, in pieces of ``MAX_BITS``, the low ones first."""
        number = shift = 0
        while shift < bits:
            piece = min(MAX_BITS, bits - shift)
            number |= (self.state & (1 << piece) - 1) << shift
            self._go_on(self.state >> piece)
            shift += piece
        return number

    def _go_on(self, state: int) -> None:
        if state < WORD and self.words:
            state = state << WORD_BITS | self.words.pop()
        self.state = state

    def close(self) -> None:
        """Check that all was read.

        Raises:
            RemoteProtocolError: it was not, or other symbols were written.
        """
        if self.words or self.state != _BEGIN:
            raise RemoteProtocolError("coded numbers end early, or are left over")
