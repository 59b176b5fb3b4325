"""COSE_Sign1 (RFC 9052 section 4.2) with Ed25519, in exactly one byte form.

====================  ============================================================
bytes                 meaning
====================  ============================================================
``D2 84``             tag 18, array of four
``4D``                protected header, 13 bytes: ``{1: -8, 4: key id (8 bytes)}``
``A0``                unprotected header, always empty
payload               byte string with the shortest length form
``58 40`` + 64        signature
====================  ============================================================

Any COSE library reads this. We accept no other form, since the unprotected header and the
length forms are not signed: a second form of the same message would have another digest,
and whoever sits on the broker could make one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from .errors import RemoteProtocolError
from .keys import KEY_ID_BYTES, SIGNATURE_BYTES, PrivateKey, PublicKey
from .limits import MAX_PAYLOAD_BYTES

_HEAD: Final = b"\xd2\x84\x4d\xa2\x01\x27\x04\x48"
_PROTECTED_START: Final = 3
_KEY_ID_START: Final = len(_HEAD)
_PAYLOAD_START: Final = _KEY_ID_START + KEY_ID_BYTES + 1
_CONTEXT: Final = b"\x84\x6aSignature1"
_SIGNATURE_HEAD: Final = b"\x58\x40"


@dataclass(frozen=True, slots=True)
class Signed:
    """A parsed, not yet verified COSE_Sign1 message."""

    data: bytes
    key_id: bytes
    payload: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 over all bytes of the message (32 bytes)."""
        return hashlib.sha256(self.data).digest()

    def verify(self, key: PublicKey) -> None:
        """Check the signature.

        Raises:
            BadSignatureError: it is not the signature of this message by ``key``.
        """
        key.verify(_to_be_signed(self.data[:_PAYLOAD_START], self.payload), self.signature)


def sign(payload: bytes, key: PrivateKey) -> bytes:
    """Wrap and sign ``payload``; the result is the same for the same input."""
    head = _HEAD + key.public.key_id + b"\xa0"
    signature = key.sign(_to_be_signed(head, payload))
    return b"".join((head, _bytes_head(len(payload)), payload, _SIGNATURE_HEAD, signature))


def parse(data: bytes) -> Signed:
    """Take a message apart without verifying it.

    Raises:
        RemoteProtocolError: it is longer than a payload may be, or not in the one byte
            form that this protocol uses.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise RemoteProtocolError(
            f"message of {len(data)} bytes is longer than {MAX_PAYLOAD_BYTES}"
        )
    end = len(data) - SIGNATURE_BYTES - len(_SIGNATURE_HEAD)
    if not data.startswith(_HEAD) or end <= _PAYLOAD_START:
        raise RemoteProtocolError(f"message of {len(data)} bytes is not a COSE_Sign1 of Ed25519")
    for head_size in (1, 2, 3, 5):
        size = end - _PAYLOAD_START - head_size
        start = _PAYLOAD_START + head_size
        if size >= 0 and data[_PAYLOAD_START:start] == _bytes_head(size):
            break
    else:
        raise RemoteProtocolError(f"message of {len(data)} bytes has a payload of another length")
    if data[_PAYLOAD_START - 1] != 0xA0 or data[end : end + 2] != _SIGNATURE_HEAD:
        raise RemoteProtocolError("message is not in the one COSE_Sign1 form of this protocol")
    return Signed(
        data=data,
        key_id=data[_KEY_ID_START : _PAYLOAD_START - 1],
        payload=data[start:end],
        signature=data[end + 2 :],
    )


def _to_be_signed(head: bytes, payload: bytes) -> bytes:
    protected = head[_PROTECTED_START - 1 : _PAYLOAD_START - 1]  # with its byte-string head
    return b"".join((_CONTEXT, protected, b"\x40", _bytes_head(len(payload)), payload))


def _bytes_head(size: int) -> bytes:
    if size < 24:
        return bytes((0x40 | size,))
    if size < 0x100:
        return bytes((0x58, size))
    if size < 0x10000:
        return b"\x59" + size.to_bytes(2, "big")
    return b"\x5a" + size.to_bytes(4, "big")
