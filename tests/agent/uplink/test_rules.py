"""Reading the rules of links."""

from __future__ import annotations

import tomllib
from datetime import UTC
from pathlib import Path

import pytest

from whimbrel_agent.settings import ConfigError, Table
from whimbrel_agent.uplink.limits import DayLimit, LinkRules
from whimbrel_agent.uplink.rules import link_classes

BROKERS = ["mqtt://one", "mqtt://two"]


def read(text: str) -> tuple[LinkRules, ...]:
    table = Table(Path("agent.toml"), "uplink", tomllib.loads(text))
    classes = link_classes(table, BROKERS)
    table.finish()
    return classes


def test_nothing_said_is_polite_and_without_limits() -> None:
    assert read("") == (LinkRules(),)


def test_everything_may_be_said() -> None:
    lte, own = read(
        """
        background = "fair"
        rate_limit = "10 Mbit/s"
        time_zone = "UTC"
        day_limits = [{ from = "08:00", to = "24:00", rate_limit = "500 kbit/s" }]
        [links.lte]
        interfaces = ["wwan*"]
        brokers = ["mqtt://two"]
        background = "polite"
        rate_limit = "64 kbit/s"
        replay_limit = "16 kbit/s"
        monthly_budget = "2 GB"
        monthly_budget_day = 10
        """
    )
    assert (own.polite, own.bytes_per_s) == (False, 1_250_000)
    assert own.day_limits == (DayLimit(480, 0, 62_500),)
    assert str(own.zone) == str(UTC) or own.zone.utcoffset(None) is None
    assert (lte.name, lte.polite, lte.bytes_per_s) == ("links.lte", True, 8_000)
    assert (lte.replay_bytes_per_s, own.replay_bytes_per_s) == (2_000, None)
    assert (lte.monthly_bytes, lte.month_day) == (2_000_000_000, 10)
    assert (lte.interfaces, lte.brokers) == (("wwan*",), frozenset({1}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('background = "rude"', "one of polite, fair"),
        ('rate_limit = "fast"', "must be a rate"),
        ('rate_limit = "1 kbit/s"', "must be a rate"),
        ('replay_limit = "half"', "replay_limit is 'half', must be a rate"),
        ('monthly_budget = "3 kB"', "1 MB and more"),
        ("monthly_budget_day = 31", "from 1 to 28"),
        ('time_zone = "Mars/Base"', "does not know"),
        ("day_limits = [1]", "must be like"),
        ('day_limits = [{ from = "8", to = "20:00", rate_limit = "1 Mbit/s" }]', "time of day"),
        ('day_limits = [{ from = "08:00", to = "08:00", rate_limit = "1 Mbit/s" }]', "same"),
        ('day_limits = [{ from = "08:00", to = "20:00" }]', "rate_limit is missing"),
        ('[links.lte]\nrate_limit = "1 Mbit/s"', "interfaces"),
        ('[links.lte]\nbrokers = ["mqtt://three"]', "none of"),
        ('[links.lte]\ninterfaces = ["wwan0"]\nspeed = 1', "not a known setting"),
        ("[links]\nlte = 1", "must be a table"),
        ("[links.lte]\ninterfaces = [1]", "list of texts"),
    ],
)
def test_what_is_wrong_is_told_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(text)


def test_classes_and_names_have_bounds() -> None:
    with pytest.raises(ConfigError, match="too many"):
        read("\n".join(f'[links.l{n}]\ninterfaces = ["x"]' for n in range(17)))
    with pytest.raises(ConfigError, match="too long"):
        read(f'[links.{"x" * 65}]\ninterfaces = ["x"]')
