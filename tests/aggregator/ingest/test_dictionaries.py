"""Dictionaries from offer to events: kept before they are named, wanted where they lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from regions.frames import START_NS, Device
from regions.ingesting import Region, delivery, direct_journal, of_type, region_in
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.journal.backup import restore_backup
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.journal.salvage import salvage_journal
from whimbrel_aggregator.journal.verify import verify_journal
from whimbrel_aggregator.reading import EventReader
from whimbrel_protocol.batch import encode_events, uncompressed
from whimbrel_protocol.dictionaries import Dictionary, named_dictionary, pack_dictionary
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.event import Event
from whimbrel_protocol.messages import (
    DictionaryAnswer,
    DictionaryOffer,
    DictionaryStatus,
    Message,
    Receipt,
    Status,
    Want,
)
from whimbrel_protocol.topics import dictionary_topic

TILL = Device()
STORE = PartitionKey("acme", "store-1")


def events(first: int, count: int = 5) -> list[Event]:
    return [
        Event(
            type="shelf.level",
            source=f"shelf-{number % 3} in the cold room at the back of the store",
            time_ns=START_NS + number,
            data={"article": f"article number {number % 4} of the autumn catalogue", "n": number},
        )
        for number in range(first, first + count)
    ]


LEARNED = Dictionary(
    b"".join(uncompressed(encode_events(events(n), codec="none")) for n in range(9))
)


def offer(
    content: bytes | None = None,
    *,
    device: Device = TILL,
    packed: bytes | None = None,
    needed: bool = False,
    signer: Device | None = None,
) -> Delivery:
    body = pack_dictionary(content or LEARNED.content) if packed is None else packed
    payload = seal_message(DictionaryOffer(device.address, body, needed), (signer or device).key)
    return Delivery(dictionary_topic(device.address), payload, False, START_NS)


def frame(first: int) -> bytes:
    columns = encode_events(events(first), dictionary=LEARNED)
    assert named_dictionary(columns) == LEARNED.name
    return TILL.frame(first, content=columns)


def words(answers: list[Message]) -> list[tuple[bytes, DictionaryStatus]]:
    return [entry for one in of_type(answers, DictionaryAnswer) for entry in one.entries]


async def read(region: Region) -> list[Event]:
    reader = EventReader(region.journal, DirectRunner(), SystemClock())
    page = await region.journal.read(STORE, 1)
    found = [one.event async for row in reader.decode(page) for one in row.events]
    assert reader.unreadable_frames == 0
    return found


async def test_an_offer_is_answered_as_kept_and_frames_that_name_it_are_served(
    tmp_path: Path,
) -> None:
    async with region_in(tmp_path, TILL) as region:
        [answer] = of_type(await region.take(offer()), DictionaryAnswer)
        assert answer.entries == ((LEARNED.name, DictionaryStatus.KEPT),)
        assert answer.generation == region.journal.generation
        entries = await region.settle(TILL, frame(1), frame(6))
        assert [entry.status for entry in entries] == [Status.COMMITTED] * 2
        assert await read(region) == events(1, 10)
        assert region.counters["dictionaries_kept"] == 1


async def test_a_dictionary_before_its_frame_in_one_group_is_enough(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        answers = await region.take(offer(), delivery(TILL, frame(1)))
        [receipt] = of_type(answers, Receipt)
        assert receipt.entries[0].status is Status.COMMITTED
        assert await read(region) == events(1)


async def test_a_frame_whose_dictionary_lacks_gets_no_receipt_until_it_came(
    tmp_path: Path,
) -> None:
    async with region_in(tmp_path, TILL) as region:
        answers = await region.frames(TILL, frame(1), frame(6))
        assert of_type(answers, Receipt) == []
        assert words(answers) == [(LEARNED.name, DictionaryStatus.WANTED)]
        assert len(of_type(answers, Want)) == 1  # the second came before the first was taken
        assert await region.kept() == []
        assert region.counters["frames_no_dictionary"] == 1
        await region.take(offer(needed=True))
        assert len(await region.settle(TILL, frame(1), frame(6))) == 2
        assert await read(region) == events(1, 10)


async def test_a_plain_frame_of_another_lane_does_not_wait(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.frames(TILL, frame(1))
        [entry] = await region.settle(TILL, TILL.frame(1, lane="high"), lane="high")
        assert entry.status is Status.COMMITTED


async def test_a_settled_frame_is_receipted_again_and_a_gap_needs_no_dictionary(
    tmp_path: Path,
) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.take(offer())
        await region.settle(TILL, frame(1))
        [again] = await region.settle(TILL, frame(1))
        assert again.status is Status.COMMITTED
        await region.settle(TILL, TILL.gap(6))
        [late] = await region.settle(TILL, frame(6))
        assert late.status is Status.GAPPED


async def test_a_fork_needs_its_dictionary_too(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.settle(TILL, TILL.frame(1))
        answers = await region.frames(TILL, frame(1))
        assert words(answers) == [(LEARNED.name, DictionaryStatus.WANTED)]
        await region.take(offer(needed=True))
        assert len(await region.settle(TILL, frame(1))) == 1
        assert region.counters["frames_forked"] == 1


async def test_another_devices_dictionary_is_not_enough(tmp_path: Path) -> None:
    other = Device("till-2")
    async with region_in(tmp_path, TILL, other) as region:
        await region.take(offer(device=other))
        answers = await region.frames(TILL, frame(1))
        assert words(answers) == [(LEARNED.name, DictionaryStatus.WANTED)]


@pytest.mark.parametrize(
    ("bad", "counter"),
    [
        (offer(packed=b"\x10\x05abc"), "refused_malformed"),
        (offer(packed=b"\x10\x0c\x37\xa4\x30\xec" + bytes(8)), "refused_malformed"),
        (offer(signer=Device("till-1", seed=2)), "held_unknown_key"),
        (offer(device=Device("till-9")), "held_not_enrolled"),
        (
            Delivery(dictionary_topic(TILL.address), TILL.frame(1), False, 1),
            "refused_malformed",
        ),
        (
            Delivery(dictionary_topic(Device("till-2").address), offer().payload, False, 1),
            "refused_misaddressed",
        ),
    ],
)
async def test_what_is_no_dictionary_of_this_device_is_not_kept(
    tmp_path: Path, bad: Delivery, counter: str
) -> None:
    async with region_in(tmp_path, TILL) as region:
        assert words(await region.take(bad)) == []
        assert region.counters[counter] == 1


async def test_a_device_with_too_many_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_aggregator.journal.dictionaries.MAX_LEARNED", 1)
    async with region_in(tmp_path, TILL) as region:
        await region.take(offer(), delivery(TILL, frame(1)))
        name = Dictionary(b"another").name
        assert words(await region.take(offer(b"another"))) == [(name, DictionaryStatus.NO_ROOM)]
        assert words(await region.take(offer(b"another", needed=True))) == [
            (name, DictionaryStatus.KEPT)
        ]


async def test_a_restored_region_wants_what_it_lost(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.journal.backup(str(tmp_path / "copy"))
        await region.take(offer(), delivery(TILL, frame(1)))
    restore_backup(tmp_path / "copy", tmp_path / "restored.db")
    restored = Region(await direct_journal(tmp_path / "restored.db"))
    try:
        answers = await restored.frames(TILL, frame(1))
        assert words(answers) == [(LEARNED.name, DictionaryStatus.WANTED)]
        await restored.take(offer(needed=True))
        assert len(await restored.settle(TILL, frame(1))) == 1
        assert await read(restored) == events(1)
    finally:
        await restored.journal.close()


async def _left(tmp_path: Path) -> Path:
    async with region_in(tmp_path, TILL) as region:
        await region.take(offer(), delivery(TILL, frame(1)), delivery(TILL, frame(6)))
        return region.journal.path


async def test_verification_reads_frames_with_their_dictionary(tmp_path: Path) -> None:
    path = await _left(tmp_path)
    assert verify_journal(path).sound
    journal = await direct_journal(path)
    await journal._write(lambda connection, _: connection.execute("DELETE FROM dictionaries"))
    await journal.close()
    report = verify_journal(path)
    assert report.problems_found == 2
    assert LEARNED.name.hex() in report.problems[0].what


async def test_verification_finds_a_changed_dictionary(tmp_path: Path) -> None:
    path = await _left(tmp_path)
    journal = await direct_journal(path)
    await journal._write(
        lambda connection, _: connection.execute("UPDATE dictionaries SET content = x'00'")
    )
    assert await journal.dictionaries([(TILL.device_key, LEARNED.name)]) == [None]
    assert await journal.keep_dictionary(TILL.device_key, LEARNED.content, needed=False)
    assert await journal.dictionaries([(TILL.device_key, LEARNED.name)]) == [LEARNED.content]
    await journal._write(
        lambda connection, _: connection.execute("UPDATE dictionaries SET content = x'00'")
    )
    await journal.close()
    assert not verify_journal(path).sound


async def test_salvage_carries_dictionaries_and_says_which_frames_lack_theirs(
    tmp_path: Path,
) -> None:
    path = await _left(tmp_path)
    report = salvage_journal(path, generation=b"g" * 8, now_ns=START_NS)
    assert (report.dictionaries, report.without_dictionary) == (1, 0)
    salvaged = Region(await direct_journal(path))
    assert await read(salvaged) == events(1, 10)
    await salvaged.journal._write(
        lambda connection, _: connection.execute("UPDATE dictionaries SET content = x'00'")
    )
    await salvaged.journal.checkpoint()
    await salvaged.journal.close()
    again = salvage_journal(path, generation=b"h" * 8, now_ns=START_NS + 10**9)
    assert (again.frames, again.dictionaries, again.without_dictionary) == (2, 0, 2)
    asked = Region(await direct_journal(path))
    await asked.take(offer())  # the device may still have it
    assert await read(asked) == events(1, 10)
    await asked.journal.close()
