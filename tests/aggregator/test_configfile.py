from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_aggregator.config import (
    BrokerUrl,
    FilesSinkConfig,
    LadderConfig,
    LimitConfig,
    PostgresSinkConfig,
    ReturningConfig,
    Selection,
    WebhookSinkConfig,
)
from whimbrel_aggregator.configfile import load_config, parse_broker_url, parse_partitions
from whimbrel_aggregator.settings import ConfigError

LEAST = """
[region]
name = "eu-1"
key = "region.key"
[broker]
urls = ["mqtt://127.0.0.1:1883"]
[journal]
path = "journal.db"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "aggregator.toml"
    path.write_text(text)
    return path


def test_the_least_configuration_has_safe_defaults(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, LEAST))
    assert config.region.key == tmp_path / "region.key"
    assert config.broker.urls == (BrokerUrl("mqtt", "127.0.0.1", 1883),)
    assert config.broker.partitions == frozenset(range(64))
    assert config.api.loopback
    assert config.journal.retention_days == 30
    assert config.forwards == ()


def test_everything_can_be_said(tmp_path: Path) -> None:
    config = load_config(
        written(
            tmp_path,
            """
            [region]
            name = "eu-1"
            key = "/etc/whimbrel/region.key"
            [broker]
            urls = ["mqtts://broker.example", "wss://[::1]:8084/ws"]
            partitions = "0-3,63"
            username = "region"
            password_file = "password"
            ca_file = "ca.pem"
            client_id = "region-a"
            qos = 1
            keepalive_s = 60
            [journal]
            path = "j/journal.db"
            max_bytes = 1073741824
            retention_days = 0
            retention_bytes = 500000000
            min_free_bytes = 1000
            [ingest]
            queue_bytes = 2097152
            group_frames = 64
            group_bytes = 1048576
            credit_bytes = 262144
            credit_lifetime_s = 60
            hold_s = 5
            verify_threads = 1
            [api]
            listen = "[::]:8450"
            token_file = "token"
            [log]
            level = "debug"
            [[forward]]
            name = "files"
            kind = "files"
            dir = "out"
            select = { tenant = "acme", zone = ["cold", "bakery"] }
            [[forward]]
            name = "hook"
            kind = "webhook"
            url = "https://example.org/events"
            secret_file = "secret"
            start = "newest"
            [[forward]]
            name = "db"
            kind = "postgres"
            dsn_file = "dsn"
            hang_s = 7
            max_backlog_bytes = 1000000
            [forward.ladder]
            sampled_after_s = 60
            store_only_after_s = 3600.5
            sample_one_in = 4
            push_down = true
            [returning]
            share_per_s = 0.5
            least_per_s = 20
            [[limit]]
            per = "tenant"
            tenant = "acme"
            bytes_per_s = 100000
            [[limit]]
            per = "device"
            store = ["store-*"]
            device = "till-?"
            monthly_bytes = 1000
            monthly_events = 10
            over = "hold"
            """,
        )
    )
    assert [str(url) for url in config.broker.urls] == [
        "mqtts://broker.example:8883",
        "wss://[::1]:8084/ws",
    ]
    assert config.broker.partitions == {0, 1, 2, 3, 63}
    assert config.journal.retention_days is None
    assert not config.api.loopback
    kinds = [type(forward.sink) for forward in config.forwards]
    assert kinds == [FilesSinkConfig, WebhookSinkConfig, PostgresSinkConfig]
    assert [forward.kind for forward in config.forwards] == ["files", "webhook", "postgres"]
    assert config.forwards[0].select == Selection(tenants=("acme",), zones=("cold", "bakery"))
    assert config.forwards[1].start == "newest"
    assert [forward.hang_s for forward in config.forwards] == [60, 600, 7]
    assert [forward.max_backlog_bytes for forward in config.forwards] == [None, None, 1_000_000]
    assert [forward.ladder for forward in config.forwards] == [
        LadderConfig(),
        LadderConfig(),
        LadderConfig(
            sampled_after_s=60, store_only_after_s=3600.5, sample_one_in=4, push_down=True
        ),
    ]
    assert config.returning == ReturningConfig(share_per_s=0.5, least_per_s=20)
    assert config.limits == (
        LimitConfig(per="tenant", tenants=("acme",), bytes_per_s=100_000, burst_bytes=1_000_000),
        LimitConfig(
            per="device",
            stores=("store-*",),
            devices=("till-?",),
            burst_bytes=131_072,
            monthly_bytes=1000,
            monthly_events=10,
            over="hold",
        ),
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('name = "eu-1"', 'name = "EU 1"'), r"\[region\] name is 'EU 1'.*letter or digit"),
        (('name = "eu-1"', ""), r"\[region\] name is missing; name the region"),
        (('key = "region.key"', ""), r"key is missing.*keygen"),
        (("mqtt://127", "http://127"), r"\[broker\] urls has .*scheme must be one of mqtt, mqtts"),
        (("mqtt://127", "mqtt://me:pw@127"), "use username and password_file"),
        (('urls = ["mqtt://127.0.0.1:1883"]', "urls = []"), "urls is empty"),
        (
            ("[journal]", "[journal]\nmax_byte = 5"),
            r"\[journal\] max_byte is not a known setting.*known: max_bytes",
        ),
        (("[journal]", "[journal]\nmax_bytes = 5"), "max_bytes is 5, not an integer from 4194304"),
        (("[journal]", "[journal]\nmax_bytes = true"), "max_bytes is True"),
        (
            ("[journal]", "[journal]\nmax_bytes = 5000000\nretention_bytes = 5000000"),
            "not below max_bytes",
        ),
        (("[broker]", '[broker]\npartitions = "0-64"'), "'0-64' is not within 0-63"),
        (("[broker]", '[broker]\npassword_file = "p"'), "without a user name"),
        (("[region]", "[regions]\n[region]"), "regions is not a known setting"),
        (("[journal]", '[api]\nlisten = "0.0.0.0:80"\n[journal]'), "there is no token_file"),
        (("[journal]", '[api]\nlisten = "80"\n[journal]'), "it is not host:port"),
        (
            ("[journal]", '[[forward]]\nname = "a"\nkind = "fax"\n[journal]'),
            "use one of: files, webhook",
        ),
        (
            ("[journal]", '[[forward]]\nname = "a"\nkind = "webhook"\nurl = "ftp://x"\n[journal]'),
            r"\[\[forward\]\] number 1 url is 'ftp://x'",
        ),
        (
            ("[journal]", '[[forward]]\nname = "a"\nkind = "files"\ndir = "o"\n' * 2 + "[journal]"),
            "name is 'a' twice",
        ),
        (("[journal]", "[journal"), "is not TOML"),
        (
            ("[journal]", '[[limit]]\nper = "till"\n[journal]'),
            r"\[\[limit\]\] number 1 per is 'till'; use one of: region, tenant",
        ),
        (
            ("[journal]", '[[limit]]\nper = "tenant"\n[journal]'),
            "bytes_per_s is missing, and there is no quota; set one, or remove the table",
        ),
        (
            ("[journal]", '[[limit]]\nper = "tenant"\nbytes_per_s = 9\n[journal]'),
            "bytes_per_s is 9, below 1024; raise it",
        ),
        (
            (
                "[journal]",
                (
                    '[[forward]]\nname = "a"\nkind = "files"\ndir = "o"\n[forward.ladder]\n'
                    "sampled_after_s = 60\nstore_only_after_s = 60\n[journal]"
                ),
            ),
            r"store_only_after_s is 60, not above sampled_after_s \(60\); let the ages rise",
        ),
        (
            (
                "[journal]",
                (
                    '[[forward]]\nname = "a"\nkind = "files"\ndir = "o"\n[forward.ladder]\n'
                    "push_down = true\n[journal]"
                ),
            ),
            r"push_down is set, and there is no rung; set one of sampled_after_s",
        ),
        (
            (
                "[journal]",
                (
                    '[[forward]]\nname = "a"\nkind = "files"\ndir = "o"\n[forward.ladder]\n'
                    "push_down = 1\n[journal]"
                ),
            ),
            "push_down is 1; write true or false",
        ),
        (
            ("[journal]", "[returning]\nshare_per_s = 0\n[journal]"),
            r"\[returning\] share_per_s is 0, not a number from 0.0001 to 1",
        ),
    ],
)
def test_an_error_names_file_table_key_and_remedy(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    text = LEAST.replace(*change)
    assert text != LEAST
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(written(tmp_path, text))
    assert str(caught.value).startswith("aggregator.toml: ")
    assert caught.value.fix


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.toml")


def test_partitions_and_urls_are_read_strictly() -> None:
    assert parse_partitions("7") == {7}
    for bad in ("", "a", "3-1", "1-", "-1", "1,,2"):
        with pytest.raises(ValueError, match="is not"):
            parse_partitions(bad)
    assert parse_broker_url("ws://h").port == 80
    with pytest.raises(ValueError, match="no host"):
        parse_broker_url("mqtt://:1883")
