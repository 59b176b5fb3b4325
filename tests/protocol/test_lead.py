"""The lead of columns."""

import pytest

from whimbrel_protocol.codecs import CODEC_NAMES, CODECS, NAMING
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.lead import check_declared_size, read_lead, write_lead
from whimbrel_protocol.limits import MAX_FRAME_RAW_BYTES


@pytest.mark.parametrize("codec", CODEC_NAMES, ids=CODEC_NAMES.get)
def test_a_lead_is_read_as_it_was_written(codec: int) -> None:
    for size_bytes in (0, 1, 300, MAX_FRAME_RAW_BYTES):
        name = b"the name" if codec in NAMING else b""
        lead = write_lead(codec, size_bytes, name)
        body = b"x" * 5
        found = read_lead(lead + body)
        wanted = len(body) if codec == CODECS["row"] else size_bytes
        assert found == (codec, wanted, len(lead), name)


@pytest.mark.parametrize(
    "lead", [b"", b"\x20\x00", b"\x13\x00", b"\x13\x00seven b", b"\x17\x00", b"\x12", b"\x12\x80"]
)
def test_a_lead_of_no_known_form_is_refused(lead: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_lead(lead)


def test_a_declared_size_beyond_the_limit_is_refused_by_name() -> None:
    lead = write_lead(CODECS["zstd"], MAX_FRAME_RAW_BYTES + 1)
    for read in (read_lead, check_declared_size):
        with pytest.raises(RemoteProtocolError, match=f"at most {MAX_FRAME_RAW_BYTES}"):
            read(lead)


def test_only_what_is_known_is_checked_for_its_size() -> None:
    for columns in (b"", b"\x22" + b"\xff" * 12, b"\x1f" + b"\xff" * 12):
        check_declared_size(columns)
