from __future__ import annotations

import random

from whimbrel_sim.cards.content import SECTOR_BYTES, Content, File

OLD = b"a" * 4 * SECTOR_BYTES
NEW = b"b" * 4 * SECTOR_BYTES


def drawn(file: File, count: int = 300) -> list[bytes]:
    return [file.draw(random.Random(seed)).data() for seed in range(count)]


def test_a_content_gives_back_what_was_written() -> None:
    chance = random.Random(1)
    content, plain = Content(), bytearray()
    for _ in range(200):
        offset, data = chance.randrange(4000), chance.randbytes(chance.randrange(1, 1500))
        if chance.random() < 0.2:
            size = chance.randrange(5000)
            content.resize(size)
            del plain[size:]
            plain.extend(bytes(size - len(plain)))
            continue
        content.write(offset, data)
        plain.extend(bytes(max(0, offset + len(data) - len(plain))))
        plain[offset : offset + len(data)] = data
        assert content.data() == plain
    assert Content.of(bytes(plain)).data() == plain


def test_synced_data_always_survive() -> None:
    file = File()
    file.write(0, NEW)
    file.sync()
    file.write(len(NEW), b"c" * 700)
    assert all(data.startswith(NEW) for data in drawn(file))


def test_unsynced_writes_are_kept_lost_or_torn_at_sectors() -> None:
    file = File(Content.of(OLD))
    file.write(0, NEW)
    found = {
        tuple(data[at : at + SECTOR_BYTES][:1] for at in range(0, len(data), SECTOR_BYTES))
        for data in drawn(file)
    }
    assert (b"a",) * 4 in found
    assert (b"b",) * 4 in found
    assert len(found) > 8
    for data in drawn(file):
        for at in range(0, len(data), SECTOR_BYTES):
            assert len(set(data[at : at + SECTOR_BYTES])) == 1, "torn inside a sector"


def test_a_later_write_may_survive_an_earlier_one() -> None:
    file = File(Content.of(OLD))
    file.write(0, b"1" * SECTOR_BYTES)
    file.write(2 * SECTOR_BYTES, b"2" * SECTOR_BYTES)
    firsts = {(data[:1], data[2 * SECTOR_BYTES :][:1]) for data in drawn(file)}
    assert firsts == {(b"a", b"a"), (b"1", b"a"), (b"a", b"2"), (b"1", b"2")}


def test_a_sector_is_as_it_was_at_some_moment() -> None:
    file = File(Content.of(OLD))
    file.write(0, b"1" * 100)
    file.write(100, b"2" * 100)
    assert {data[99:101] for data in drawn(file)} == {b"aa", b"1a", b"12"}


def test_a_lost_length_leaves_zeros_or_rubbish_and_never_the_end() -> None:
    file = File()
    file.write(0, NEW)
    found = drawn(file)
    assert {0, len(NEW)} <= {len(data) for data in found}
    whole = [data for data in found if len(data) == len(NEW)]
    assert any(data == NEW for data in whole)
    assert any(not data.rstrip(b"\0") for data in whole)
    assert any(set(data) - {0, ord("b")} for data in whole)


def test_a_truncation_takes_effect_before_what_is_written_after_it() -> None:
    file = File(Content.of(OLD))
    file.resize(0)
    file.write(0, NEW)
    for data in drawn(file):
        assert not (set(data) >= set(b"ab")), "old bytes beside new ones behind a truncation"


def test_an_allocation_gives_zeros() -> None:
    file = File()
    file.resize(2000)
    assert {bytes(data) for data in drawn(file)} == {b"", bytes(2000)}


def test_what_a_failed_sync_covered_may_be_lost_for_good() -> None:
    file = File(Content.of(OLD))
    file.write(0, b"1" * SECTOR_BYTES)
    file.fail_sync()
    file.write(SECTOR_BYTES, b"2" * SECTOR_BYTES)
    file.sync()
    found = drawn(file)
    assert {data[:1] for data in found} == {b"a", b"1"}
    assert {data[SECTOR_BYTES:][:1] for data in found} == {b"2"}
    assert file.newest().data()[:1] == b"1", "programs go on reading it"
