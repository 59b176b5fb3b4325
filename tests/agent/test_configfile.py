"""``agent.toml`` and what is said about its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.config import AgentConfig, TopicRule
from whimbrel_agent.configfile import MAX_FILE_BYTES, load_config
from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.settings import PowerConfig
from whimbrel_agent.profiles.library import load_profile, names
from whimbrel_agent.settings import ConfigError
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import Order

REGION_KEY = PrivateKey(b"r" * 32).public.to_text()
DEVICE = f"""
[device]
tenant = "acme"
region = "eu-1"
store = "store-12"
device = "till-3"
key = "device.key"
region_key = "{REGION_KEY}"
"""
LEAST = DEVICE + '[buffer]\npath = "buffer.db"\n[uplink]\nbrokers = ["mqtt://127.0.0.1"]\n'


def load(folder: Path, text: str) -> AgentConfig:
    file = folder / "agent.toml"
    file.write_text(text)
    return load_config(file)


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value).removeprefix(f"{folder}/agent.toml: ")


def test_the_least_configuration_has_defaults_for_the_rest(tmp_path: Path) -> None:
    config = load(tmp_path, LEAST)
    assert config.device.address.device == "till-3"
    assert config.device.key_file == tmp_path / "device.key"
    assert config.buffer.path == tmp_path / "buffer.db"
    assert config.control.socket == tmp_path / "control.sock"
    assert str(config.uplink.brokers[0]) == "mqtt://127.0.0.1:1883"
    assert all(lane.order is Order.IN_ORDER for lane in config.buffer.lanes.values())
    assert (config.http, config.mqtt, config.machine) == (None, None, None)
    assert config.power == PowerConfig()
    assert config.device.profile is None


def test_everything_can_be_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        DEVICE
        + """
        profile = "pi-4"
        [buffer]
        path = "/var/lib/whimbrel/buffer.db"
        max_bytes = "8 MiB"
        [lanes.normal]
        order = "live-first"
        overflow = "refuse"
        linger_s = 2
        batch_events = 100
        durability_s = 5
        share = 16
        [uplink]
        replay_limit = "1 Mbit/s"
        brokers = ["mqtts://a.example", "wss://[::1]:8443/ws"]
        username = "till"
        password_file = "secret"
        ca_file = "ca.pem"
        certificate_file = "c.pem"
        certificate_key_file = "c.key"
        keepalive_s = 30
        connect_timeout_s = 3.5
        window_bytes = "1 MiB"
        window_frames = 64
        [intake.http]
        listen = "[::1]:8440"
        socket = "intake.sock"
        max_body_bytes = 100000
        [intake.mqtt]
        broker = "mqtt://localhost"
        topics = ["a/+/b", {filter = "c/#", lane = "high", zone = "cellar", type = "t"}]
        [intake.machine]
        every_s = 30
        lane = "normal"
        zone = "office"
        [control]
        socket = "/run/whimbrel/agent.sock"
        [power]
        source = "none"
        [former_regions.us-1]
        region_key = "REGION_KEY"
        brokers = ["mqtt://us-1.example"]
        username = "till"
        """.replace("REGION_KEY", REGION_KEY),
    )
    assert config.device.profile == "pi-4"
    lane = config.buffer.lanes["normal"]
    assert (lane.order, lane.linger_s, lane.batch_events) == (Order.LIVE_FIRST, 2.0, 100)
    assert lane.durability_s == 5.0
    assert not any(other.durability_s for other in config.buffer.lanes.values() if other != lane)
    assert {name: one.share for name, one in config.buffer.lanes.items()} == {
        "critical": 64, "high": 16, "normal": 16, "bulk": 1,
    }  # fmt: skip
    assert config.uplink.links[-1].replay_bytes_per_s == 125_000
    assert config.buffer.max_bytes == 8 * 1024 * 1024
    assert config.uplink.access.password_file == tmp_path / "secret"
    assert config.uplink.window_bytes == 1024 * 1024
    assert config.http is not None
    assert (config.http.host, config.http.port) == ("::1", 8440)
    assert config.mqtt is not None
    assert config.mqtt.topics[1] == TopicRule(filter="c/#", type="t", lane="high", zone="cellar")
    assert config.machine is not None
    assert config.machine.every_s == 30
    assert config.control.socket == Path("/run/whimbrel/agent.sock")
    assert config.power.source == "none"
    (former,) = config.former_regions
    assert (former.region, str(former.brokers[0])) == ("us-1", "mqtt://us-1.example:1883")
    assert former.access.username == "till"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "[device] is missing; add the table"),
        (LEAST.replace('tenant = "acme"', ""), '[device] tenant is missing; add tenant = "..."'),
        (LEAST.replace('"acme"', '"Acme"'), "[device] tenant is 'Acme': a name is 1 to 32 of a-z"),
        (LEAST.replace('"acme"', "7"), "[device] tenant is 7, must be a text that is not empty"),
        (LEAST.replace(REGION_KEY, "AAAA"), "[device] region_key is not a public key"),
        (
            LEAST.replace("key =", 'profile = "pi-9"\nkey =', 1),
            "[device] profile is wrong: 'pi-9' is not a known profile (known: battery-sensor-hub",
        ),
        (
            LEAST + "[lanes.critical]\ndurability_s = 0.5",
            "[lanes.critical] durability_s is 0.5, must be 0: what is critical is durable when it",
        ),
        (LEAST + "[lanes.bulk]\ndurability_s = 61", "[lanes.bulk] durability_s is 61"),
        (
            LEAST + "[former_regions.eu-1]",
            "[former_regions] eu-1 is the region that the device is in; remove it",
        ),
        (
            LEAST + "[former_regions.us-1]",
            '[former_regions.us-1] region_key is missing; add region_key = "..."',
        ),
        (
            LEAST + f'[former_regions.us-1]\nregion_key = "{REGION_KEY}"',
            "[former_regions.us-1] brokers is missing; add",
        ),
        (
            LEAST + '[former_regions."us 1"]',
            "[former_regions.us 1] is no region's name: a name is 1 to 32 of a-z",
        ),
        (LEAST + "color = 1", "[uplink] color is not a known setting; (known: brokers, username"),
        (
            LEAST.replace("path =", "maxbytes = 1\npath ="),
            "[buffer] maxbytes is not a known setting; did you mean max_bytes? (known:",
        ),
        (LEAST + "[lane.normal]", "lane is not a known table; did you mean lanes?"),
        (LEAST + "[lanes.urgent]", "[lanes] urgent is not a known setting"),
        (
            LEAST + '[lanes.bulk]\norder = "random"',
            "[lanes.bulk] order is 'random', must be one of in-order, live-first",
        ),
        (
            LEAST + "[lanes.bulk]\nshare = 5",
            "[lanes] bulk.share is 5, must be at most that of normal, 4",
        ),
        (LEAST + "[lanes.high]\nshare = 0", "[lanes.high] share is 0, must be a whole number"),
        (
            LEAST + "[lanes.bulk]\nbatch_events = 0",
            "[lanes.bulk] batch_events is 0, must be a whole number from 1 to 1000",
        ),
        (LEAST.replace("path =", 'max_bytes = "8 furlongs"\npath ='), "[buffer] max_bytes is '8 f"),
        (LEAST.replace("path =", "max_bytes = true\npath ="), "[buffer] max_bytes is True, must"),
        (LEAST.replace("mqtt://", "http://"), "[uplink] brokers is wrong: 'http://127.0.0.1' has"),
        (LEAST.replace('["mqtt://127.0.0.1"]', "[]"), "[uplink] brokers is missing; add"),
        (LEAST.replace('["mqtt://127.0.0.1"]', "5"), "[uplink] brokers is 5, must be a list"),
        (LEAST + 'password_file = "p"', "[uplink] username is missing; MQTT has no password"),
        (LEAST + 'certificate_file = "c"', "[uplink] certificate_key_file is missing"),
        (LEAST + "[intake.http]", "[intake.http] listen is missing; add"),
        (
            LEAST + '[intake.http]\nlisten = "0.0.0.0:80"',
            "[intake.http] listen is '0.0.0.0:80', must be a loopback address",
        ),
        (LEAST + '[intake.http]\nlisten = "127.0.0.1"', "[intake.http] listen is '127.0.0.1', mus"),
        (
            LEAST + '[intake.mqtt]\nbroker = "mqtt://localhost"\ntopics = ["a/#/b"]',
            "[intake.mqtt.topics] filter is 'a/#/b', must be an MQTT topic filter",
        ),
        (LEAST + "[intake]\nhttp = 5", "[intake] http must be a table; write [intake.http]"),
        (LEAST + '[intake.machine]\nzone = "Cellar"', "[intake.machine] zone is 'Cellar': a name"),
        (LEAST + f'[control]\nsocket = "/{"x" * 120}"', "[control] socket is a path of 121 bytes"),
        (LEAST + '[power]\nsource = "usb"', "[power] source is 'usb', must be one of auto, sysfs"),
        ("= 5", "is not TOML:"),
        ("#" * (MAX_FILE_BYTES + 1), "is larger than"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    assert problem(tmp_path, text).startswith(said)


def test_a_named_profile_fills_in_what_the_file_leaves_open(tmp_path: Path) -> None:
    text = LEAST.replace("key =", 'profile = "battery-sensor-hub-lte"\nkey =', 1)
    config = load(tmp_path, text + "[lanes.bulk]\nlinger_s = 7\n")
    assert config.buffer.max_bytes == 256 * 1024 * 1024
    lingers = {name: lane.linger_s for name, lane in config.buffer.lanes.items()}
    assert lingers == {"critical": 0.05, "high": 60.0, "normal": 300.0, "bulk": 7.0}
    assert config.buffer.dictionaries
    assert config.uplink.access.keepalive_s == 1200
    assert config.power.modes[Mode.MAINS].sessions_per_h == 15
    assert config.power.modes[Mode.BATTERY].sessions_per_h == 12
    assert problem(tmp_path, text + "[lanes.bulk]\ncolor = 1").startswith("[lanes.bulk] color is")


@pytest.mark.parametrize("name", names())
def test_every_shipped_profile_can_be_named(tmp_path: Path, name: str) -> None:
    text = LEAST.replace("key =", f'profile = "{name}"\nkey =', 1)
    config = load(tmp_path, text + '[intake.http]\nlisten = "127.0.0.1:0"')
    profile = load_profile(name)
    assert config.buffer.max_bytes == profile.defaults.buffer_bytes
    assert config.http is not None
    assert config.http.max_body_bytes == profile.intake.max_body_bytes


def test_a_mistake_in_a_profile_of_ones_own_is_named_in_that_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("schema = 1")
    with pytest.raises(ConfigError, match=r"mine\.toml: name is missing"):
        load(tmp_path, LEAST.replace("key =", 'profile = "mine.toml"\nkey =', 1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_config(tmp_path / "none.toml")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"[device]\n\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 at byte 9"):
        load_config(file)
