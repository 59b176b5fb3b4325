"""What a named profile fills in where ``agent.toml`` is silent: pure, on the file's own tables.

What the file says always stands. Only a profile that the file names fills in anything: settings
must not change because a board was detected. The ranges of a profile's keys lie within those of
the settings, so nothing that is filled in can be refused there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from whimbrel_agent.profiles.values import Durability, LaneDefaults, Profile

__all__ = ["LOW_LANES", "with_defaults"]

LOW_LANES: Final = ("normal", "bulk")
"""What a profile's window is for: a person waits for the others, or a loss costs more than flash."""


def with_defaults(values: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Return the settings file's values with the profile's where there were none.

    Filled in: ``[buffer] max_bytes`` and ``dictionaries``, ``[uplink] keepalive_s``, ``[power]
    sessions_per_h`` and ``codec_effort``, ``[lanes.*] linger_s`` and ``batch_events``, the
    durability window of low lanes, and, where there is an HTTP intake, its limits. A table of a
    wrong kind is left for the reader to refuse.

    Args:
        values: of ``agent.toml``; they are not changed.
        profile: the one that it names.
    """
    filled = dict(values)
    defaults = profile.defaults
    buffer = {"max_bytes": defaults.buffer_bytes, "dictionaries": defaults.dictionaries}
    _fill(filled, "buffer", buffer)
    _fill(filled, "uplink", {"keepalive_s": defaults.keepalive_s})
    if defaults.sessions_per_hour or defaults.codec_effort != "default":
        filled.setdefault("power", {})
    frugal = {"sessions_per_h": defaults.sessions_per_hour, "codec_effort": defaults.codec_effort}
    _fill(filled, "power", frugal)
    lanes = filled.get("lanes", {})
    if isinstance(lanes, Mapping):
        filled["lanes"] = dict(lanes)
        for name, lane in profile.lanes.items():
            filled["lanes"].setdefault(name, {})
            _fill(filled["lanes"], name, _settings(lane))
        if defaults.durability is Durability.WINDOW:
            for name in LOW_LANES:
                filled["lanes"].setdefault(name, {})
                _fill(filled["lanes"], name, {"durability_s": defaults.window_s})
    intake = filled.get("intake")
    if isinstance(intake, Mapping):
        filled["intake"] = dict(intake)
        limits = profile.intake
        _fill(
            filled["intake"],
            "http",
            {
                "max_body_bytes": limits.max_body_bytes,
                "max_connections": limits.max_connections,
            },
        )
    return filled


def _settings(lane: LaneDefaults) -> dict[str, Any]:
    pairs = {"linger_s": lane.linger_s, "batch_events": lane.batch_events}
    return {key: value for key, value in pairs.items() if value is not None}


def _fill(holder: dict[str, Any], name: str, defaults: Mapping[str, Any]) -> None:
    """Put defaults below what a table has; a table that is not there is not made."""
    table = holder.get(name)
    if isinstance(table, Mapping):
        holder[name] = {**defaults, **table}
