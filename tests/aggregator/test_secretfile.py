from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_aggregator.secretfile import (
    MAX_SECRET_BYTES,
    SecretFileError,
    read_secret,
    read_secrets,
)


def secret(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_lines_are_secrets_without_space_around_them(tmp_path: Path) -> None:
    assert read_secrets(secret(tmp_path, b" new \n\nold\n")) == ("new", "old")
    assert read_secret(secret(tmp_path, b"only\n", 0o400)) == "only"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o777])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SecretFileError, match="chmod 600"):
        read_secrets(secret(tmp_path, b"hush", mode))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff", "UTF-8"),
        (b"x" * (MAX_SECRET_BYTES + 1), "over"),
    ],
)
def test_a_file_without_a_usable_secret_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(SecretFileError, match=why):
        read_secrets(secret(tmp_path, data))


def test_two_secrets_are_not_one(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match="2 lines") as caught:
        read_secret(secret(tmp_path, b"first\nsecond\n"))
    assert "first" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match="nowhere"):
        read_secret(tmp_path / "nowhere")
