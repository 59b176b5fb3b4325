from __future__ import annotations

import pytest

from whimbrel_aggregator.commands.tables import facts_table, plain_text, size_text, table


def test_columns_are_as_wide_as_their_content() -> None:
    shown = table(("A", "LONG HEAD"), [("value", 1), (None, "")])
    assert shown == "A      LONG HEAD\nvalue  1\n-      -"


def test_a_table_without_rows_is_its_heads() -> None:
    assert table(("A", "B"), []) == "A  B"


def test_facts_stand_one_a_line() -> None:
    assert facts_table([("a", 1), ("long", "x")]) == "a     1\nlong  x"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("é", "é"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("\u202eabc", "\\u202eabc")],
)
def test_what_could_steer_a_terminal_is_shown_as_an_escape(value: str, shown: str) -> None:
    assert plain_text(value) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**40 * 3, "3.0 TiB")],
)
def test_sizes_are_readable(size_bytes: int, shown: str) -> None:
    assert size_text(size_bytes) == shown
