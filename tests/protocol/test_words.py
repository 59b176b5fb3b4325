"""The words."""

import cbor2

from whimbrel_protocol.cbor import load_values
from whimbrel_protocol.words import PREFIX, WORDS


def test_the_prefix_is_the_words_as_cbor() -> None:
    assert load_values(PREFIX) == list(WORDS)
    assert b"".join(map(cbor2.dumps, WORDS)) == PREFIX


def test_each_word_is_there_once_and_worth_its_place() -> None:
    assert len(set(WORDS)) == len(WORDS)
    assert all(word.isascii() and word.isprintable() and 2 <= len(word) < 24 for word in WORDS)
