"""Real agents and a real aggregator in a folder: keys, configuration, enrolment, start and kill.

Nothing here looks inside the processes; what a test wants to know it asks through their own
commands, or reads from the journal file.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address

from .journalfile import read_contents
from .ports import free_port
from .program import Program, run_command
from .reconcile import Contents

REGION_NAME: Final = "eu-1"
TENANT: Final = "acme"

Settings = Mapping[str, Mapping[str, Any]]
"""Settings by table, such as ``{"buffer": {"max_bytes": 8_388_608}}``; they win over ours."""


Patches = tuple[str, ...]
"""Faults put into a process on purpose, by their names in :mod:`.sabotage`."""


class Region:
    """One aggregator with its journal.

    Args:
        folder: everything of it lies there.
        broker_urls: where it connects.
        patches: runs it with planted faults.
        settings: further settings of its configuration.
    """

    module: Final = "whimbrel_aggregator"

    def __init__(
        self,
        folder: Path,
        broker_urls: Sequence[str],
        *,
        patches: Patches = (),
        settings: Settings | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_file = folder / "aggregator.toml"
        self.journal_file = folder / "journal.db"
        self.port = free_port()
        self._write_config(broker_urls, settings or {})
        self.public_key = _keygen(self.module, folder / "region.key")
        self.program = _program("aggregator", self.module, self.config_file, patches)

    def enrol(self, agent: Agent) -> None:
        """Make a device known, whether the aggregator runs or not."""
        address = agent.address
        run_command(
            self.module, "devices", "add", "--config", str(self.config_file),
            "--key", agent.public_key, address.tenant, address.store, address.device,
            folder=self.folder,
        )  # fmt: skip

    def is_ready(self) -> bool:
        """Say whether it is connected to its broker and can commit (``/readyz``)."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1):
                return True
        except OSError:
            return False

    def status(self) -> dict[str, Any]:
        """Return what ``status --json`` says."""
        return _status(self.module, self.config_file)

    def contents(self) -> Contents:
        """Read the whole journal."""
        return read_contents(self.journal_file)

    def backup(self, target: Path) -> None:
        """Write a consistent copy of the journal, by the operator's command."""
        run_command(
            self.module, "backup", "--config", str(self.config_file), str(target),
            folder=self.folder,
        )  # fmt: skip

    def restore(self, source: Path) -> None:
        """Put a backup in the journal's place, by the operator's command; it must not run."""
        run_command(
            self.module, "restore", "--config", str(self.config_file), "--replace", str(source),
            folder=self.folder,
        )  # fmt: skip

    def _write_config(self, broker_urls: Sequence[str], settings: Settings) -> None:
        tables: dict[str, dict[str, Any]] = {
            "region": {"name": REGION_NAME, "key": "region.key"},
            "broker": {"urls": list(broker_urls)},
            "journal": {"path": "journal.db"},
            "api": {"listen": f"127.0.0.1:{self.port}"},
        }
        _write_toml(self.config_file, tables, settings)


class Agent:
    """One agent with its buffer.

    Args:
        folder: everything of it lies there.
        region: whose receipts it believes.
        broker_url: where it connects.
        device: its name; the store is ``store-1`` unless named.
        tenant: whose it is.
        patches: runs it with planted faults.
        settings: further settings of its configuration.
    """

    module: Final = "whimbrel_agent"

    def __init__(
        self,
        folder: Path,
        region: Region,
        broker_url: str,
        *,
        device: str = "till-1",
        store: str = "store-1",
        tenant: str = TENANT,
        patches: Patches = (),
        settings: Settings | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = Address(tenant=tenant, region=REGION_NAME, store=store, device=device)
        self.config_file = folder / "agent.toml"
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self.port = free_port()
        self._region = region
        self.patches = patches
        self._settings = settings or {}
        self._write_config(broker_url)
        self.public_key = _keygen(self.module, folder / "device.key")
        self.program = _program("agent", self.module, self.config_file, patches)

    @property
    def url(self) -> str:
        """Where producers post."""
        return f"http://127.0.0.1:{self.port}"

    def status(self) -> dict[str, Any]:
        """Return what ``status --json`` says."""
        return _status(self.module, self.config_file)

    def clone(self, folder: Path, broker_url: str, *, patches: Patches = ()) -> Agent:
        """Return a second machine from an image of this one: same identity, key and buffer.

        The agent must not run while its image is taken.
        """
        shutil.copytree(self.data, folder / "data")
        shutil.copy2(self.folder / "device.key", folder / "device.key")
        return Agent(
            folder, self._region, broker_url, device=self.address.device,
            store=self.address.store, tenant=self.address.tenant, patches=patches,
            settings=self._settings,
        )  # fmt: skip

    def save_image(self, folder: Path) -> None:
        """Copy the buffer's files, as an image of the card; the agent is stopped or suspended."""
        shutil.copytree(self.data, folder)

    def load_image(self, folder: Path) -> None:
        """Put an older copy of the buffer's files in place; the agent must not run."""
        shutil.rmtree(self.data)
        shutil.copytree(folder, self.data)

    def _write_config(self, broker_url: str) -> None:
        address = self.address
        tables: dict[str, dict[str, Any]] = {
            "device": {
                "tenant": address.tenant,
                "region": address.region,
                "store": address.store,
                "device": address.device,
                "key": "device.key",
                "region_key": self._region.public_key,
            },
            "buffer": {"path": "data/buffer.db"},
            "lanes.normal": {"linger_s": 0.1},
            "uplink": {"brokers": [broker_url]},
            "intake.http": {"listen": f"127.0.0.1:{self.port}"},
            "control": {"socket": "control.sock"},
        }
        _write_toml(self.config_file, tables, self._settings)


def _program(name: str, module: str, config_file: Path, patches: Patches) -> Program:
    run = ["run", "--config", str(config_file)]
    if patches:
        run = [module, ",".join(patches), *run]
        module = "whimbrel_sim.sabotaged"
    return Program(name, module, run, config_file.parent)


def _keygen(module: str, key_file: Path) -> str:
    """Make a key by the product's own command, once, and return its public half as text."""
    if key_file.exists():
        return _public_half(key_file)
    run_command(module, "keygen", "--out", str(key_file), folder=key_file.parent)
    return _public_half(key_file)


def _public_half(key_file: Path) -> str:
    lines = [line for line in key_file.read_text().splitlines() if not line.startswith("#")]
    return PrivateKey(base64.b64decode(lines[0])).public.to_text()


def _status(module: str, config_file: Path) -> dict[str, Any]:
    text = run_command(
        module, "status", "--config", str(config_file), "--json", folder=config_file.parent
    )
    status: dict[str, Any] = json.loads(text)
    return status


def _write_toml(path: Path, tables: dict[str, dict[str, Any]], settings: Settings) -> None:
    """Write settings of texts, numbers, booleans and lists of texts; JSON's forms are TOML's."""
    for name, values in settings.items():
        tables.setdefault(name, {}).update(values)
    lines = []
    for name, values in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines) + "\n")
