"""PNG files that a reader of the specification takes apart again."""

from __future__ import annotations

import struct
import zlib

from whimbrel_sim.energy.comparison import Comparison, Row
from whimbrel_sim.energy.lettering import HEIGHT, dots
from whimbrel_sim.energy.picture import draw
from whimbrel_sim.energy.png import Canvas


def chunks(data: bytes) -> dict[bytes, bytes]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = {}, 8
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + content)
        found[kind] = content
        at += 12 + size
    return found


def pixels(data: bytes) -> list[bytes]:
    parts = chunks(data)
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    raw = zlib.decompress(parts[b"IDAT"])
    assert len(raw) == height * (width + 1)
    rows = [raw[at : at + width + 1] for at in range(0, len(raw), width + 1)]
    assert all(row[0] == 0 for row in rows)
    return [row[1:] for row in rows]


def test_bars_are_where_they_were_drawn_and_cut_at_the_edges() -> None:
    canvas = Canvas(4, 3, [(255, 255, 255), (0, 0, 0)])
    canvas.bar(2, 1, 9, 1, 1)
    canvas.bar(-3, 2, 4, 9, 1)
    canvas.bar(1, -5, 1, 2, 1)
    data = canvas.to_png()
    assert pixels(data) == [b"\0\0\0\0", b"\0\0\1\1", b"\1\0\0\0"]
    assert list(chunks(data)) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]


def test_letters_are_drawn_within_their_field() -> None:
    text = "Radio 0123456789 (x), 50 % - Q?"
    for x, y in dots(text):
        assert 0 <= y < HEIGHT
        assert 0 <= x % 6 < 5
    assert min(dots("I")) == (1, 0)


def test_the_picture_has_a_bar_for_each_policy_in_proportion() -> None:
    rows = (Row("send at once", 1000, 9, 10, 0), Row("Whimbrel", 100, 9, 1, 0))
    picture = pixels(draw(Comparison("mixed load", 1, 1, 10, rows, 1.0)))
    lengths = [max(row.count(bytes([colour])) for row in picture) for colour in (2, 3)]
    assert lengths[0] >= 520
    assert 52 <= lengths[1] < 200
