from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from whimbrel_aggregator.logs import Streak, facts, start_logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log's lines; the root logger is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    start_logs(level="info", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_its_facts(lines: io.StringIO) -> None:
    logging.getLogger("whimbrel.test").info("link is up", extra=facts(broker="mqtt://b", n=2))
    line = json.loads(lines.getvalue())
    assert line["time"].endswith("+00:00")
    assert (line["level"], line["from"], line["message"]) == ("info", "whimbrel.test", "link is up")
    assert (line["broker"], line["n"]) == ("mqtt://b", 2)


def test_a_streak_warns_once_and_reports_its_end(lines: io.StringIO) -> None:
    streak = Streak(logging.getLogger("whimbrel.test"))
    for _ in range(5):
        streak.failed("no link")
    streak.recovered("link is up")
    parsed = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(one["level"], one["message"]) for one in parsed] == [
        ("warning", "no link"),
        ("info", "link is up"),
    ]
    assert parsed[1]["after_failures"] == 5


def test_a_traceback_stays_inside_its_line(lines: io.StringIO) -> None:
    try:
        int("three\nlines\nlong")
    except ValueError:
        logging.getLogger("whimbrel.test").exception("it broke")
    [line] = lines.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["traceback"]
