"""What a named profile fills in, and what it leaves alone."""

from __future__ import annotations

import copy
from typing import Any

from whimbrel_agent.profiles.defaults import with_defaults
from whimbrel_agent.profiles.library import load_profile

HUB = load_profile("battery-sensor-hub-lte")


def test_what_the_file_says_stands() -> None:
    said: dict[str, Any] = {
        "buffer": {"path": "b", "max_bytes": 5},
        "lanes": {"normal": {"linger_s": 1}, "critical": {"linger_s": 0}},
        "intake": {"http": {"listen": "x", "max_connections": 2}},
    }
    before = copy.deepcopy(said)
    filled = with_defaults(said, HUB)
    assert said == before
    assert filled["buffer"] == {"path": "b", "max_bytes": 5, "dictionaries": True}
    assert filled["lanes"]["normal"] == {"linger_s": 1, "durability_s": 5.0}
    assert filled["lanes"]["critical"] == {"linger_s": 0}
    http = filled["intake"]["http"]
    assert http == {"listen": "x", "max_connections": 2, "max_body_bytes": 2 * 1024 * 1024}


def test_silence_is_filled_in() -> None:
    filled = with_defaults({"buffer": {"path": "b"}}, HUB)
    assert filled["buffer"]["max_bytes"] == 256 * 1024 * 1024
    assert filled["lanes"]["bulk"] == {"linger_s": 3600.0, "durability_s": 5.0}
    assert filled["lanes"]["high"] == {"linger_s": 60.0}
    assert filled["power"] == {"sessions_per_h": 15, "codec_effort": "best"}
    assert "critical" not in filled["lanes"]
    assert "intake" not in filled


def test_no_intake_is_opened_and_nothing_wrong_is_hidden() -> None:
    said = {"buffer": 5, "lanes": [], "intake": {"mqtt": {}}, "uplink": "x", "power": 7}
    assert with_defaults(said, HUB) == said
    assert with_defaults({"lanes": {"bulk": 7}}, HUB)["lanes"]["bulk"] == 7


def test_a_window_is_filled_in_only_where_the_file_has_none() -> None:
    lanes = with_defaults({"lanes": {"bulk": {"durability_s": 0}}}, HUB)["lanes"]
    assert (lanes["bulk"]["durability_s"], lanes["normal"]["durability_s"]) == (0, 5.0)
    full = with_defaults({}, load_profile("pi-4"))
    assert not any("durability_s" in lane for lane in full["lanes"].values())


def test_a_profile_that_asks_for_nothing_special_leaves_power_alone() -> None:
    filled = with_defaults({"uplink": {"keepalive_s": 30}}, load_profile("pi-4"))
    assert "power" not in filled
    assert filled["uplink"] == {"keepalive_s": 30}
    said = {"power": {"sessions_per_h": 2}, "uplink": {}}
    filled = with_defaults(said, HUB)
    assert filled["power"] == {"sessions_per_h": 2, "codec_effort": "best"}
    assert filled["uplink"] == {"keepalive_s": 1200}
