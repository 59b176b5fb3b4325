from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_aggregator.keyfile import KeyFileError, read_key, write_key
from whimbrel_aggregator.secretfile import SecretFileError


def test_a_key_is_written_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "region.key"
    key = write_key(path, b"s" * 32)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path).public == key.public
    assert (b"s" * 32) not in path.read_bytes()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "region.key"
    write_key(path, b"s" * 32)
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key(path, b"t" * 32)
    assert read_key(path).public == write_key(tmp_path / "other.key", b"s" * 32).public


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "region.key"
    write_key(path, b"s" * 32)
    path.chmod(0o640)
    with pytest.raises(SecretFileError, match="chmod 600"):
        read_key(path)


@pytest.mark.parametrize(("text", "said"), [("!!", "not base64"), ("AAAA", "holds 3 bytes")])
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "region.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=said) as caught:
        read_key(path)
    assert text not in str(caught.value)
