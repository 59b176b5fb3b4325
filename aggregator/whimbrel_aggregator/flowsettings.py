"""The tables ``[returning]``, ``[[limit]]`` and ``[forward.ladder]`` of aggregator.toml; see :mod:`.configfile`."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from .config import MIB, LadderConfig, LimitConfig, ReturningConfig
from .flow.limits import OVERS, PERS
from .settings import Table

USUAL_BURST_S: Final = 10
"""The burst when none is set, in seconds of the rate: devices that wait for half of it lose nothing
by coming a few seconds late."""

MOST_AGE_S: Final = 366 * 86_400.0

LEAST_RATE: Final = 1024
LEAST_BURST: Final = MIB // 8
"""One payload at least: less could never be had at once."""


def read_returning(table: Table) -> ReturningConfig:
    """Read ``[returning]``.

    Raises:
        ConfigError: it breaks a rule.
    """
    usual = ReturningConfig()
    config = ReturningConfig(
        share_per_s=table.number("share_per_s", usual.share_per_s, low=0.0001, high=1.0),
        least_per_s=table.number("least_per_s", usual.least_per_s, low=1.0, high=100_000.0),
    )
    table.done()
    return config


def read_ladder(table: Table) -> LadderConfig:
    """Read ``[forward.ladder]``.

    Raises:
        ConfigError: it breaks a rule.
    """
    names = ("sampled_after_s", "summarised_after_s", "store_only_after_s", "shed_after_s")
    ages = {name: table.number(name, 0.0, low=0.0, high=MOST_AGE_S) or None for name in names}
    given = [(name, age_s) for name, age_s in ages.items() if age_s is not None]
    for (above, least_s), (name, age_s) in pairwise(given):
        if age_s <= least_s:
            raise table.error(
                name, f"is {age_s:g}, not above {above} ({least_s:g})", "let the ages rise"
            )
    one_in = table.integer("sample_one_in", LadderConfig().sample_one_in, low=2, high=100_000)
    push_down = table.flag("push_down", default=False)
    if push_down and not given:
        raise table.error(
            "push_down", "is set, and there is no rung", f"set one of {names[0]}, ..."
        )
    table.done()
    return LadderConfig(**ages, sample_one_in=one_in, push_down=push_down)


def read_limits(tables: list[Table]) -> tuple[LimitConfig, ...]:
    """Read every ``[[limit]]``.

    Raises:
        ConfigError: one breaks a rule.
    """
    return tuple(map(_limit, tables))


def _limit(table: Table) -> LimitConfig:
    per = table.choice("per", PERS)
    rate = table.integer("bytes_per_s", 0, low=0, high=2**40)
    if 0 < rate < LEAST_RATE:
        raise table.error(
            "bytes_per_s", f"is {rate}, below {LEAST_RATE}", "raise it, or leave it out for no rate"
        )
    usual_burst = max(LEAST_BURST, rate * USUAL_BURST_S)
    over = table.choice("over", OVERS, "slow")
    config = LimitConfig(
        per=next(one for one in PERS if one == per),
        tenants=table.listed("tenant"),
        stores=table.listed("store"),
        devices=table.listed("device"),
        bytes_per_s=rate or None,
        burst_bytes=table.integer("burst_bytes", usual_burst, low=LEAST_BURST, high=2**42),
        monthly_bytes=table.integer("monthly_bytes", 0, low=0, high=2**60) or None,
        monthly_events=table.integer("monthly_events", 0, low=0, high=2**60) or None,
        over=next(one for one in OVERS if one == over),
    )
    if not (config.bytes_per_s or config.monthly_bytes or config.monthly_events):
        raise table.error(
            "bytes_per_s", "is missing, and there is no quota", "set one, or remove the table"
        )
    table.done()
    return config
