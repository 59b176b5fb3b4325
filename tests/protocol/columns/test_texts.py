import pytest

from whimbrel_protocol.columns import kinds, texts
from whimbrel_protocol.columns.column import read_column
from whimbrel_protocol.columns.knowntexts import read_texts
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError

COLUMNS: dict[str, tuple[list[str], int, int | None]] = {
    "one": (["same"] * 9, kinds.TEXT_ONE, None),
    "few": (["a", "b", "c", "a", "b", "a"], kinds.TEXT_FEW, None),
    "empty ones": (["", "x", "", ""], kinds.TEXT_FEW, None),
    "with nul": (["a\x00b", "", "\x00"], kinds.TEXT, texts.SIZED),
    "runs": (["a"] * 9 + ["b"] * 9 + ["a"] * 9, kinds.TEXT, texts.SPLIT | 0x10),
    "numbers": ([str(at * 7) for at in range(40)], kinds.TEXT, texts.NUMBERS),
    "padded numbers": ([f"{at:05d}" for at in range(40)], kinds.TEXT, texts.NUMBERS),
    "ragged zeros": (["01", "2", "3", "4"], kinds.TEXT_NEW, None),
    "other digits": (["\u0663", "\u0664", "\u0665", "\u0666"], kinds.TEXT_NEW, None),
    "long numbers": ([str(10**18 + at) for at in range(9)], kinds.TEXT_NEW, None),
    "beyond ascii": (["é", "\U0001f600", "z"], kinds.TEXT_NEW, None),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_form_gives_back_its_texts(name: str) -> None:
    values, kind, form = COLUMNS[name]
    out = BodyWriter()
    texts.write_texts(out, values)
    assert out.head[0] == kind
    if form is not None:
        assert out.head[1] == form
    reader = BodyReader(out.finish()[0])
    assert read_column(reader, len(values)) == values
    reader.close()


def test_texts_seen_first_have_no_codes() -> None:
    out = BodyWriter()
    texts.write_texts(out, [f"name {at}" for at in range(300)])
    assert len(out.head) + len(out.planes) + len(out.noise) < 8


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\x00\x00", b""),
        (b"\x00\x05", b"a\x00b\x00c\x00d\x00e\x00"),
        (b"\x20\x01", b"a\x00"),
        (b"\x03\x01", b"a\x00"),
        (b"\x00\x01", b"a"),
        (b"\x00\x02\x00\x00", b"a\x00b"),
        (b"\x00\x01", b"\xff\x00"),
        (b"\x00\x01", b"\xed\xa0\x80\x00"),
        (b"\x01\x01\x00\x04", b"a"),
        (b"\x01\x01\x00\x01", b"a"),
        (b"\x02\x01\x13\x00\x02", b""),
        (b"\x02\x01\x00\x00\x01", b""),
        (b"\x00\x02\x00\x00", b"a\x00b\x00"),
        (b"\x00\x02\x00\x06", b"a\x00b\x00"),
        (b"\x00\x02\x00\x01", b"a\x00b\x00"),
        (b"\x10\x02\x01\x00\x00\x00\x08", b"a\x00b\x00"),
        (b"\x10\x02\x02\x00\x00\x00\x06", b"a\x00b\x00"),
    ],
)
def test_a_text_column_that_breaks_a_rule_is_refused(head: bytes, text: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_texts(BodyReader(bytes([len(head), len(text), 0]) + head + text), 4)
