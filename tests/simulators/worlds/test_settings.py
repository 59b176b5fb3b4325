"""A scenario says what the programs' own files can say, and nothing about who and where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.buffer.values import default_lanes
from whimbrel_aggregator.config import IngestConfig, ReturningConfig
from whimbrel_protocol.lanes import Order
from whimbrel_sim.worlds.explicit import as_toml
from whimbrel_sim.worlds.scenario import ScenarioError, parse
from whimbrel_sim.worlds.settings import SettingsError, agent_settings, aggregator_settings
from whimbrel_sim.worlds.world import tenant_of
from worlds.virtual import in_virtual_time, tiny_world

HEAD = 'story = "A test."\nduration_s = 60\n'
SAID = (
    HEAD
    + """
[fleet]
stores = 3
tenants = 2
[agent.lanes.normal]
order = "live-first"
[agent.uplink]
rate_limit = "160 kbit/s"
[[agent.rules]]
name = "means"
when = 'source.endswith("/1") and data.v > 3'
do = "window"
fields = ["v"]
raw_days = 2
[[aggregator.limit]]
per = "tenant"
tenant = ["acme-2"]
bytes_per_s = 5000
[aggregator.returning]
least_per_s = 3
[[load]]
on = "store-1-3"
[[load]]
on = "store-1-1/till-2"
ruled = true
[[expect]]
lane = "normal"
within_s = 3
on = "store-1-3"
"""
)


def test_what_is_not_said_is_as_the_programs_have_it() -> None:
    agent, aggregator = agent_settings({}), aggregator_settings({})
    assert agent.buffer.lanes == default_lanes()
    assert (agent.rules, agent.http, agent.mqtt) == ((), None, None)
    assert (aggregator.ingest, aggregator.returning) == (IngestConfig(), ReturningConfig())
    assert aggregator.limits == ()


@in_virtual_time
async def test_machines_have_what_is_said_and_what_the_world_knows(tmp_path: Path) -> None:
    async with tiny_world(tmp_path, text=SAID) as world:
        [region], device = world.regions, world.devices[0]
        config = device.config()
        assert config.buffer.lanes["normal"].order is Order.LIVE_FIRST
        assert config.uplink.links[-1].bytes_per_s == 20_000
        assert [one.host for one in config.uplink.brokers] == ["broker-1"]
        assert [rule.name for rule in config.rules] == ["means"]
        assert config.buffer.path == device.buffer_path
        assert region.config().limits[0].tenants == ("acme-2",)
        assert region.config().returning.least_per_s == 3
        assert region.config().journal.path == region.journal_path
        senders = {name: sender.ruled for name, sender in world.books.senders.items()}
        assert senders == {
            "store-1-1/till-2/2": True, "store-1-3/till-1/1": False, "store-1-3/till-2/1": False,
        }  # fmt: skip
        tenants = {one.address.store: one.address.tenant for one in world.devices}
        assert tenants == {"store-1-1": "acme", "store-1-2": "acme-2", "store-1-3": "acme"}


def test_a_scenarios_text_says_its_settings() -> None:
    given = parse("mine", SAID)
    assert parse("mine", as_toml(given)) == given


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[agent.device]\ntenant = 'x'", "device is not a scenario's to set"),
        ("[aggregator.journal]\npath = 'x'", "journal is not a scenario's to set"),
        ("[agent.lanes.normal]\norder = 'any'", "agent.toml: [lanes.normal] order"),
        ("[[agent.rules]]\nname = 'x'\ndo = 'pass'\nwhen = '('", "rules x"),
        ("[[aggregator.limit]]\nper = 'till'", "aggregator.toml: [[limit]]"),
        ("[[expect]]\nlane = 'normal'", "[[expect]]"),
    ],
)
def test_what_cannot_be_used_is_named_by_the_readers_own_words(more: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse("mine", HEAD + more)
    assert str(caught.value).startswith("mine")
    assert said in str(caught.value)


def test_a_wrong_setting_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="power is not"):
        agent_settings({"power": {}})


def test_stores_are_dealt_out_to_tenants_in_turn() -> None:
    assert [tenant_of(f"store-1-{n}", 3) for n in (1, 2, 3, 4)] == [
        "acme", "acme-2", "acme-3", "acme",
    ]  # fmt: skip
    assert tenant_of("store-2-9", 1) == "acme"
