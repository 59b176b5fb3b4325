"""What a scenario says in the words of ``agent.toml`` and ``aggregator.toml``.

The shipped readers check it, so that a scenario can say what a file can, and nothing else. Who a
machine is, where its files lie and how it is reached stay the world's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from whimbrel_agent import configfile as agent_file
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.settings import ConfigError as AgentConfigError
from whimbrel_aggregator import configfile as aggregator_file
from whimbrel_aggregator.config import AggregatorConfig
from whimbrel_aggregator.settings import ConfigError as AggregatorConfigError
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import SEED_BYTES, PrivateKey

AGENT_TABLES: Final = ("buffer", "lanes", "raw", "rules", "uplink")
AGENT_BUFFER: Final = ("dictionaries",)
"""The rest of this table is the world's: where the file lies, and how large it may be."""

AGGREGATOR_TABLES: Final = ("ingest", "limit", "returning")

_PLACE: Final = Path("/world")
_ANY_KEY: Final = PrivateKey(bytes(SEED_BYTES)).public
_AGENT: Final[Mapping[str, Any]] = {
    "device": {
        "tenant": "any", "region": "any", "store": "any", "device": "any", "key": "device.key",
        "region_key": _ANY_KEY.to_text(),
    },
    "buffer": {"path": "buffer.db"},
}  # fmt: skip
_UPLINK: Final = {"brokers": ["mqtt://broker"]}
_AGGREGATOR: Final[Mapping[str, Any]] = {
    "region": {"name": "any", "key": "region.key"},
    "broker": {"urls": ["mqtt://broker"]},
    "journal": {"path": "journal.db"},
}


class SettingsError(WhimbrelError):
    """A scenario's settings cannot be used; names the table, the key, the value and the remedy."""


def agent_settings(given: Mapping[str, Any]) -> AgentConfig:
    """Return an agent's settings: those given, and the world's in place of what it is and where.

    Raises:
        SettingsError: they break a rule, or a scenario cannot say them.
    """
    _check_tables("agent", given, AGENT_TABLES)
    _check_tables("agent.buffer", given.get("buffer", {}), AGENT_BUFFER)
    values = {
        **_AGENT,
        **given,
        "buffer": {**_AGENT["buffer"], **given.get("buffer", {})},
        "uplink": {**_UPLINK, **given.get("uplink", {})},
    }
    try:
        return agent_file.read_config(values, _PLACE / "agent.toml")
    except AgentConfigError as error:
        raise SettingsError(str(error).removeprefix(f"{_PLACE}/")) from error


def aggregator_settings(given: Mapping[str, Any]) -> AggregatorConfig:
    """Return an aggregator's settings, as :func:`agent_settings` does an agent's.

    Raises:
        SettingsError: they break a rule, or a scenario cannot say them.
    """
    _check_tables("aggregator", given, AGGREGATOR_TABLES)
    try:
        return aggregator_file.read_config({**_AGGREGATOR, **given}, _PLACE / "aggregator.toml")
    except AggregatorConfigError as error:
        raise SettingsError(str(error)) from error


def _check_tables(name: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for table in given:
        if table not in known:
            raise SettingsError(
                f"[{name}] {table} is not a scenario's to set (these are: {', '.join(known)})"
            )
