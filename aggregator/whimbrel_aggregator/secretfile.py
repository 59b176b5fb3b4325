"""Files that hold a secret: readable by their owner only, or not used at all."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from whimbrel_protocol.errors import WhimbrelError

MAX_SECRET_BYTES: Final = 16 * 1024
"""More than any token, key or connection string; a wrong path to a big file is an error."""


class SecretFileError(WhimbrelError):
    """A secret's file cannot be used; the text names the file and the remedy, never the secret."""


def read_secrets(path: Path) -> tuple[str, ...]:
    """Return the lines of a secret file that are not empty, without white space around them.

    Raises:
        SecretFileError: missing, readable by others, too big, not text, or empty.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretFileError(f"secret file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise SecretFileError(
            f"secret file {path} has mode {mode:04o}, others may read it; run: chmod 600 {path}"
        )
    if len(data) > MAX_SECRET_BYTES:
        raise SecretFileError(f"secret file {path} is over {MAX_SECRET_BYTES} bytes")
    try:
        lines = tuple(line.strip() for line in data.decode().splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise SecretFileError(f"secret file {path} is not UTF-8 text") from error
    if not lines:
        raise SecretFileError(f"secret file {path} is empty")
    return lines


def read_secret(path: Path) -> str:
    """Return the one secret of a file; raises SecretFileError as :func:`read_secrets` does."""
    lines = read_secrets(path)
    if len(lines) > 1:
        raise SecretFileError(f"secret file {path} has {len(lines)} lines, must have one")
    return lines[0]
