"""What ``aggregator/README.md`` tells receivers of events is what they get."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from committed.journal import EPOCH, Committer, address, events, open_journal
from documents import ROOT, blocks_of
from whimbrel_aggregator.forward.jsonvalues import compact_json, from_json_value, to_json_value
from whimbrel_aggregator.forward.sinks.webhook import sign
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.reading import decode_record

PAGE = ROOT / "aggregator" / "README.md"
BODY = b'[{"id": "1"}]'

IsOurs = Callable[[str, bytes, str], bool]


@pytest.fixture
def is_ours() -> IsOurs:
    [example] = [block for block in blocks_of(PAGE) if block.language == "python"]
    names: dict[str, Any] = {}
    exec(example.text, names)
    found: IsOurs = names["is_ours"]
    return found


def test_the_example_takes_what_is_signed_with_one_of_the_secrets(is_ours: IsOurs) -> None:
    signature = sign(BODY, int(time.time()), [b"new", b"old"])
    assert is_ours(signature, BODY, "new")
    assert is_ours(signature, BODY, "old")


def test_the_example_refuses_other_bodies_secrets_and_times(is_ours: IsOurs) -> None:
    now_s = int(time.time())
    signature = sign(BODY, now_s, [b"secret"])
    assert not is_ours(signature, BODY + b" ", "secret")
    assert not is_ours(signature, BODY, "other")
    assert not is_ours(sign(BODY, now_s - 3_600, [b"secret"]), BODY, "secret")
    assert not is_ours(signature.replace(f"t={now_s}", f"t={now_s - 1}"), BODY, "secret")


def test_the_header_has_the_form_that_the_page_shows() -> None:
    [line] = re.findall(r"^Whimbrel-Signature: (.*)$", PAGE.read_text(), re.MULTILINE)
    form = re.escape(line).replace(re.escape("<Unix seconds>"), r"\d+")
    form = re.sub(r"<hex.*>", "[0-9a-f]{64}", form)
    assert re.fullmatch(form, sign(BODY, 1_795_341_600, [b"secret"]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**53 + 1, '{"$int": "9007199254740993"}'),
        (float("nan"), '{"$float": "nan"}'),
        (Decimal("19.90"), '{"$decimal": "19.90"}'),
        (b"\x00", '{"$bytes": "<base64>"}'),
    ],
)
def test_tagged_values_are_written_as_the_page_shows(value: Any, shown: str) -> None:
    assert f"`{shown}`" in PAGE.read_text()
    written = compact_json(to_json_value(value))
    assert written == shown.replace(": ", ":").replace("<base64>", "AA==")
    assert repr(from_json_value(to_json_value(value))) == repr(value)


async def test_an_event_without_an_id_has_the_one_that_the_page_describes(
    tmp_path: Path,
) -> None:
    form = "tenant/store/device/epoch/lane/sequence"
    assert f"\n{form}\n" in PAGE.read_text()
    journal = await open_journal(tmp_path / "journal.db")
    await Committer(journal).commit([events(1, 2)])
    page = await journal.read(PartitionKey("acme", "store-1"), 1, limit_frames=1, limit_bytes=9_999)
    await journal.close()
    one, place = decode_record(page.frames[0])[1], address()
    spelt = dict(zip(form.split("/"), one.id.split("/"), strict=True))
    assert spelt == {
        "tenant": place.tenant,
        "store": place.store,
        "device": place.device,
        "epoch": str(EPOCH),
        "lane": "normal",
        "sequence": "2",
    }
    assert one.id == one.identity
