"""``[[rules]]``: what is taken, and what is said about mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from edgerules.series import problem_of, rule, table_of
from whimbrel_agent.rules.settings import read_rules
from whimbrel_agent.rules.values import MAX_RULES
from whimbrel_agent.settings import ConfigError

GOOD = {"name": "cold", "when": 'type == "t"', "do": "change"}


def test_the_least_rule_has_defaults_for_the_rest() -> None:
    (config,) = read_rules(table_of({"rules": [GOOD]}))
    assert (config.name, config.do, config.key, config.max_keys) == (
        *("cold", "change", ("source",), 1_000),
    )
    assert config.definition == GOOD
    assert read_rules(table_of({})) == ()


def test_a_plain_name_is_a_field_of_data() -> None:
    config = rule("window", fields=["v", "data.w", 'data["a b"]'], key=["zone", "port"])
    assert config.fields == ("data.v", "data.w", 'data["a b"]')
    assert config.key == ("zone", "data.port")


def test_each_kind_takes_its_settings() -> None:
    door = rule("swinging-door", fields=["v"], band=0.5, hold_s=5, at_least_s=60, raw_days=7)
    assert (door.band, door.hold_s, door.at_least_s, door.raw_days) == (0.5, 5, 60, 7)
    assert rule("sample", period_s=2.5).period_s == 2.5
    top = rule("top-k", by="total", k=5, window_s=3600, lateness_s=0)
    assert (top.by, top.k, top.window_s, top.lateness_s) == ("data.total", 5, 3600, 0)
    window = rule("window", stats=["max", "min", "max"], type="x", lane="bulk")
    assert (window.stats, window.type, window.lane) == (("max", "min"), "x", "bulk")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "Cold"}, "[rules] name is 'Cold', must match"),
        ({"name": None}, "[rules] name is missing"),
        ({"when": 'type = "t"'}, "[rules cold] when cannot be used: at character 6"),
        ({"when": None}, "when is missing"),
        ({"do": "dedup"}, "do is 'dedup', must be one of deadband, change"),
        ({"do": "deadband", "fields": ["v"]}, "band or band_percent must be set"),
        ({"do": "deadband", "band": 1}, 'fields is missing: for example fields = ["celsius"]'),
        ({"do": "deadband", "band": -1, "fields": ["v"]}, "band is -1, must be a number from 0"),
        ({"do": "deadband", "band": 1, "fields": ["type"]}, "never a number: use data.NAME"),
        ({"do": "deadband", "band": 1, "fields": ["a b"]}, "holds 'a b': at character 8"),
        ({"do": "deadband", "band": 1, "fields": [5]}, "must name fields"),
        ({"do": "deadband", "band": 1, "fields": ["v"] * 17}, "names 17 fields, at most 16"),
        ({"do": "swinging-door", "fields": ["v"], "band": 0}, "band must be more than 0"),
        ({"do": "sample"}, "every or period_s must be set"),
        ({"do": "sample", "every": 2, "period_s": 2}, "every or period_s must be set"),
        ({"do": "window", "stats": ["median"]}, "must be some of min, max"),
        ({"do": "window", "fields": ["v", "a.v"]}, "has two called 'v'"),
        ({"do": "window", "window_s": 0}, "window_s is 0, must be a number from 1"),
        ({"do": "window", "type": "x" * 201}, "over 200 bytes"),
        ({"do": "top-k"}, "by is missing"),
        ({"do": "top-k", "by": "v", "k": 11}, "k is 11, must be a whole number from 1 to 8"),
        ({"do": "filter", "fields": ["v"]}, "fields is not a known setting"),
        ({"bnad": 5}, "bnad is not a known setting"),
        ({"key": ["a", "b", "c", "d", "e"]}, "names 5 fields, at most 4"),
        ({"raw_days": 400}, "raw_days is 400"),
        ({"max_keys": 0}, "max_keys is 0"),
    ],
)
def test_mistakes_name_rule_setting_and_remedy(settings: dict[str, Any], said: str) -> None:
    whole = {name: value for name, value in {**GOOD, **settings}.items() if value is not None}
    assert said in problem_of(whole)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([GOOD, GOOD], "two rules called 'cold'"),
        ([5], "write [[rules]]"),
        ([{**GOOD, "name": f"r{n}"} for n in range(MAX_RULES + 1)], "are 65, at most 64"),
    ],
)
def test_the_list_of_rules_has_its_own_mistakes(rules: list[Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"rules") as caught:
        read_rules(table_of({"rules": rules}))
    assert said in str(caught.value)
