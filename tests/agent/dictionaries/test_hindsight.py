"""Tables are judged by what they would have known, not by what they were made of."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from counting import counted
from whimbrel_agent.dictionaries.hindsight import Hindsight, Known, as_of
from whimbrel_agent.dictionaries.trials import Judged, cut_of, finish, judge_shared
from whimbrel_protocol.batch import decode_events, encode_events
from whimbrel_protocol.columns.histograms import Histograms
from whimbrel_protocol.columns.roster import Roster, series_of
from whimbrel_protocol.dictionaries import Dictionary, join_content
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_TABLES_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, read_shared, write_shared
from whimbrel_protocol.tables import Table

NAMES = Table("sale", "article", ("name",), {f"a{n}": (f"name {n}",) for n in range(6)})
SHELVES = Table("sale", "shelf", ("aisle", "cold"), {n: (n // 4, n % 4 == 1) for n in range(8)})
BOTH = Shared((NAMES, SHELVES))


def sale(event_type: str = "sale", /, **data: object) -> Event:
    return Event(type=event_type, source="till", time_ns=1, data=dict(data))


# ------------------------------------------------------------------ tables as they would have been


def test_rows_that_were_not_known_yet_are_hidden_and_places_stay() -> None:
    now = as_of(BOTH, {0: {"a1", "a4"}, 1: {0, 7}})
    names, shelves = now.tables
    assert [key if key in NAMES.rows else None for key in names.rows] == [
        None, "a1", None, None, "a4", None,
    ]  # fmt: skip
    assert [key if key in SHELVES.rows else None for key in shelves.rows] == [
        0, None, None, None, None, None, None, 7,
    ]  # fmt: skip
    assert list(names.rows.values()) == list(NAMES.rows.values())
    assert list(shelves.rows.values()) == list(SHELVES.rows.values())
    assert all(type(key) is str for key in names.rows)
    assert all(type(key) is int for key in shelves.rows)
    assert (names.type, names.known, names.follows) == ("sale", "article", ("name",))


def test_it_can_be_a_dictionary_still() -> None:
    some: list[Known] = [{0: {"a1"}, 1: {3}}, {0: set(), 1: set()}]
    for known in some:
        now = as_of(BOTH, known)
        assert read_shared(write_shared(now)) == now


def test_tables_that_fill_a_dictionary_are_tried_although_hidden_rows_take_more_room() -> None:
    texts = [f"{10**6 + n * 7}" for n in range(4_096)]
    full = Shared(tuple(Table("t", f"k{k}", (), dict.fromkeys(texts, ())) for k in range(4)))
    half: Known = {number: set(texts[::2]) for number in range(4)}
    hidden = as_of(full, half)
    assert len(write_shared(hidden)) > MAX_TABLES_BYTES
    tried = Dictionary(join_content(b"", full), hidden)
    events = [
        Event(type="t", source="s", time_ns=n, data={f"k{k}": texts[n % 7] for k in range(4)})
        for n in range(40)
    ]
    columns = encode_events(events, dictionary=tried)
    assert decode_events(columns, {tried.name: tried}) == events


def test_what_is_known_in_full_stays_as_it_is_and_so_does_what_is_no_table() -> None:
    assert as_of(BOTH, {0: {*NAMES.rows, "another"}, 1: {*SHELVES.rows}}) == BOTH
    roster = Roster((series_of(sale(n=1)),))
    rest = Shared((), (), roster, Histograms([counted([1, 2])]))
    assert as_of(rest, {}) == rest
    now = as_of(Shared((NAMES,), (), roster, rest.histograms), {0: set()})
    assert (now.roster, now.histograms) == (roster, rest.histograms)
    assert not now.tables[0].rows.keys() & NAMES.rows.keys()


# ------------------------------------------------------------------ what was known when


def test_it_begins_with_what_the_tables_of_before_knew() -> None:
    earlier = Table("sale", "article", (), {"a2": (), "a3": (), "gone": ()})
    other = Table("waste", "article", (), {"a5": ()})
    numbers = Table("sale", "shelf", ("aisle",), {4: (1,)})
    known = Hindsight(BOTH, Shared((other, numbers, earlier))).known
    assert known == {0: {"a2", "a3"}, 1: {4}}
    assert Hindsight(BOTH, NOTHING_SHARED).known == {0: set(), 1: set()}
    assert Hindsight(NOTHING_SHARED, BOTH).known == {}


def test_it_grows_with_every_frame() -> None:
    hindsight = Hindsight(BOTH, NOTHING_SHARED)
    hindsight.saw([sale(article="a1", shelf=3), sale(article="a1", n=4)])
    assert hindsight.known == {0: {"a1"}, 1: {3}}
    hindsight.saw([sale(shelf=5, article="a0")])
    assert hindsight.known == {0: {"a0", "a1"}, 1: {3, 5}}


def test_other_types_of_events_and_of_values_teach_nothing() -> None:
    hindsight = Hindsight(BOTH, NOTHING_SHARED)
    hindsight.saw([sale("waste", article="a1"), sale(n="a1"), sale(article=None, shelf=True)])
    hindsight.saw([sale(article=["a1"], shelf=2.0)])
    assert hindsight.known == {0: set(), 1: set()}


# ------------------------------------------------------------------ judging


CHANCE = random.Random(4)
ARTICLES = {f"{CHANCE.getrandbits(40):010x}": CHANCE.randbytes(30).hex() for _ in range(320)}
TABLE = Table("sale", "article", ("name",), {key: (ARTICLES[key],) for key in sorted(ARTICLES)})
LEARNED = Shared((TABLE,))


def lines(articles: Iterable[str]) -> list[Event]:
    return [
        Event(
            type="sale", source="till", time_ns=n * 10**9,
            data={"article": article, "name": ARTICLES[article]},
        )
        for n, article in enumerate(articles)
    ]  # fmt: skip


def judged(frames: Sequence[list[Event]], present: Dictionary | None = None) -> list[Judged]:
    recent = [(encode_events(events), None) for events in frames]
    return finish(judge_shared(recent, b"", LEARNED, present))


def with_the_table(frames: Iterable[list[Event]], shared: Shared = LEARNED) -> int:
    dictionary = Dictionary(join_content(b"", shared))
    return sum(len(encode_events(events, dictionary=dictionary)) for events in frames)


def each_of(keys: Sequence[str], frames: int) -> list[list[Event]]:
    size = len(keys) // frames
    return [lines(keys[at : at + size]) for at in range(0, frames * size, size)]


def test_a_frame_finds_in_a_table_only_what_was_known() -> None:
    keys = list(ARTICLES)[:60]
    sizes = [
        with_the_table([lines(keys)], as_of(LEARNED, {0: set(keys[:known])}))
        for known in (60, 40, 20, 0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 8


def test_what_came_only_with_the_newest_frames_is_not_judged_as_if_it_were_known() -> None:
    keys = list(ARTICLES)
    new_each_time = each_of(keys, 16)
    newest = new_each_time[cut_of(16) :]
    as_if_known = with_the_table(newest)
    found = judged(new_each_time)
    tables = [one for one in found if Dictionary(one.content).shared.tables]
    assert tables
    for one in tables:
        assert one.frames == 4
        assert one.learned_bytes > 4 * as_if_known
        assert one.learned_bytes > 0.95 * one.present_bytes
        assert Dictionary(one.content).shared.tables == (TABLE,)  # it is sent with all it knows


def test_what_had_come_before_is_judged_as_known() -> None:
    keys = list(ARTICLES)[:80]
    again = each_of(keys, 4) * 4
    newest = again[cut_of(16) :]
    best = min(one.learned_bytes for one in judged(again))
    assert best <= 1.1 * with_the_table(newest)
    assert best < 0.3 * sum(len(encode_events(events)) for events in newest)


def test_what_the_dictionary_in_use_knew_is_judged_as_known() -> None:
    keys = list(ARTICLES)
    new_each_time = each_of(keys, 16)
    newest = new_each_time[cut_of(16) :]
    known = {key for events in newest[:2] for key in (event.data["article"] for event in events)}
    rows = {key: TABLE.rows[key] for key in TABLE.rows if key in known}
    present = Dictionary(join_content(b"", Shared((Table("sale", "article", ("name",), rows),))))
    without = min(one.learned_bytes for one in judged(new_each_time))
    best = min(one.learned_bytes for one in judged(new_each_time, present))
    assert best < 0.75 * without
    assert judged(new_each_time, present)[0].present_bytes == with_the_table(newest, present.shared)
