"""Closing a buffer: what is in memory is written, and the stop is marked as clean if it was."""

from __future__ import annotations

from contextlib import suppress

from whimbrel_agent.buffer.holding import write_held
from whimbrel_agent.buffer.lock import FileLock
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.values import BufferError  # noqa: A004  ours


def close_state(state: BufferState, recent: Recent, lock: FileLock) -> None:
    """Write what is in memory, checkpoint, mark the stop as clean, unlock.

    Raises:
        BufferError: something was in memory and cannot be written; all is closed all the same, and
            the next start accounts for it.
    """
    failure: BufferError | None = None
    try:
        try:
            write_held(state, recent)
        except BufferError as error:
            failure = error
        clean = state.database.broken is None
        state.database.close(clean=clean)
        if clean and failure is None:
            with suppress(OSError):  # the next start then takes this for an unclean stop
                state.numbers.stop()
    finally:
        state.numbers.abandon()
        lock.release()
    if failure is not None:
        raise failure
