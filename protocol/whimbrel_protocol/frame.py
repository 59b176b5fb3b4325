"""Frames: sealed, signed, immutable runs of one lane.

A frame is a COSE_Sign1 message whose payload is the CBOR array ``[0, header, columns]``.
The header is an array: what every frame says stands at fixed places, what few say in a map
at its end that is left out when empty (see ``protocol/README.md``); unknown keys of the map
are kept. The same bytes lie on flash, go over the air and are committed by the journal.

Sealing and opening touch the header only; of the columns no more is read than the size that
they declare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import cborform, cose
from .errors import LocalProtocolError, RemoteProtocolError
from .header import FrameHeader, FrameRange, check_header, header_array, read_header, read_range
from .keys import PrivateKey, PublicKey
from .lead import check_declared_size
from .limits import MAX_PAYLOAD_BYTES

FRAME_KIND: Final = 0
DIGEST_BYTES: Final = 8
"""How much of a frame's SHA-256 names it in receipts and indexes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A parsed frame: its bytes, header and columns. Verify before trusting it."""

    signed: cose.Signed
    header: FrameHeader
    columns: bytes

    @property
    def data(self) -> bytes:
        """The frame's bytes, the same everywhere."""
        return self.signed.data

    @property
    def key_id(self) -> bytes:
        """Which key claims to have signed it."""
        return self.signed.key_id

    @property
    def digest(self) -> bytes:
        """The first 8 bytes of SHA-256 over :attr:`data`."""
        return self.signed.digest[:DIGEST_BYTES]

    def verify(self, key: PublicKey) -> None:
        """Check the signature.

        Raises:
            BadSignatureError: it is not this key's.
        """
        self.signed.verify(key)


def seal_frame(header: FrameHeader, columns: bytes, key: PrivateKey) -> bytes:
    """Return the signed bytes of a frame; the same input gives the same bytes.

    Raises:
        LocalProtocolError: the header breaks a rule, or the frame would be longer than
            ``MAX_PAYLOAD_BYTES``.
    """
    check_header(header, LocalProtocolError)
    payload = cborform.dump([FRAME_KIND, header_array(header), columns])
    data = cose.sign(payload, key)
    if len(data) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(
            f"frame of {len(data)} bytes is longer than {MAX_PAYLOAD_BYTES}; seal fewer events"
        )
    return data


def open_frame(data: bytes) -> Frame:
    """Parse a frame and check its structure and limits, not its signature.

    Raises:
        UnsupportedVersionError: it speaks another protocol version.
        RemoteProtocolError: any rule of the frame format is broken.
    """
    signed = cose.parse(data)
    parts = cborform.load(signed.payload, "frame")
    if type(parts) is not list or len(parts) != 3 or parts[0] != FRAME_KIND:
        raise RemoteProtocolError("message is not a frame")
    columns = parts[2]
    if type(columns) is not bytes:
        raise RemoteProtocolError("frame: columns are not a byte string")
    header = read_header(parts[1])
    check_header(header, RemoteProtocolError)
    check_declared_size(columns)
    return Frame(signed, header, columns)


def open_range(signed: cose.Signed) -> FrameRange:
    """Read the places of a frame's header that every version has.

    Raises:
        RemoteProtocolError: not even these can be read.
    """
    parts = cborform.load(signed.payload, "frame")
    if type(parts) is not list or len(parts) < 2 or parts[0] != FRAME_KIND:
        raise RemoteProtocolError("message is not a frame")
    return read_range(parts[1])
