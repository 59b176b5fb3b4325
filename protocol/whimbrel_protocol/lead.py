"""The lead of columns: the first bytes, which say how the rest is packed and how large it gets.

::

    byte      format version (high four bits, 1) and codec id (low four bits)
    varint    size of the body in bytes before compression; not with codec row
    8 bytes   name of the dictionary; with codecs zstd-dictionary and zstd-tables only
"""

from __future__ import annotations

from typing import Final, NamedTuple

from whimbrel_protocol.codecs import CODEC_NAMES, CODECS, NAMING
from whimbrel_protocol.columns.regions import put_varint, read_varint
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_RAW_BYTES

__all__ = ["DICTIONARY_NAME_BYTES", "Lead", "check_declared_size", "read_lead", "write_lead"]

_VERSION: Final = 1

DICTIONARY_NAME_BYTES: Final = 8
"""As much of a SHA-256 as names frames; a device has a few dozen dictionaries in its life, and
only its own are looked for."""


class Lead(NamedTuple):
    """What columns say before their body.

    The codec, the body's size when uncompressed, where it begins, and the name of the dictionary
    that it needs, or empty.
    """

    codec: int
    raw_size_bytes: int
    start: int
    dictionary: bytes = b""


def write_lead(codec: int, raw_size_bytes: int, dictionary: bytes = b"") -> bytes:
    """Return the bytes before a body; ``dictionary`` is the name of the one it needs."""
    lead = bytearray([_VERSION << 4 | codec])
    if codec != CODECS["row"]:
        put_varint(lead, raw_size_bytes)
    return bytes(lead) + dictionary


def read_lead(columns: bytes) -> Lead:
    """Read what columns say of themselves; a row's size is what is left.

    Raises:
        RemoteProtocolError: unknown version or codec, or a size beyond ``MAX_FRAME_RAW_BYTES``.
    """
    if not columns:
        raise RemoteProtocolError("columns are empty: at least 2 bytes are needed")
    version, codec = columns[0] >> 4, columns[0] & 0x0F
    if version != _VERSION:
        raise RemoteProtocolError(f"columns have version {version}: this program reads {_VERSION}")
    if codec not in CODEC_NAMES:
        raise RemoteProtocolError(f"codec id is {codec}: must be one of {sorted(CODEC_NAMES)}")
    if codec == CODECS["row"]:
        return Lead(codec, len(columns) - 1, 1)
    raw_size_bytes, start = read_varint(columns, 1)
    if raw_size_bytes > MAX_FRAME_RAW_BYTES:
        raise RemoteProtocolError(
            f"declared size is {raw_size_bytes} bytes: must be at most {MAX_FRAME_RAW_BYTES}"
        )
    if codec not in NAMING:
        return Lead(codec, raw_size_bytes, start)
    name = columns[start : start + DICTIONARY_NAME_BYTES]
    if len(name) < DICTIONARY_NAME_BYTES:
        raise RemoteProtocolError(
            f"columns end early: the name of a dictionary has {len(name)} of "
            f"{DICTIONARY_NAME_BYTES} bytes"
        )
    return Lead(codec, raw_size_bytes, start + DICTIONARY_NAME_BYTES, name)


def check_declared_size(columns: bytes) -> None:
    """Refuse columns that declare more than a frame may hold, before anybody allocates it.

    Columns of a version or codec that is not known here pass: whoever can read them checks.

    Raises:
        RemoteProtocolError: the size is beyond ``MAX_FRAME_RAW_BYTES``, or does not end.
    """
    if columns and columns[0] >> 4 == _VERSION and columns[0] & 0x0F in CODEC_NAMES:
        read_lead(columns)
