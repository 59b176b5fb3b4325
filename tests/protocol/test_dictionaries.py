"""Dictionaries: what frames of one device repeat, said once."""

import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from whimbrel_protocol.batch import columns_info, decode_events, encode_events, uncompressed
from whimbrel_protocol.codecs import CODECS
from whimbrel_protocol.dictionaries import (
    Dictionary,
    UnknownDictionaryError,
    dictionary_name,
    named_dictionary,
    pack_dictionary,
    unpack_dictionary,
)
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lead import read_lead, write_lead
from whimbrel_protocol.limits import MAX_DICTIONARY_BYTES, MAX_FRAME_RAW_BYTES

ARTICLES = [f"article {random.Random(n).randbytes(9).hex()}" for n in range(60)]


def _batch(seed: int, size: int) -> list[Event]:
    chosen = random.Random(seed)
    return [
        Event(
            type="till.line",
            source=f"till-{chosen.randrange(4)}",
            time_ns=10**18 + (seed * size + n) * 7 * 10**8,
            data={"article": chosen.choice(ARTICLES), "quantity": chosen.randrange(1, 9)},
        )
        for n in range(size)
    ]


def _bodies(size: int, count: int = 40) -> list[bytes | bytearray | memoryview]:
    return [uncompressed(encode_events(_batch(n, size), codec="none")) for n in range(count)]


TRAINED = Dictionary(zstandard.train_dictionary(4096, _bodies(20)).as_bytes())
RAW = Dictionary(b"".join(_bodies(20))[-8192:])
BOTH = {one.name: one for one in (TRAINED, RAW)}


@pytest.mark.parametrize("dictionary", [TRAINED, RAW], ids=["trained", "raw content"])
@pytest.mark.parametrize("size", [1, 2, 20, 300])
def test_events_come_back_exactly_and_take_fewer_bytes(dictionary: Dictionary, size: int) -> None:
    events = _batch(1_000, size)
    columns = encode_events(events, dictionary=dictionary)
    assert columns == encode_events(events, dictionary=dictionary)
    assert len(columns) < len(encode_events(events))
    assert columns_info(columns)[0] == "zstd-dictionary"
    assert named_dictionary(columns) == dictionary.name
    assert decode_events(columns, BOTH) == events


def test_texts_that_repeat_cost_almost_nothing_the_second_time() -> None:
    plain, used = (len(encode_events(_batch(77, 20), dictionary=one)) for one in (None, RAW))
    assert used < plain / 3


def test_columns_without_their_dictionary_say_which_one_they_need() -> None:
    columns = encode_events(_batch(5, 20), dictionary=TRAINED)
    with pytest.raises(UnknownDictionaryError, match=TRAINED.name.hex()) as caught:
        decode_events(columns, {RAW.name: RAW})
    assert caught.value.name == TRAINED.name


def test_a_dictionary_that_gains_nothing_is_not_named() -> None:
    strange = Dictionary(random.Random(3).randbytes(500))
    columns = encode_events(_batch(5, 20), dictionary=strange)
    assert named_dictionary(columns) == b""
    assert columns == encode_events(_batch(5, 20))
    assert encode_events([], dictionary=RAW) == encode_events([])


def test_a_dictionary_is_used_only_where_the_codec_is_free() -> None:
    for codec in ("none", "lz4", "zstd"):
        columns = encode_events(_batch(5, 20), codec=codec, dictionary=RAW)
        assert columns == encode_events(_batch(5, 20), codec=codec)


def test_another_dictionary_under_a_name_does_not_give_other_events() -> None:
    columns = encode_events(_batch(5, 20), dictionary=TRAINED)
    with pytest.raises(RemoteProtocolError):
        decode_events(columns, {TRAINED.name: RAW})


def test_any_zstd_reads_what_was_compressed() -> None:
    for one in (TRAINED, RAW):
        columns = encode_events(_batch(5, 20), dictionary=one)
        lead = read_lead(columns)
        plain = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(one.content))
        framed = b"\x28\xb5\x2f\xfd" + columns[lead.start :]
        body = plain.decompress(framed, max_output_size=lead.raw_size_bytes)
        assert body == uncompressed(columns, BOTH)


@pytest.mark.parametrize("content", [b"x", b"abc" * 500, TRAINED.content, RAW.content])
def test_a_dictionary_travels_and_keeps_its_name(content: bytes) -> None:
    packed = pack_dictionary(content)
    assert len(packed) <= len(content) + 4
    unpacked = unpack_dictionary(packed)
    assert unpacked.content == content
    assert unpacked.name == dictionary_name(content)


def test_sizes_are_limited_on_both_ways() -> None:
    for content in (b"", bytes(MAX_DICTIONARY_BYTES + 1)):
        with pytest.raises(LocalProtocolError, match=str(MAX_DICTIONARY_BYTES)):
            pack_dictionary(content)
        with pytest.raises(RemoteProtocolError, match=str(MAX_DICTIONARY_BYTES)):
            Dictionary(content)
    assert unpack_dictionary(pack_dictionary(bytes(MAX_DICTIONARY_BYTES))).content[:2] == b"\0\0"


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x10",
        b"\x10\x05abcd",
        write_lead(CODECS["zstd"], MAX_DICTIONARY_BYTES + 1) + b"x",
        write_lead(CODECS["lz4"], 3) + b"abc",
        write_lead(CODECS["zstd-dictionary"], 3, RAW.name) + b"abc",
        pack_dictionary(RAW.content)[:-1],
        pack_dictionary(RAW.content) + b"x",
        b"\x10\x0c\x37\xa4\x30\xec" + bytes(8),  # says that it is a zstd dictionary
    ],
)
def test_what_is_no_dictionary_is_refused(packed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack_dictionary(packed)


@given(st.data())
@settings(max_examples=150)
def test_damaged_columns_are_refused_or_decode_to_events(data: st.DataObject) -> None:
    columns = bytearray(
        encode_events(_batch(9, 20), dictionary=data.draw(st.sampled_from([TRAINED, RAW])))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        columns[data.draw(st.integers(0, len(columns) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(columns)))
    for bad in (bytes(columns), bytes(columns[:cut])):
        try:
            events = decode_events(bad, BOTH)
        except RemoteProtocolError:
            continue
        assert all(type(event) is Event for event in events)


@given(st.data())
@settings(max_examples=150)
def test_damaged_dictionaries_are_refused_or_harmless(data: st.DataObject) -> None:
    content = bytearray(TRAINED.content)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 300))] ^= data.draw(st.integers(1, 255))
    try:
        dictionary = Dictionary(bytes(content))
    except RemoteProtocolError:
        return
    columns = encode_events(_batch(11, 20), dictionary=TRAINED)
    try:
        events = decode_events(columns, {TRAINED.name: dictionary})
    except RemoteProtocolError:
        return
    assert all(type(event) is Event for event in events)


def test_a_bomb_with_a_dictionary_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(200_000_000))[4:]
    lead = write_lead(CODECS["zstd-dictionary"], MAX_FRAME_RAW_BYTES, RAW.name)
    with pytest.raises(RemoteProtocolError):
        decode_events(lead + bomb, BOTH)
