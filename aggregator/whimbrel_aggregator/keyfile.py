"""Key files: base64 of a 32-byte seed, readable by their owner only."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path

from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import SEED_BYTES, PrivateKey


class KeyFileError(WhimbrelError):
    """A key or secret file cannot be used."""


def read_secret(path: Path, what: str) -> str:
    """Return the text of a secret file without the line end.

    Raises:
        KeyFileError: it cannot be read, is empty, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(64 * 1024).decode("utf-8").strip()
    except OSError as error:
        raise KeyFileError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{what} {path} is not text") from error
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise KeyFileError(
            f"{what} {path} may be read by others (mode {stat.S_IMODE(mode):04o}); run: "
            f"chmod 600 {path}"
        )
    if not text:
        raise KeyFileError(f"{what} {path} is empty")
    return text


def read_key(path: Path) -> PrivateKey:
    """Read a private key.

    Raises:
        KeyFileError: it cannot be read, is no key, or others than its owner may read it.
    """
    text = read_secret(path, "key file")
    try:
        seed = base64.b64decode(text, validate=True)
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
