"""Key and secret files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from whimbrel_agent.keyfile import (
    MAX_SECRET_BYTES,
    KeyFileError,
    check_private_file,
    create_key,
    read_key,
    read_secret,
)


def secret(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_new_key_is_private_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "device.key"
    key = create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).public == key.public
    assert create_key(tmp_path / "other").public != key.public


def test_the_umask_does_not_open_a_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_key(tmp_path / "device.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "device.key").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    create_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists and is not overwritten"):
        create_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = secret(tmp_path, b"word", mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}, others can use it; run: chmod 600"):
        read_secret(path)
    with pytest.raises(KeyFileError, match="chmod 600"):
        check_private_file(path, what="certificate key file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_else_s_file_is_refused(tmp_path: Path) -> None:
    path = secret(tmp_path, b"word")
    os.chown(path, 12_345, 12_345)
    with pytest.raises(KeyFileError, match="belongs to user 12345"):
        read_secret(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds 0 lines"),
        (b"a\nb\n", "holds 2 lines"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * (MAX_SECRET_BYTES + 1), "is larger than"),
    ],
)
def test_a_secret_is_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(KeyFileError, match=said):
        read_secret(secret(tmp_path, data))


def test_comments_and_line_ends_are_not_part_of_a_secret(tmp_path: Path) -> None:
    assert read_secret(secret(tmp_path, b"# note\n open sesame\r\n\n")) == " open sesame"


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="whimbrel-agent keygen"):
        read_key(tmp_path / "none")


@pytest.mark.parametrize("text", [b"not base64!", b"AAAA"])
def test_what_is_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(KeyFileError, match="seed"):
        read_key(secret(tmp_path, text))


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        read_key(tmp_path)
    with pytest.raises(KeyFileError, match="not a regular file"):
        check_private_file(tmp_path, what="key")
