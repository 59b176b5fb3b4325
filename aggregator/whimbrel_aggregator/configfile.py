"""Reads aggregator.toml into :mod:`.config` values, once, at the edge."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from whimbrel_protocol.limits import PARTITIONS
from whimbrel_protocol.names import check_name

from .config import (
    BROKER_SCHEMES,
    DEFAULT_MAX_BYTES,
    DEFAULT_MIN_FREE_BYTES,
    DEFAULT_RETENTION_DAYS,
    FORWARD_KINDS,
    HANG_S,
    MIB,
    AggregatorConfig,
    ApiConfig,
    BrokerConfig,
    BrokerUrl,
    FilesSinkConfig,
    ForwardConfig,
    IngestConfig,
    JournalConfig,
    PostgresSinkConfig,
    RegionConfig,
    Selection,
    WebhookSinkConfig,
)
from .flowsettings import read_ladder, read_limits, read_returning
from .settings import ConfigError, Table


def load_config(path: Path) -> AggregatorConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: it cannot be read or breaks a rule; names file, table, key and remedy.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            file=str(path),
            table="",
            key="",
            problem=f"cannot be read: {error.strerror}",
            fix="name a readable file with --config",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            file=path.name,
            table="",
            key="",
            problem=f"is not TOML: {error}",
            fix="correct the line it names",
        ) from error
    return read_config(values, path)


def read_config(values: object, path: Path) -> AggregatorConfig:
    """Check parsed TOML; relative paths are taken from the folder of ``path``.

    Raises:
        ConfigError: it breaks a rule.
    """
    top = Table(values, file=path, name="")
    config = AggregatorConfig(
        region=_region(top.table("region")),
        broker=_broker(top.table("broker")),
        journal=_journal(top.table("journal")),
        ingest=_ingest(top.table("ingest")),
        api=_api(top.table("api")),
        forwards=_forwards(top.tables("forward")),
        returning=read_returning(top.table("returning")),
        limits=read_limits(top.tables("limit")),
        log_level=_log_level(top.table("log")),
    )
    top.done()
    return config


def parse_partitions(text: str) -> frozenset[int]:
    """Read a list such as ``0-15,40``.

    Raises:
        ValueError: a part is not a partition or a rising range of them.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not dash:
            last = first
        if not first.isdecimal() or not last.isdecimal():
            raise ValueError(f"{part.strip()!r} is not a partition or a range of them")
        low, high = int(first), int(last)
        if not low <= high < PARTITIONS:
            raise ValueError(f"{part.strip()!r} is not within 0-{PARTITIONS - 1}")
        chosen.update(range(low, high + 1))
    return frozenset(chosen)


def parse_broker_url(text: str) -> BrokerUrl:
    """Read a broker's URL.

    Raises:
        ValueError: scheme, host or port is not usable, or it holds a password.
    """
    parts = urlsplit(text)
    if parts.scheme not in BROKER_SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(BROKER_SCHEMES)}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user and password do not belong here: use username and password_file")
    if not parts.hostname:
        raise ValueError("it names no host")
    port = parts.port or BROKER_SCHEMES[parts.scheme]
    return BrokerUrl(parts.scheme, parts.hostname, port, parts.path or "/mqtt")


