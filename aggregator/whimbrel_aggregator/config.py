"""The settings as frozen values, one per component; :mod:`.configfile` reads them from TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from whimbrel_protocol.limits import PARTITIONS

MIB: Final = 1024 * 1024
DEFAULT_MAX_BYTES: Final = 10 * 1024 * MIB
"""About a week of 100 stores with 2,000 events an hour each, with room to spare."""

DEFAULT_MIN_FREE_BYTES: Final = 64 * MIB
"""A checkpoint of the write-ahead log must always fit."""

DEFAULT_RETENTION_DAYS: Final = 30.0
"""Longer than any outage a device's own buffer spans."""

BROKER_SCHEMES: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
FORWARD_KINDS: Final = ("files", "webhook", "postgres")
HANG_S: Final = {"files": 60.0, "webhook": 600.0, "postgres": 300.0}
"""A sync of a slow disk; some 20 requests of a batch with refused events, each at its own limit of
30 s; four transactions that wait for each other, each at its own limit of 60 s."""


@dataclass(frozen=True, slots=True)
class RegionConfig:
    """The region's name and the file of the key that signs receipts."""

    name: str
    key: Path


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker listens: scheme (mqtt, mqtts, ws, wss), host, port, path (ws only)."""

    scheme: str
    host: str
    port: int
    path: str = "/mqtt"

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self) -> bool:
        """Whether MQTT rides in a WebSocket."""
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path if self.websocket else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """How to reach the brokers; they are tried in order, from the first again after each loss.

    Attributes:
        urls: the brokers.
        partitions: the partitions to listen to.
        username: user name, or empty.
        password_file: file with the password, readable by its owner only.
        ca_file: certificate authorities to trust instead of the system's.
        client_id: must be unique at the broker.
        qos: of the subscription. 0 by default: the agent resends what gets no receipt, so the
            broker's own acknowledgements add work and no safety (measured twice as fast).
        keepalive_s: MQTT keep-alive.
    """

    urls: tuple[BrokerUrl, ...]
    partitions: frozenset[int] = frozenset(range(PARTITIONS))
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    client_id: str = ""
    qos: Literal[0, 1] = 0
    keepalive_s: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """The journal's file and bounds.

    Attributes:
        path: the SQLite file.
        max_bytes: byte cap, WAL included; at the cap credit is zero and nothing is receipted.
        retention_days: frames older than this go when no cursor holds them; None keeps all.
        retention_bytes: the oldest frames go while more is in use; None means never.
        min_free_bytes: what must stay free on the file system.
    """

    path: Path
    max_bytes: int = DEFAULT_MAX_BYTES
    retention_days: float | None = DEFAULT_RETENTION_DAYS
    retention_bytes: int | None = None
    min_free_bytes: int = DEFAULT_MIN_FREE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Bounds of the way from the broker to the journal.

    Attributes:
        queue_bytes: frames waiting to be verified; beyond it they are dropped and counted (the
            agent resends).
        group_frames: frames in one durable commit.
        group_bytes: bytes in one durable commit.
        credit_bytes: what one device may have in flight when nothing is scarce.
        credit_lifetime_s: how long a device may rely on that.
        hold_s: what a device is told to wait when it is not enrolled.
        verify_threads: signatures are checked in this many threads (they free the GIL).
    """

    queue_bytes: int = 16 * MIB
    group_frames: int = 512
    group_bytes: int = 4 * MIB
    credit_bytes: int = MIB
    credit_lifetime_s: int = 300
    hold_s: int = 15  # whoever enrols a device is watching; a question is one small message
    verify_threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturningConfig:
    """How many devices that come back together may start in a second.

    Attributes:
        share_per_s: the part of the enrolled devices. Waits are whole seconds, so that any one
            second may see twice as many: the default keeps within a twentieth of the fleet.
        least_per_s: so many may always; a region answers more than ten times as many.
    """

    share_per_s: float = 0.025
    least_per_s: float = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConfig:
    """A rate and quotas for each region, tenant, store or device that it fits.

    Attributes:
        per: ``region``, ``tenant``, ``store`` or ``device``: what is counted together.
        tenants: patterns of the tenants that it fits; empty means all.
        stores: patterns of the stores.
        devices: patterns of the devices.
        bytes_per_s: the rate of what comes in; None without one.
        burst_bytes: what may come at once.
        monthly_bytes: committed bytes in a calendar month (UTC); None without a quota.
        monthly_events: committed events in it; None without a quota.
        over: past a quota, ``slow`` (single frames at growing intervals) or ``hold`` (nothing).
    """

    per: Literal["region", "tenant", "store", "device"]
    tenants: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    bytes_per_s: int | None = None
    burst_bytes: int = 0
    monthly_bytes: int | None = None
    monthly_events: int | None = None
    over: Literal["slow", "hold"] = "slow"


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """The HTTP API: where it listens, and the bearer token's file (required off loopback)."""

    host: str = "127.0.0.1"
    port: int = 8450
    token_file: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which events a consumer wants; an empty tuple means all of them."""

    tenants: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSinkConfig:
    """NDJSON files, rotated by size and time."""

    dir: Path
    rotate_bytes: int = 64 * MIB
    rotate_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSinkConfig:
    """CloudEvents batches posted to a URL, signed with the secret."""

    url: str
    secret_file: Path | None = None
    batch_events: int = 500
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSinkConfig:
    """Rows and cursor in one transaction; ``table`` may hold ``{tenant}``."""

    dsn_file: Path
    schema: str = "public"
    table: str = "events_{tenant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderConfig:
    """From which age of its backlog (seconds) a route leaves what out; None: never.

    Attributes:
        sampled_after_s: one event in ``sample_one_in`` of the lanes normal and bulk.
        summarised_after_s: one summary a frame of them.
        store_only_after_s: nothing of them.
        shed_after_s: nothing of the lane high either; ``critical`` is never left out.
        sample_one_in: how many events one stands for.
        push_down: whether devices are asked to thin their series of numbers too.
    """

    sampled_after_s: float | None = None
    summarised_after_s: float | None = None
    store_only_after_s: float | None = None
    shed_after_s: float | None = None
    sample_one_in: int = 10
    push_down: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardConfig:
    """One forwarder.

    Attributes:
        name: also its consumer's name in the journal.
        sink: where events go.
        select: which events.
        start: where it begins when the journal does not know it yet.
        hang_s: a call to the sink that did not return within so many seconds counts as hanging.
            Every sink has shorter time limits of its own for whatever it asks of a network, and
            one call may take several of them.
        max_backlog_bytes: so far behind, it holds back the devices whose events it selects; None:
            not before the journal is nearly full.
        ladder: what it leaves out when it cannot keep up; nothing by default.
    """

    name: str
    sink: FilesSinkConfig | WebhookSinkConfig | PostgresSinkConfig
    select: Selection = field(default_factory=Selection)
    start: Literal["oldest", "newest"] = "oldest"
    hang_s: float = 300.0
    max_backlog_bytes: int | None = None
    ladder: LadderConfig = field(default_factory=LadderConfig)

    @property
    def kind(self) -> str:
        """The sink's kind: one of :data:`FORWARD_KINDS`."""
        match self.sink:
            case FilesSinkConfig():
                return "files"
            case WebhookSinkConfig():
                return "webhook"
            case PostgresSinkConfig():
                return "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorConfig:
    """The whole file."""

    region: RegionConfig
    broker: BrokerConfig
    journal: JournalConfig
    ingest: IngestConfig = field(default_factory=IngestConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    forwards: tuple[ForwardConfig, ...] = ()
    returning: ReturningConfig = field(default_factory=ReturningConfig)
    limits: tuple[LimitConfig, ...] = ()
    log_level: str = "info"
