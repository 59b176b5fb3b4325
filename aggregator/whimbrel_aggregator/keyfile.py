"""Key files: base64 of a 32-byte seed, readable by their owner only."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from whimbrel_aggregator.secretfile import read_secret
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import SEED_BYTES, PrivateKey


class KeyFileError(WhimbrelError):
    """A key file cannot be used."""


def read_key(path: Path) -> PrivateKey:
    """Read a private key.

    Raises:
        SecretFileError: it cannot be read, or others than its owner may read it.
        KeyFileError: it holds no key.
    """
    try:
        seed = base64.b64decode(read_secret(path), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyFileError(f"key file {path} is not base64") from error
    if len(seed) != SEED_BYTES:
        raise KeyFileError(f"key file {path} holds {len(seed)} bytes, must be {SEED_BYTES}")
    return PrivateKey(seed)


def write_key(path: Path, seed: bytes) -> PrivateKey:
    """Write a new key file, readable by its owner only, and return the key.

    Raises:
        KeyFileError: the file exists or cannot be written.
    """
    key = PrivateKey(seed)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(seed) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise KeyFileError(f"key file {path} exists; it is never overwritten") from error
    except OSError as error:
        raise KeyFileError(f"key file {path} cannot be written: {error.strerror}") from error
    return key
