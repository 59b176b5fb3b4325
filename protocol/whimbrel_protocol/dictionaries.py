"""Dictionaries: bytes that one device's columns may refer to, known to both sides before.

A dictionary is named by its content and never changes; whoever has the content has the
dictionary, wherever it came from. It is a zstd dictionary (RFC 8878, section 5) where it begins
with that format's magic number, else raw content. Or it begins with a magic number of ours: then come the
size of such a dictionary, which may be 0 for none, the dictionary, and what else is shared: tables, formulas
and a roster (see ``shared``).
It travels packed like columns: a lead, then the content, as it is or compressed (see ``lead``).
Nobody here knows who keeps which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final

import zstandard

from whimbrel_protocol import zstdcodec
from whimbrel_protocol.codecs import CODECS, compress, decompress
from whimbrel_protocol.columns.regions import put_varint, read_varint
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.lead import DICTIONARY_NAME_BYTES, read_lead, write_lead
from whimbrel_protocol.limits import MAX_DICTIONARY_BYTES, MAX_TABLES_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, read_shared, write_shared

__all__ = [
    "MAX_CONTENT_BYTES",
    "NO_DICTIONARIES",
    "Dictionaries",
    "Dictionary",
    "UnknownDictionaryError",
    "dictionary_name",
    "join_content",
    "named_dictionary",
    "pack_dictionary",
    "unpack_dictionary",
]

_TABLES_MAGIC: Final = b"WBT1"
"""What a dictionary with tables begins with; neither zstd's magic number nor a likely beginning."""

_TABLES: Final = CODECS["zstd-tables"]

MAX_CONTENT_BYTES: Final = len(_TABLES_MAGIC) + 3 + MAX_DICTIONARY_BYTES + MAX_TABLES_BYTES
"""Of a dictionary with tables; 3 bytes are the size of its first part."""

_VALUE_BYTES: Final = 80
"""About what a value of a table takes as an object, beside its text."""

_PROBE: Final = b"a dictionary that cannot be loaded says so here" * 2


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
        zstd: the part that zstd refers to; empty where there are tables only.
        shared: tables and formulas.
    """

    __slots__ = ("_compressors", "_loaded", "content", "name", "shared", "zstd")

    def __init__(self, content: bytes, shared: Shared | None = None) -> None:
        """Load a dictionary.

        Args:
            content: its bytes.
            shared: what it is taken to share in place of what it says, to try what that would be like.

        Raises:
            RemoteProtocolError: it is empty, too long, or begins as a zstd dictionary and is none.
        """
        self.content = content
        self.name = dictionary_name(content)
        self.zstd, told = _split_content(content)
        self.shared = told if shared is None else shared
        self._loaded = zstandard.ZstdCompressionDict(self.zstd) if self.zstd else None
        self._compressors = zstdcodec.ByLevel(self._loaded)
        try:
            whole = self.decompress(_packed_probe(), len(_PROBE)) == _PROBE
        except (zstandard.ZstdError, ValueError) as exc:
            raise RemoteProtocolError(f"dictionary of {len(content)} bytes: {exc}") from exc
        if not whole:
            raise RemoteProtocolError(f"dictionary of {len(content)} bytes gives back other bytes")

    @property
    def memory_bytes(self) -> int:
        """About how much memory it takes: zstd's own tables, texts, and what objects take beside."""
        shared = self.shared
        values = sum(len(table.rows) * (2 + len(table.follows)) for table in shared.tables)
        values += 4 * len(shared.roster.series)
        values += sum(2 + len(one.keys) + len(one.extension_keys) for one in shared.roster.shapes)
        values += sum(6 + 5 * len(one.bins) for one in shared.histograms.all)
        return 2 * MAX_DICTIONARY_BYTES + len(self.content) + _VALUE_BYTES * values

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


def join_content(zstd: bytes, shared: Shared) -> bytes:
    """Return the content of a dictionary of these parts; where nothing is shared, the first one."""
    if not shared:
        return zstd
    content = bytearray(_TABLES_MAGIC)
    put_varint(content, len(zstd))
    return bytes(content) + zstd + write_shared(shared)


@cache
def _packed_probe() -> bytes:
    """Return the probe without a dictionary; its compressor takes half a megabyte."""
    return zstdcodec.compress(_PROBE, ())


def _split_content(content: bytes) -> tuple[bytes, Shared]:
    if not content.startswith(_TABLES_MAGIC):
        if not 1 <= len(content) <= MAX_DICTIONARY_BYTES:
            raise RemoteProtocolError(
                f"dictionary is {len(content)} bytes: must be 1 to {MAX_DICTIONARY_BYTES}"
            )
        return content, NOTHING_SHARED
    size_bytes, start = read_varint(content, len(_TABLES_MAGIC))
    zstd, tables = content[start : start + size_bytes], content[start + size_bytes :]
    if size_bytes > MAX_DICTIONARY_BYTES or len(tables) > MAX_TABLES_BYTES:
        raise RemoteProtocolError(
            f"dictionary has parts of {size_bytes} and {len(tables)} bytes: must be at most "
            f"{MAX_DICTIONARY_BYTES} and {MAX_TABLES_BYTES}"
        )
    return zstd, read_shared(tables)


def pack_dictionary(content: bytes) -> bytes:
    """Return a dictionary's content as it travels.

    Raises:
        LocalProtocolError: it is empty or too long.
    """
    if content.startswith(_TABLES_MAGIC):
        # a reader that knows nothing of tables must not take it for raw content
        lead = write_lead(_TABLES, len(content), dictionary_name(content))
        return lead + compress(CODECS["zstd"], content)
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
    codec, raw_size_bytes, start, name = read_lead(packed)
    if codec not in {CODECS["none"], CODECS["zstd"], _TABLES}:
        raise RemoteProtocolError(f"dictionary is packed with codec {codec}: must be 0, 2 or 7")
    most_bytes = MAX_CONTENT_BYTES if codec == _TABLES else MAX_DICTIONARY_BYTES
    if raw_size_bytes > most_bytes:
        raise RemoteProtocolError(
            f"dictionary is {raw_size_bytes} bytes: must be 1 to {most_bytes}"
        )
    reading = CODECS["zstd"] if codec == _TABLES else codec
    dictionary = Dictionary(decompress(reading, packed[start:], raw_size_bytes))
    if bool(dictionary.shared) != (codec == _TABLES) or name not in {b"", dictionary.name}:
        raise RemoteProtocolError(
            "dictionary is not packed as one of its kind, or has another name"
        )
    return dictionary
