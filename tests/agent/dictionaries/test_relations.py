"""What goes together is found, what does not is dropped, and memory stays bounded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from buffers.learning import learn_from
from whimbrel_agent.dictionaries.learning import Learner
from whimbrel_agent.dictionaries.relations import (
    LEAST_RIGHT,
    LEAST_TIMES,
    LOOKED_AT,
    MAX_CANDIDATES,
    MAX_KEPT,
    NEAR,
    Relations,
)
from whimbrel_protocol.batch import columns_info, encode_events
from whimbrel_protocol.dictionaries import Dictionary, join_content
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_TABLES_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, write_shared
from whimbrel_protocol.tables import Table

ARTICLES = 300


def data_of(chance: random.Random, number: int) -> dict[str, Any]:
    article = chance.randrange(ARTICLES)
    return {
        "receipt": f"r-{number // 5}",
        "article": f"{70_000 + article}",
        "name": f"article {random.Random(article).randbytes(8).hex()}",
        "price": article % 40 + 0.5,
        "quantity": chance.randrange(1, 9),
        "cashier": f"cashier {number // 5 % 7}",
    }


def frames(count: int, size: int, *, seed: int = 1) -> Iterator[list[Event]]:
    chance = random.Random(seed)
    for frame in range(count):
        numbers = range(frame * size, (frame + 1) * size)
        yield [
            Event(type="sale", source="till", time_ns=n * 10**9, data=data_of(chance, n))
            for n in numbers
        ]


def made(relations: Relations) -> list[tuple[str, tuple[str, ...]]]:
    return [(table.known, table.follows) for table in relations.tables()]


def test_an_article_s_name_and_price_follow_from_its_number() -> None:
    relations = Relations()
    for events in frames(30, 50):
        relations.saw(events)
    # the name leads as well, but its texts are the longer ones: they follow
    assert made(relations) == [("article", ("name", "price"))]
    [table] = relations.tables()
    assert len(table.rows) > 0.9 * ARTICLES
    assert list(table.rows) == sorted(table.rows)


def test_a_receipt_s_cashier_is_of_no_use_later() -> None:
    relations = Relations()
    for events in frames(200, 5):
        relations.saw(events)
    assert all(known != "receipt" for known, _ in made(relations))


def test_nothing_is_made_before_values_have_come_again_often_enough() -> None:
    relations, found = Relations(), []
    for frame in range(LEAST_RIGHT + 1):
        once = [f"{frame}-{n}" for n in range(NEAR)]
        rows = [("the one", "its name"), *((one, f"of {one}") for one in once)]
        relations.saw(
            [Event(type="t", source="s", time_ns=0, data={"k": k, "v": v}) for k, v in rows]
        )
        found.append([known for known, _ in made(relations)])
    assert found == [[]] * LEAST_RIGHT + [["k"]]


def test_what_holds_sees_every_event_of_a_large_frame() -> None:
    relations = Relations()
    for events in frames(4, 4 * LOOKED_AT):
        relations.saw(events)
    [table] = relations.tables()
    assert table.known == "article"
    assert len(table.rows) > 0.9 * ARTICLES  # some 250 come in 4 times the events that are on trial


def moves(count: int) -> list[Event]:
    kinds: list[tuple[str, str | None]] = [("refill", "backroom"), ("delivery", None)]
    kinds += [("waste", "shelf")]
    return [
        Event(type="move", source="s", time_ns=n, data={"reason": kinds[n % 3][0],
              "at": f"{n}-{count}", "from": kinds[n % 3][1], "never": None})
        for n in range(20)
    ]  # fmt: skip


def test_a_few_words_that_always_come_again_tell_what_follows_nulls_included() -> None:
    relations = Relations()
    for frame in range(LEAST_TIMES + 1):
        assert made(relations) == []
        relations.saw(moves(frame))
    relations.saw(moves(-1))
    [table] = relations.tables()
    assert (table.known, table.follows) == ("reason", ("from",))
    assert table.rows == {"delivery": (None,), "refill": ("backroom",), "waste": ("shelf",)}


def test_a_key_that_is_not_there_is_no_null() -> None:
    relations = Relations()
    for frame in range(40):
        events = moves(frame)
        for event in events[::2]:
            del event.data["from"]
        relations.saw(events)
    [table] = relations.tables()
    assert table.rows["refill"] == ("backroom",)


def test_what_changes_too_often_does_not_follow_and_a_price_that_changed_once_does() -> None:
    relations = Relations()
    for number, events in enumerate(frames(60, 50)):
        for event in events:
            event.data["name"] = f"{event.data['name']} {number}"
            event.data["price"] += number > 50
        relations.saw(events)
    assert made(relations) == [("article", ("price",))]


def test_the_hopeless_are_dropped_and_make_room_for_others() -> None:
    relations = Relations()
    for events in frames(30, 50):
        for event in events:
            event.data.update({f"id-{n}": random.Random(n).randbytes(9).hex() + str(event.time_ns)
                               for n in range(8)})  # fmt: skip
        relations.saw(events)
        relations.look()
    assert len(relations._candidates) <= MAX_CANDIDATES
    assert made(relations) == [("article", ("name", "price"))]


def test_memory_is_bounded_by_rows_and_a_table_by_its_bytes() -> None:
    relations = Relations()
    for frame in range(60):
        numbers = [(frame * 97 + n) % 1_500 for n in range(LOOKED_AT)]
        relations.saw(
            [
                Event(
                    type="t", source="s", time_ns=0, data={"k": n, "v": f"{n} " + "long text " * 40}
                )
                for n in numbers
            ]
        )
    for frame in range(40):
        relations.saw(
            [
                Event(type="o", source="s", time_ns=0, data={"k": f"{frame}-{n}", "v": n})
                for n in range(LOOKED_AT)
            ]
        )
    assert max(len(one.rows) for one in relations._candidates.values()) == MAX_KEPT
    tables = relations.tables()
    assert len(tables) == 1
    assert 0.8 * MAX_TABLES_BYTES < len(write_shared(Shared(tables))) <= MAX_TABLES_BYTES


def test_values_that_cannot_stand_in_a_table_are_passed_over() -> None:
    relations = Relations()
    odd: list[Any] = [0.0, -0.0, float("nan"), None, [1], {"a": 1}, b"x", 2**70, "x" * 600]
    for frame in range(12):
        relations.saw(
            [
                Event(type="t", source="s", time_ns=0, data={"k": key, "v": value})
                for key in (*odd, *(f"k{n}" for n in range(NEAR + 9)))
                for value in (odd[frame % len(odd)] if isinstance(key, str) else "v",)
            ]
        )
        relations.look()
    for table in relations.tables():
        Dictionary(join_content(b"", Shared((table,))))


def test_another_process_goes_on_from_the_tables_in_use() -> None:
    before = Table("sale", "article", ("name",), {f"{n}": (f"name {n}",) for n in range(1_900)})
    relations = Relations()
    relations.take_up([])  # the region has not yet said that it keeps them
    relations.take_up([before])
    assert made(relations) == [("article", ("name",))]
    relations.take_up([Table("sale", "x", ("y",), {"1": ("one",)})])  # later ones are its own
    assert made(relations) == [("article", ("name",))]
    relations.look()
    assert made(relations) == [("article", ("name",))]


def test_a_learner_s_dictionary_has_the_tables_when_they_pay_and_frames_use_them() -> None:
    learned = learn_from(frames(70, 40))
    assert ("article", ("name", "price")) in [
        (t.known, t.follows) for t in learned.dictionary.shared.tables
    ]
    assert columns_info(learned.columns[-1])[0] == "zstd-tables"
    sizes = list(map(len, learned.columns))
    assert sum(sizes[-5:]) < 0.5 * sum(sizes[:5])


def test_a_restarted_learner_keeps_the_tables_that_its_frames_use() -> None:
    first, present = Learner(), None
    for events in frames(64, 40):
        first.saw(events, encode_events(events), None)
    present = first.learn(None)
    assert present is not None
    assert present.shared.tables
    second = Learner()
    dictionary = present
    for events in frames(70, 40, seed=2):
        columns = encode_events(events, dictionary=dictionary)
        second.saw(events, columns, dictionary)
        if second.is_due:
            dictionary = second.learn(dictionary) or dictionary
            told = [(table.known, table.follows) for table in dictionary.shared.tables]
            assert told[0] == ("article", ("name", "price"))
            assert told[1:] in ([], [("cashier", ())])


def test_where_nothing_goes_together_a_dictionary_has_no_tables() -> None:
    learner = Learner()
    for events in frames(40, 40):
        for event in events:  # none comes again
            event.data["article"] = f"{event.time_ns}"
            event.data["name"] = f"name {event.time_ns}"
        learner.saw(events, encode_events(events), None)
    learned = learner.learn(None)
    assert learned is not None
    assert learned.shared == NOTHING_SHARED


def test_the_same_frames_give_the_same_tables() -> None:
    both = []
    for _ in range(2):
        relations = Relations()
        for events in frames(30, 50):
            relations.saw(events)
        both.append(write_shared(Shared(relations.tables())))
    assert both[0] == both[1]
