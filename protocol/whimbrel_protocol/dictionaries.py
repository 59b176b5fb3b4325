"""Dictionaries: bytes that one device's columns may refer to, known to both sides before.

A dictionary is named by its content and never changes; whoever has the content has the
dictionary, wherever it came from. It is a zstd dictionary (RFC 8878, section 5) where it begins
with that format's magic number, else raw content. It travels packed like columns: a lead, then
the content, as it is or compressed (see ``lead``). Nobody here knows who keeps which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import zstandard

from whimbrel_protocol import zstdcodec
from whimbrel_protocol.codecs import CODECS, compress, decompress
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.lead import DICTIONARY_NAME_BYTES, read_lead, write_lead
from whimbrel_protocol.limits import MAX_DICTIONARY_BYTES

__all__ = [
    "NO_DICTIONARIES",
    "Dictionaries",
    "Dictionary",
    "UnknownDictionaryError",
    "dictionary_name",
    "named_dictionary",
    "pack_dictionary",
    "unpack_dictionary",
]

_PROBE: Final = b"a dictionary that cannot be loaded says so here" * 2
_PROBE_PACKED: Final = zstdcodec.compress(_PROBE, ())


class UnknownDictionaryError(RemoteProtocolError):
    """Columns name a dictionary that is not at hand: they are sound, but cannot be read here."""

    def __init__(self, name: bytes) -> None:
        super().__init__(
            f"columns name the dictionary {name.hex()}, which is not at hand; get it from the "
            "device that sealed them"
        )
        self.name = name


def dictionary_name(content: bytes) -> bytes:
    """Return the name of a dictionary: the first 8 bytes of its content's SHA-256."""
    return hashlib.sha256(content).digest()[:DICTIONARY_NAME_BYTES]


class Dictionary:
    """A dictionary ready for use. Safe in several threads at once.

    Attributes:
        content: its bytes.
        name: see :func:`dictionary_name`.
    """

    __slots__ = ("_compressors", "_loaded", "content", "name")

    def __init__(self, content: bytes) -> None:
        """Load a dictionary.

        Raises:
            RemoteProtocolError: it is empty, too long, or begins as a zstd dictionary and is none.
        """
        if not 1 <= len(content) <= MAX_DICTIONARY_BYTES:
            raise RemoteProtocolError(
                f"dictionary is {len(content)} bytes: must be 1 to {MAX_DICTIONARY_BYTES}"
            )
        self.content = content
        self.name = dictionary_name(content)
        self._loaded = zstandard.ZstdCompressionDict(content)
        self._compressors = zstdcodec.ByLevel(self._loaded)
        try:
            whole = self.decompress(_PROBE_PACKED, len(_PROBE)) == _PROBE
        except (zstandard.ZstdError, ValueError) as exc:
            raise RemoteProtocolError(f"dictionary of {len(content)} bytes: {exc}") from exc
        if not whole:
            raise RemoteProtocolError(f"dictionary of {len(content)} bytes gives back other bytes")

    def __repr__(self) -> str:
        return f"Dictionary({self.name.hex()}, {len(self.content)} bytes)"

    def compress(
        self, raw: bytes, cuts: Sequence[int] = (), level: zstdcodec.Level = zstdcodec.Level.FULL
    ) -> bytes:
        """Compress a body that may refer to the dictionary; the rest is as for plain zstd."""
        small = len(raw) < zstdcodec.SMALL_BYTES  # blocks of their own cost more than they save
        return self._compressors.run(raw, () if small else cuts, level)

    def rest(self) -> None:
        """Let go of the memory that compressing took; it is taken again when it is needed."""
        self._compressors.rest()

    def decompress(self, data: bytes, raw_size_bytes: int) -> bytes:
        """Give back a body.

        Raises:
            ZstdError, ValueError: damaged, or it says another size than the one declared.
        """
        return zstdcodec.decompress(data, raw_size_bytes, self._loaded)


Dictionaries = Mapping[bytes, Dictionary]
"""What a reader has at hand, by name."""

NO_DICTIONARIES: Final[Dictionaries] = MappingProxyType({})


def named_dictionary(columns: bytes) -> bytes:
    """Return the name of the dictionary that columns need, or empty.

    Columns of a version or codec that is not known here name none that could be looked for.
    """
    try:
        return read_lead(columns).dictionary
    except RemoteProtocolError:
        return b""


def pack_dictionary(content: bytes) -> bytes:
    """Return a dictionary's content as it travels.

    Raises:
        LocalProtocolError: it is empty or too long.
    """
    if not 1 <= len(content) <= MAX_DICTIONARY_BYTES:
        raise LocalProtocolError(
            f"dictionary is {len(content)} bytes: must be 1 to {MAX_DICTIONARY_BYTES}"
        )
    plain = write_lead(CODECS["none"], len(content)) + content
    packed = compress(CODECS["zstd"], content)
    return min(plain, write_lead(CODECS["zstd"], len(content)) + packed, key=len)


def unpack_dictionary(packed: bytes) -> Dictionary:
    """Give back a dictionary that travelled.

    Raises:
        RemoteProtocolError: damaged, too long, or no dictionary.
    """
    codec, raw_size_bytes, start, _ = read_lead(packed)
    if codec not in {CODECS["none"], CODECS["zstd"]}:
        raise RemoteProtocolError(f"dictionary is packed with codec {codec}: must be 0 or 2")
    if raw_size_bytes > MAX_DICTIONARY_BYTES:
        raise RemoteProtocolError(
            f"dictionary is {raw_size_bytes} bytes: must be 1 to {MAX_DICTIONARY_BYTES}"
        )
    return Dictionary(decompress(codec, packed[start:], raw_size_bytes))
