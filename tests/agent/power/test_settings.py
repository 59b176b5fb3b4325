"""The ``[power]`` table and what is said about its mistakes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from whimbrel_agent.power.modes import CodecEffort, frugal_settings
from whimbrel_agent.power.rules import ModeRules
from whimbrel_agent.power.settings import PowerConfig, power_config
from whimbrel_agent.power.ups import UpsConfig
from whimbrel_agent.settings import ConfigError, Table


def load(text: str) -> PowerConfig:
    return power_config(Table(Path("/etc/agent.toml"), "power", tomllib.loads(text)))


def test_without_a_table_sources_are_looked_for() -> None:
    assert power_config(None) == load("") == PowerConfig()
    assert PowerConfig().source == "auto"


def test_everything_can_be_set() -> None:
    config = load(
        """
        source = "ups"
        low_percent = 30
        critical_percent = 10
        confirm = 5
        stop_at_critical = false
        max_poll_s = 15
        shortest_runtime_s = 600
        sys = "sys"
        sessions_per_h = 8
        codec_effort = "best"
        [ups]
        chip = "ina219"
        bus = 3
        address = 0x43
        cells = 2
        empty_v = 3.1
        full_v = 4.1
        shunt_ohms = 0.01
        reverse_current = true
        """
    )
    assert config.rules == ModeRules(
        low_percent=30, critical_percent=10, confirm=5, stop_at_critical=False, max_poll_s=15,
        shortest_runtime_s=600,
    )  # fmt: skip
    assert config.ups == UpsConfig(
        chip="ina219", bus=3, address=0x43, cells=2, empty_v=3.1, full_v=4.1, shunt_ohms=0.01,
        reverse_current=True,
    )  # fmt: skip
    assert config.sys == Path("/etc/sys")
    assert config.modes == frugal_settings(8, CodecEffort.FULL)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'source = "usb"',
            "[power] source is 'usb', must be one of auto, sysfs, psutil, ups, none",
        ),
        (
            'source = "ups"',
            '[power] source is ups; add [power.ups] with chip = "max17048" or another',
        ),
        (
            'source = "sysfs"\n[ups]\nchip = "ina219"',
            "[power] source is sysfs, which leaves [power.ups] unread; set ups or auto",
        ),
        ("low_percent = 9", "[power] low_percent is 9, must be at least 5 above critical_percent"),
        ("critical_percent = 60", "[power] critical_percent is 60, must be a number from 0 to 50"),
        ("confirm = 1", "[power] confirm is 1, must be a whole number from 2 to 20"),
        ("sessions_per_h = -1", "[power] sessions_per_h is -1, must be a number from 0 to 3600"),
        (
            'codec_effort = "hard"',
            "[power] codec_effort is 'hard', must be one of default, fast, best",
        ),
        ("max_poll_s = 0", "[power] max_poll_s is 0, must be a number from 0.05 to 600"),
        ("colour = 1", "[power] colour is not a known setting"),
        ('[ups]\nchip = "bq27441"', "[power.ups] chip is 'bq27441', must be one of max17040,"),
        ("[ups]\nbus = 1", '[power.ups] chip is missing; add chip = "..."'),
        ('[ups]\nchip = "ina219"\naddress = 0', "[power.ups] address is 0, must be a whole number"),
        ('[ups]\nchip = "ina219"\nfull_v = 3', "[power.ups] full_v is 3, must be above empty_v"),
        ('[ups]\nchip = "ina219"\nsize = 3', "[power.ups] size is not a known setting"),
    ],
)
def test_mistakes_are_named_with_their_remedy(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value).startswith(f"/etc/agent.toml: {said}")
