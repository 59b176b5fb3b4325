from __future__ import annotations

from whimbrel_agent.uplink.backlog import Backlog


def test_all_that_is_there_at_the_first_try_is_backlog() -> None:
    backlog = Backlog()
    backlog.trying({"normal": 7})
    assert backlog.linked() == {"normal": 7}
    assert backlog.resumed({"normal": 9}, moved=False) == {"normal": 7}


def test_what_was_sealed_since_the_last_try_that_failed_is_live() -> None:
    backlog = Backlog()
    for newest in (3, 5, 8):
        backlog.trying({"normal": newest})
    assert backlog.linked() == {"normal": 5}
    assert backlog.resumed({"normal": 11, "bulk": 2}, moved=False) == {"normal": 5, "bulk": 2}


def test_a_link_that_is_lost_begins_anew() -> None:
    backlog = Backlog()
    backlog.trying({"normal": 3})
    backlog.trying({"normal": 5})
    assert backlog.linked() == {"normal": 3}
    backlog.trying({"normal": 8})
    assert backlog.linked() == {"normal": 8}


def test_frames_with_new_ids_are_backlog_to_the_last() -> None:
    backlog = Backlog()
    backlog.trying({"normal": 3})
    backlog.linked()
    assert backlog.resumed({"normal": 20}, moved=True) == {"normal": 20}
    assert backlog.resumed({"normal": 25}, moved=False) == {"normal": 20}
    assert backlog.resumed({"normal": 2}, moved=False) == {"normal": 2}
