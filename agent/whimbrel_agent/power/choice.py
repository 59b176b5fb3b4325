"""Which source a device reads: what the configuration names, else what is found."""

from __future__ import annotations

from whimbrel_agent.power.piflags import WithFlags, find_flags
from whimbrel_agent.power.reading import NoSource, PowerSource
from whimbrel_agent.power.settings import PowerConfig
from whimbrel_agent.power.sysfs import SUPPLIES, SysfsSource, supplies_in

__all__ = ["find_source"]


def find_source(config: PowerConfig) -> PowerSource:
    """Give the source of a configuration.

    ``auto`` looks once, in this order: the UPS HAT that is configured, the kernel's supplies,
    psutil where there is no Linux sysfs (on Linux it would read the same files). A source that is
    named is read even while it is empty, since a driver may come later. A board's own
    under-voltage flags are added to all but ``none``.
    """
    if config.source == "none":
        return NoSource()
    source = _battery(config)
    flags = find_flags(config.sys)
    return source if flags is None else WithFlags(source, flags)


def _battery(config: PowerConfig) -> PowerSource:
    if config.ups is not None:
        from whimbrel_agent.power.ups import UpsSource  # noqa: PLC0415  few devices have one

        return UpsSource(config.ups)
    supplies = config.sys / SUPPLIES
    if config.source == "sysfs" or supplies_in(supplies):
        return SysfsSource(config.sys)
    if config.source == "psutil" or not supplies.parent.exists():
        from whimbrel_agent.power.sensors import PsutilSource  # noqa: PLC0415  the same

        source = PsutilSource()
        return NoSource() if source.silent else source
    return NoSource()
