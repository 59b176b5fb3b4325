"""Golden vectors of columns: every released form keeps decoding, byte for byte.

A failing test here means that the wire format changed: add a version, never edit a vector.
Encoding is compared for codec none only: other versions of a compressor may give other bytes.
"""

import hashlib
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from whimbrel_protocol.batch import columns_info, decode_events, encode_events
from whimbrel_protocol.dictionaries import unpack_dictionary
from whimbrel_protocol.event import Event
from whimbrel_protocol.rows import pack_event
from whimbrel_protocol.words import PREFIX, WORDS

VECTORS = sorted((Path(__file__).parents[2] / "protocol" / "vectors" / "columns").glob("*.json"))

each_vector = pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)


def _value(form: Any) -> Any:
    """Read the JSON form of a value, as ``protocol/columns.md`` describes it."""
    match form:
        case None | bool() | str():
            return form
        case {"int": text}:
            return int(text)
        case {"float": "nan" | "inf" | "-inf" as text}:
            return float(text)
        case {"float": text}:
            return float.fromhex(text)
        case {"decimal": text}:
            return Decimal(text)
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"list": items}:
            return [_value(item) for item in items]
        case {"map": pairs}:
            return {key: _value(item) for key, item in pairs}
        case _:
            raise AssertionError(form)


def _events(vector: dict[str, Any]) -> list[Event]:
    events = []
    for fields in vector["events"]:
        fields["time_ns"] = int(fields["time_ns"])
        fields["data"] = _value(fields["data"])
        if "extensions" in fields:
            fields["extensions"] = _value(fields["extensions"])
        events.append(Event(**fields))
    return events


def test_there_are_vectors_of_every_codec() -> None:
    codecs = [codec for path in VECTORS for codec in json.loads(path.read_text())]
    assert codecs.count("none") >= 10
    assert codecs.count("lz4") >= 6
    assert codecs.count("zstd") >= 6
    assert codecs.count("row") >= 2
    assert codecs.count("row-words") >= 2
    assert codecs.count("zstd-words") >= 2
    assert codecs.count("zstd-dictionary") >= 2
    assert codecs.count("zstd-tables") >= 5


def test_the_json_form_reads_what_json_cannot_say() -> None:
    assert math.isnan(_value({"float": "nan"}))
    assert repr(_value({"map": [["b", {"float": "-0x0.0p+0"}], ["a", {"int": "1"}]]})) == (
        "{'b': -0.0, 'a': 1}"
    )


@each_vector
@pytest.mark.parametrize("codec", ["none", "lz4", "zstd", "row", "row-words", "zstd-words"])
def test_a_columns_vector_decodes_to_its_events(path: Path, codec: str) -> None:
    vector = json.loads(path.read_text())
    if codec not in vector:
        return  # the codec would not make these bytes fewer, so it is never written
    data = bytes.fromhex(vector[codec])
    assert columns_info(data)[0] == codec
    assert repr(decode_events(data)) == repr(_events(vector))


@pytest.mark.parametrize(("codec", "vectors"), [("zstd-dictionary", 2), ("zstd-tables", 5)])
def test_a_vector_with_a_dictionary_decodes_with_it(codec: str, vectors: int) -> None:
    found = 0
    for path in VECTORS:
        vector = json.loads(path.read_text())
        if codec not in vector:
            continue
        found += 1
        dictionary = unpack_dictionary(bytes.fromhex(vector["dictionary"]))
        assert hashlib.sha256(dictionary.content).hexdigest().startswith(dictionary.name.hex())
        data = bytes.fromhex(vector[codec])
        assert columns_info(data)[0] == codec
        assert repr(decode_events(data, {dictionary.name: dictionary})) == repr(_events(vector))
    assert found == vectors


@each_vector
def test_a_columns_vector_encodes_to_its_bytes(path: Path) -> None:
    vector = json.loads(path.read_text())
    events = _events(vector)
    assert encode_events(events, codec="none").hex() == vector["none"]
    if "row" in vector:
        assert "14" + pack_event(events[0]).hex() == vector["row"]


def test_the_words_are_the_published_ones() -> None:
    published = json.loads((VECTORS[0].parents[1] / "words.json").read_text())
    assert list(WORDS) == published["words"]
    assert len(PREFIX) == published["size_bytes"]
    assert hashlib.sha256(PREFIX).hexdigest() == published["sha256"]
