"""The books: what senders offered, were told, and find in the journal."""

from __future__ import annotations

from whimbrel_sim.worlds.books import ACCEPTED, REFUSED, UNSURE, Books, Sender, Told


def sender_of(offered: int) -> Sender:
    sender = Sender("till", "acme/store-1/till-1", "normal")
    sender.offer(offered, 5.0)
    return sender


def test_numbers_begin_at_one_and_go_on() -> None:
    sender = sender_of(0)
    assert [sender.offer(3, 1.0), sender.offer(2, 2.0)] == [range(1, 4), range(4, 6)]
    assert sender.offered == 5
    assert [sender.offered_s(number) for number in (3, 4)] == [1.0, 2.0]


def test_what_was_offered_is_unsure_until_it_is_answered() -> None:
    sender = sender_of(3)
    sender.accept(range(1, 2), [])
    sender.refuse(range(2, 3))
    assert [sender.answer(number) for number in (1, 2, 3)] == [ACCEPTED, REFUSED, UNSURE]


def test_what_was_never_offered_is_not_known() -> None:
    sender = sender_of(2)
    assert [sender.knows(number) for number in (-1, 0, 1, 2, 3)] == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_the_numbers_of_each_answer_are_counted() -> None:
    sender = sender_of(6)
    sender.accept(range(1, 4), [])
    sender.refuse(range(4, 5))
    assert [sender.count(answer) for answer in (ACCEPTED, REFUSED, UNSURE)] == [3, 1, 2]


def test_only_accepted_events_that_were_not_seen_are_missing() -> None:
    sender = sender_of(5)
    sender.accept(range(1, 4), [])
    sender.refuse(range(4, 5))
    sender.seen(2)
    assert list(sender.missing()) == [1, 3]


def test_an_event_is_counted_each_time_it_is_seen() -> None:
    sender = sender_of(2)
    assert [sender.seen(1), sender.seen(1), sender.times(1), sender.times(2)] == [1, 2, 2, 0]


def test_an_event_may_be_seen_very_often() -> None:
    sender = sender_of(1)
    assert [sender.seen(1) for _ in range(300)][-1] == 255


def test_counting_begins_anew_when_the_journal_is_another_one() -> None:
    sender = sender_of(2)
    sender.accept(range(1, 3), [])
    sender.seen(1)
    sender.forget_seen()
    assert (list(sender.missing()), sender.seen(1)) == ([1, 2], 1)


def test_doubt_takes_back_what_was_accepted_alone() -> None:
    sender = sender_of(4)
    sender.accept(range(1, 3), [])
    sender.refuse(range(3, 4))
    sender.doubt(range(2, 5))
    assert [sender.answer(number) for number in range(1, 5)] == [
        ACCEPTED, UNSURE, REFUSED, UNSURE,
    ]  # fmt: skip


def test_places_are_found_by_number() -> None:
    sender = sender_of(5)
    sender.accept(range(1, 3), [Told(1, "here", 7, "normal", 100, 2)])
    sender.accept(range(4, 6), [Told(4, "there", 8, "normal", 1, 2)])
    places = [sender.place_of(number) for number in range(1, 6)]
    assert places == [
        ("here", 7, "normal", 100), ("here", 7, "normal", 101), None,
        ("there", 8, "normal", 1), ("there", 8, "normal", 2),
    ]  # fmt: skip


def test_the_newest_place_of_a_number_counts() -> None:
    sender = sender_of(1)
    sender.accept(range(1, 2), [Told(1, "here", 7, "normal", 1, 1)])
    sender.accept(range(1, 2), [Told(1, "here", 9, "normal", 4, 1)])
    assert sender.place_of(1) == ("here", 9, "normal", 4)


def test_books_open_each_sender_once() -> None:
    books = Books()
    first = books.open("a", "here", "normal")
    assert books.open("a", "there", "critical") is first
    assert first.where == "here"


def test_books_add_their_senders_up() -> None:
    books = Books()
    for name, count in (("a", 3), ("b", 2)):
        sender = books.open(name, "here", "normal")
        sender.accept(sender.offer(count, 0.0), [])
    books.open("a", "here", "normal").offer(1, 0.0)
    assert (books.offered, books.total(ACCEPTED), books.total(UNSURE)) == (6, 5, 1)