def parse_listen(text: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[v6]:port``; port 0 picks a free one.

    Raises:
        ValueError: it is not of that form.
    """
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port is None:
        raise ValueError("it is not host:port")
    return parts.hostname, parts.port


def _region(table: Table) -> RegionConfig:
    name = table.checked(
        "name", lambda text: check_name("name", text), fix="name the region, such as eu-1"
    )
    config = RegionConfig(
        name, table.needed_path("key", fix="make one with: whimbrel-aggregator keygen")
    )
    table.done()
    return config


def _broker(table: Table) -> BrokerConfig:
    texts = table.texts("urls")
    fix = "write it like mqtt://127.0.0.1:1883"
    urls = []
    for text in texts:
        try:
            urls.append(parse_broker_url(text))
        except ValueError as error:
            raise table.error("urls", f"has {text!r:.80}: {error}", fix) from error
    if not urls:
        raise table.error("urls", "is empty", fix)
    config = BrokerConfig(
        urls=tuple(urls),
        partitions=table.checked(
            "partitions",
            parse_partitions,
            fix="write it like 0-63 or 0-15,40",
            default=frozenset(range(PARTITIONS)),
        ),
        username=table.text("username", ""),
        password_file=table.path("password_file", required=False),
        ca_file=table.path("ca_file", required=False),
        client_id=table.text("client_id", ""),
        qos=1 if table.integer("qos", 0, low=0, high=1) else 0,
        keepalive_s=table.integer("keepalive_s", 30, low=5, high=3600),
    )
    if config.password_file is not None and not config.username:
        raise table.error("password_file", "is set without a user name", "set username too")
    table.done()
    return config


def _journal(table: Table) -> JournalConfig:
    config = JournalConfig(
        path=table.needed_path("path", fix="name the journal's file"),
        max_bytes=table.integer("max_bytes", DEFAULT_MAX_BYTES, low=4 * MIB, high=2**46),
        retention_days=table.number("retention_days", DEFAULT_RETENTION_DAYS, low=0, high=36_500)
        or None,
        retention_bytes=table.integer("retention_bytes", 0, low=0, high=2**46) or None,
        min_free_bytes=table.integer("min_free_bytes", DEFAULT_MIN_FREE_BYTES, low=0, high=2**46),
    )
    if config.retention_bytes is not None and config.retention_bytes >= config.max_bytes:
        raise table.error(
            "retention_bytes",
            f"is {config.retention_bytes}, not below max_bytes ({config.max_bytes})",
            "lower it, or the cap is reached before anything goes",
        )
    table.done()
    return config


def _ingest(table: Table) -> IngestConfig:
    usual = IngestConfig()
    config = IngestConfig(
        queue_bytes=table.integer("queue_bytes", usual.queue_bytes, low=MIB, high=1024 * MIB),
        group_frames=table.integer("group_frames", usual.group_frames, low=1, high=10_000),
        group_bytes=table.integer("group_bytes", usual.group_bytes, low=128 * 1024, high=64 * MIB),
        credit_bytes=table.integer("credit_bytes", usual.credit_bytes, low=MIB // 8, high=2**40),
        credit_lifetime_s=table.integer(
            "credit_lifetime_s", usual.credit_lifetime_s, low=1, high=86_400
        ),
        hold_s=table.integer("hold_s", usual.hold_s, low=1, high=86_400),
        verify_threads=table.integer("verify_threads", usual.verify_threads, low=1, high=64),
    )
    table.done()
    return config


def _api(table: Table) -> ApiConfig:
    host, port = table.checked(
        "listen", parse_listen, fix="write it like 127.0.0.1:8450", default=("127.0.0.1", 8450)
    )
    config = ApiConfig(host, port, table.path("token_file", required=False))
    if not config.loopback and config.token_file is None:
        raise table.error(
            "listen",
            f"is {host}, which other machines can reach, and there is no token_file",
            "set token_file to a file with a bearer token, or listen on 127.0.0.1",
        )
    table.done()
    return config


def _log_level(table: Table) -> str:
    level = table.choice("level", ("debug", "info", "warning", "error"), "info")
    table.done()
    return level


def _selection(table: Table) -> Selection:
    config = Selection(
        tenants=table.listed("tenant"),
        stores=table.listed("store"),
        zones=table.listed("zone"),
        types=table.listed("type"),
    )
    table.done()
    return config


def _forwards(tables: list[Table]) -> tuple[ForwardConfig, ...]:
    forwards: list[ForwardConfig] = []
    for table in tables:
        config = _forward(table)
        if any(config.name == other.name for other in forwards):
            raise table.error("name", f"is {config.name!r} twice", "give each forwarder its own")
        forwards.append(config)
    return tuple(forwards)


def _forward(table: Table) -> ForwardConfig:
    name = table.checked("name", lambda text: check_name("name", text), fix="name the forwarder")
    kind = table.choice("kind", FORWARD_KINDS)
    sink: FilesSinkConfig | WebhookSinkConfig | PostgresSinkConfig
    if kind == "files":
        sink = FilesSinkConfig(
            dir=table.needed_path("dir", fix="name a folder"),
            rotate_bytes=table.integer("rotate_bytes", 64 * MIB, low=4096, high=2**40),
            rotate_s=table.integer("rotate_s", 3600, low=1, high=31_536_000),
        )
    elif kind == "webhook":
        sink = WebhookSinkConfig(
            url=table.checked("url", _http_url, fix="write it like https://example.org/events"),
            secret_file=table.path("secret_file", required=False),
            batch_events=table.integer("batch_events", 500, low=1, high=10_000),
            timeout_s=table.number("timeout_s", 30.0, low=0.1, high=600),
        )
    else:
        sink = PostgresSinkConfig(
            dsn_file=table.needed_path("dsn_file", fix="name a file that holds the DSN"),
            schema=table.text("schema", "public"),
            table=table.text("table", "events_{tenant}"),
        )
    start = table.choice("start", ("oldest", "newest"), "oldest")
    config = ForwardConfig(
        name=name,
        sink=sink,
        select=_selection(table.table("select")),
        start="newest" if start == "newest" else "oldest",
        hang_s=table.number("hang_s", HANG_S[kind], low=1, high=3_600),
        max_backlog_bytes=table.integer("max_backlog_bytes", 0, low=0, high=2**46) or None,
        ladder=read_ladder(table.table("ladder")),
    )
    table.done()
    return config


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not an http or https URL with a host")
    return text
