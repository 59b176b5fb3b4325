"""``whimbrel-aggregator run``."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Iterator

from whimbrel_aggregator import exits
from whimbrel_aggregator.app import run as run_aggregator
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.logs import start_logs
from whimbrel_protocol.errors import WhimbrelError

_log = logging.getLogger("whimbrel")


def run(options: argparse.Namespace) -> int:
    """Run the aggregator until it is told to stop."""
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    start_logs(level=config.log_level)
    try:
        asyncio.run(run_aggregator(config))
    except* (WhimbrelError, OSError) as group:
        leaves = list(_leaves(group))
        for leaf in leaves[1:]:
            _log.error("another part failed: %s", leaf)
        raise _plain(leaves[0]) from group
    return exits.DONE


def _plain(error: BaseException) -> WhimbrelError:
    return error if isinstance(error, WhimbrelError) else WhimbrelError(str(error))


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
