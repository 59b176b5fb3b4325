"""Who a fleet is: its run, its names, where it connects; kept in the fleet's folder.

::

    FOLDER/fleet.json                      this
    FOLDER/ledger/*.ledger                 what its senders know
    FOLDER/agents/STORE/DEVICE/            each agent's key, configuration and buffer
    FOLDER/hosts/                          figures and logs of processes with many agents
    FOLDER/enrol.sh, FOLDER/remove.sh      the aggregator's commands, for whoever runs it
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.keyfile import create_key, read_key
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.names import Address

MAX_MEMBERS: Final = 20_000
"""Each has a folder, a connection and some ten open files; more belong on more machines."""

_FILE: Final = "fleet.json"
_VERSION: Final = 1
_NAMING: Final = (
    "tenant", "region", "region_key", "stores", "devices", "store_prefix", "device_prefix",
)  # fmt: skip
"""What makes a fleet the same."""


class RosterError(Exception):
    """A fleet cannot be as it is wanted, or a folder holds none."""


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of the fleet."""

    store: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """A fleet's identity and settings; all that a later start or reckoning needs.

    Attributes:
        run: hexadecimal digits that begin the id of every event of this fleet.
        tenant, region: where its members belong.
        region_key: the region's public key, as text.
        brokers: where members connect.
        stores, devices: how many stores, and devices in each.
        store_prefix, device_prefix: what their names begin with.
        seed: of everything that is drawn.
        buffer_bytes: cap of each buffer.
        linger_s: how long accepted events wait to be sealed.
        keepalive_s: the broker is asked for a sign of life so often.
        username, password_file, ca_file: what the broker wants, as in the agent's settings.
    """

    run: str
    tenant: str
    region: str
    region_key: str
    brokers: tuple[str, ...]
    stores: int
    devices: int
    store_prefix: str = "sim-"
    device_prefix: str = "dev-"
    seed: int = 1
    buffer_bytes: int = 4 * 1024 * 1024  # hours of a till's sales
    linger_s: float = 1.0
    keepalive_s: int = 60
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if self.stores < 1 or self.devices < 1 or len(self) > MAX_MEMBERS:
            raise RosterError(
                f"{self.stores} stores of {self.devices} devices are {len(self)} agents, must be "
                f"1 to {MAX_MEMBERS}; take fewer, or run a second fleet on another machine"
            )
        last = Member(
            _name(self.store_prefix, self.stores, self.stores),
            _name(self.device_prefix, self.devices, self.devices),
        )
        try:
            self.address(last)
        except FieldError as error:
            raise RosterError(f"{error}; choose other prefixes or another tenant") from error

    def __len__(self) -> int:
        return self.stores * self.devices

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody, store by store."""
        return tuple(self._members())

    @property
    def store_names(self) -> frozenset[str]:
        """All stores; made at each call."""
        return frozenset(
            _name(self.store_prefix, store, self.stores) for store in range(1, self.stores + 1)
        )

    def address(self, member: Member) -> Address:
        """Return a member's address. Raises FieldError when a name is not allowed."""
        return Address(
            tenant=self.tenant, region=self.region, store=member.store, device=member.device
        )

    def sender(self, member: Member) -> str:
        """Return the name under which a member's events stand in the ledger."""
        return f"{self.run}/{member.store}/{member.device}"

    def place_of(self, member: Member) -> int:
        """Return a member's place in its store, from 0."""
        return int(member.device.removeprefix(self.device_prefix)) - 1

    def owns(self, event_id: str) -> bool:
        """Whether an event's id is one of this fleet's."""
        return event_id.startswith(f"{self.run}/")

    def check_same(self, former: Roster) -> None:
        """Refuse to take over a folder whose fleet has other members.

        Raises:
            RosterError: naming what differs; the ledger there would not fit this fleet.
        """
        for name in _NAMING:
            mine, its = getattr(self, name), getattr(former, name)
            if mine != its:
                raise RosterError(
                    f"the folder holds a fleet whose {name} is {its!r}, not {mine!r}; name another "
                    "--folder, or clean this one with: whimbrel-sim fleet clean"
                )

    def save(self, folder: Path) -> None:
        """Write it into the fleet's folder, made when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=1)
        (folder / _FILE).write_text(text + "\n")

    def _members(self) -> Iterator[Member]:
        for store in range(1, self.stores + 1):
            for device in range(1, self.devices + 1):
                yield Member(
                    _name(self.store_prefix, store, self.stores),
                    _name(self.device_prefix, device, self.devices),
                )


def _name(prefix: str, number: int, most: int) -> str:
    return f"{prefix}{number:0{len(str(most))}d}"


def load_roster(folder: Path) -> Roster:
    """Read the fleet that a folder holds.

    Raises:
        RosterError: it holds none, or one of another version.
    """
    try:
        values: dict[str, Any] = json.loads((folder / _FILE).read_text())
        version = values.pop("version")
        if version != _VERSION:
            raise RosterError(f"{folder}: fleet of version {version}, this program has {_VERSION}")
        return Roster(**{**values, "brokers": tuple(values["brokers"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RosterError(
            f"{folder}: holds no fleet ({error}); name the folder given to whimbrel-sim fleet"
        ) from error


def has_roster(folder: Path) -> bool:
    """Whether a folder holds a fleet already."""
    return (folder / _FILE).exists()


def ledger_folder(folder: Path) -> Path:
    """Where the fleet's ledger files lie."""
    return folder / "ledger"


def member_folder(folder: Path, member: Member) -> Path:
    """Where everything of one agent lies."""
    return folder / "agents" / member.store / member.device


def equip(folder: Path, roster: Roster, member: Member, *, http_port: int | None) -> str:
    """Make a member's folder, key and configuration, and return its public key as text.

    A key that is there is kept. ``http_port`` is given to agents in processes of their own.
    """
    place = member_folder(folder, member)
    place.mkdir(parents=True, exist_ok=True)
    key_file = place / "device.key"
    key = read_key(key_file) if key_file.exists() else create_key(key_file)
    tables: dict[str, dict[str, Any]] = {
        "device": {
            "tenant": roster.tenant,
            "region": roster.region,
            "store": member.store,
            "device": member.device,
            "key": key_file.name,
            "region_key": roster.region_key,
        },
        "buffer": {"path": "buffer.db", "max_bytes": roster.buffer_bytes},
        "lanes.normal": {"linger_s": roster.linger_s},
        "uplink": {"brokers": list(roster.brokers), "keepalive_s": roster.keepalive_s},
        "control": {"socket": "c.sock"},  # the path of a Unix socket is short
    }
    for name in ("username", "password_file", "ca_file"):
        if getattr(roster, name) is not None:
            tables["uplink"][name] = getattr(roster, name)
    if http_port is not None:
        tables["intake.http"] = {"listen": f"127.0.0.1:{http_port}"}
    lines = []
    for name, values in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    config_file(folder, member).write_text("\n".join(lines) + "\n")
    return key.public.to_text()


def config_file(folder: Path, member: Member) -> Path:
    """Return the file of a member's settings."""
    return member_folder(folder, member) / "agent.toml"
