"""Ed25519 keys (RFC 8032) as values: seeds, public halves and short key ids.

Reading and writing key files is a shell's work; this module only turns bytes into keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final

from nacl.exceptions import BadSignatureError as NaclBadSignature
from nacl.exceptions import ValueError as NaclValueError
from nacl.signing import SigningKey, VerifyKey

from .errors import LocalProtocolError, RemoteProtocolError

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
KEY_ID_BYTES: Final = 8
"""The first 8 bytes of SHA-256 of the public key: names a key, proves nothing."""


class BadSignatureError(RemoteProtocolError):
    """A signature does not belong to the message and the key."""


def key_id_of(public_key: bytes) -> bytes:
    """Return the 8-byte id of a 32-byte public key."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key; ``raw`` is its 32 bytes."""

    raw: bytes
    key_id: bytes = field(init=False)
    _verifier: VerifyKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_KEY_BYTES:
            raise LocalProtocolError(
                f"public key of {len(self.raw)} bytes, must be {PUBLIC_KEY_BYTES}"
            )
        object.__setattr__(self, "key_id", key_id_of(self.raw))
        object.__setattr__(self, "_verifier", VerifyKey(self.raw))

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read a public key as printed: base64 of its 32 bytes.

        Raises:
            LocalProtocolError: the text is not base64 of 32 bytes.
        """
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError) as error:
            raise LocalProtocolError(
                f"public key {text.strip()[:60]!r} is not base64 of {PUBLIC_KEY_BYTES} bytes"
            ) from error
        return cls(raw)

    def to_text(self) -> str:
        """Return the key as base64, the form that people copy."""
        return base64.b64encode(self.raw).decode()

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check ``signature`` (64 bytes) over ``message``.

        Raises:
            BadSignatureError: it is not this key's signature of this message.
        """
        try:
            self._verifier.verify(message, signature)
        except (NaclBadSignature, NaclValueError) as error:
            raise BadSignatureError(f"signature does not match key {self.key_id.hex()}") from error


class PrivateKey:
    """A signing key made from a 32-byte seed. Its ``repr`` never shows the seed."""

    __slots__ = ("_signer", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise LocalProtocolError(f"key seed of {len(seed)} bytes, must be {SEED_BYTES}")
        self._signer = SigningKey(seed)
        self.public = PublicKey(bytes(self._signer.verify_key))

    def __repr__(self) -> str:
        return f"PrivateKey(key_id={self.public.key_id.hex()})"

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of ``message``."""
        return self._signer.sign(message).signature
