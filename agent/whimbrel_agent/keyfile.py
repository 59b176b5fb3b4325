"""Key and secret files: one line of text that only its owner may read.

A private key file holds base64 of the 32-byte Ed25519 seed. Lines that start with ``#`` are
comments. What anybody else could read is refused, since a key that leaked signs events that
nobody can tell from true ones.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import SEED_BYTES, PrivateKey

MAX_SECRET_BYTES: Final = 4096
"""A key is 44 characters and a password seldom 100; anything near this is the wrong file."""

_ROOT: Final = 0


class KeyFileError(WhimbrelError):
    """A key or secret file is missing, malformed, or readable by others."""


def create_key(path: Path) -> PrivateKey:
    """Make a new key and write it to a file that must not exist yet, mode 0600.

    Raises:
        KeyFileError: the file exists (a key is never overwritten) or cannot be written.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    key = PrivateKey(seed)
    text = f"# whimbrel private key, public half {key.public.to_text()}\n{_text_of(seed)}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileError(
            f"key file {path} exists and is not overwritten; move it away or name another file"
        ) from error
    except OSError as error:
        raise KeyFileError(f"key file {path} cannot be made: {error.strerror}") from error
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return key


def read_key(path: Path) -> PrivateKey:
    """Read a private key.

    Raises:
        KeyFileError: the file is missing, readable by others, or holds no key.
    """
    text = read_secret(path, what="key file")
    try:
        seed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyFileError(f"key file {path} does not hold base64 of a key seed") from error
    if len(seed) != SEED_BYTES:
        raise KeyFileError(f"key file {path} holds {len(seed)} bytes, a seed has {SEED_BYTES}")
    return PrivateKey(seed)


def read_secret(path: Path, *, what: str = "secret file") -> str:
    """Return the one line of a secret file that is no comment, without its line end.

    Args:
        path: the file.
        what: names the file's kind in errors.

    Raises:
        KeyFileError: the file is missing, readable by others, or does not hold one line.
    """
    try:
        with path.open("rb") as stream:
            _check_private(path, what, os.fstat(stream.fileno()))
            data = stream.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError as error:
        remedy = "; make one with: whimbrel-agent keygen" if what == "key file" else ""
        raise KeyFileError(f"{what} {path} does not exist{remedy}") from error
    except OSError as error:
        raise KeyFileError(f"{what} {path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_SECRET_BYTES:
        raise KeyFileError(f"{what} {path} is larger than {MAX_SECRET_BYTES} bytes")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{what} {path} is not UTF-8 text") from error
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    if len(kept) != 1:
        raise KeyFileError(f"{what} {path} holds {len(kept)} lines besides comments, must be one")
    return kept[0]


def check_private_file(path: Path, *, what: str) -> None:
    """Refuse a file that others can read, such as the key of a client certificate.

    Raises:
        KeyFileError: it is missing or not private.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise KeyFileError(f"{what} {path} cannot be read: {error.strerror}") from error
    _check_private(path, what, facts)


def _check_private(path: Path, what: str, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise KeyFileError(f"{what} {path} is not a regular file")
    if facts.st_mode & 0o077:
        mode = stat.S_IMODE(facts.st_mode)
        raise KeyFileError(
            f"{what} {path} has mode {mode:04o}, others can use it; run: chmod 600 {path}"
        )
    if facts.st_uid not in (os.geteuid(), _ROOT):
        raise KeyFileError(
            f"{what} {path} belongs to user {facts.st_uid}, this program runs as "
            f"{os.geteuid()}; run: chown {os.geteuid()} {path}"
        )


def _text_of(seed: bytes) -> str:
    return base64.b64encode(seed).decode("ascii")
