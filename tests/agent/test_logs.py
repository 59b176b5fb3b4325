"""Structured logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from whimbrel_agent.logs import Streak, facts, start_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    text = io.StringIO()
    start_logs(level="debug", stream=text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_facts(stream: io.StringIO) -> None:
    logging.getLogger("part").info("link is %s", "up", extra=facts(broker=3, name="é\n"))
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info", "from": "part", "message": "link is up", "broker": 3, "name": "é\n",
    }  # fmt: skip


def test_a_traceback_stays_on_the_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("broken")  # noqa: TRY301
    except ValueError:
        logging.getLogger("part").exception("failed")
    assert "ValueError: broken" in lines(stream)[0]["traceback"]


def test_a_streak_warns_once_and_tells_of_its_end(stream: io.StringIO) -> None:
    streak = Streak(logging.getLogger("part"))
    for _ in range(3):
        streak.failed("down", why="x")
    streak.recovered("up")
    streak.failed("down")
    assert [line["level"] for line in lines(stream)] == [
        "warning", "debug", "debug", "info", "warning",
    ]  # fmt: skip
    assert lines(stream)[3]["after_failures"] == 3


def test_what_has_no_json_form_is_written_as_text(stream: io.StringIO) -> None:
    logging.getLogger("part").info("x", extra=facts(value={1, 2}))
    assert lines(stream)[0]["value"] == "{1, 2}"
