"""What the command line's exit statuses mean; the same table stands in ``--help``."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
"""Everything that was asked is done."""

REFUSED: Final = 1
"""Something was not accepted, not drained in time, or found wrong; the output says what."""

USAGE: Final = 2
"""Wrong arguments or configuration; nothing was done."""

NO_AGENT: Final = 3
"""The command needs a running agent and none answers."""

BUFFER: Final = 4
"""The buffer cannot be used: locked by another process, full, broken, or of a newer version."""

POWER: Final = 5
"""The agent stopped itself in an orderly way, since the battery is nearly empty. Started again, it
waits for mains or charge before it opens anything."""

INTERRUPTED: Final = 130
"""Stopped by Ctrl-C; what was durable stays durable."""

TABLE: Final = """\
exit status:
  0  done
  1  something was refused, not drained in time, or found wrong
  2  wrong arguments or configuration; nothing was done
  3  no running agent answers
  4  the buffer cannot be used: locked, full, broken, or of a newer version
  5  the agent stopped itself: its battery is nearly empty
  130  interrupted; what was durable stays durable
"""
