"""What the command line's exit statuses mean; the same table stands in ``--help``."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
"""Everything that was asked is done."""

WRONG: Final = 1
"""Something was found wrong, or refused; the output says what."""

USAGE: Final = 2
"""Wrong arguments or configuration; nothing was done."""

UNREACHABLE: Final = 3
"""A running aggregator is needed, or one is there but does not answer."""

JOURNAL: Final = 4
"""The journal cannot be used: locked, full, damaged, or of a newer version."""

INTERRUPTED: Final = 130
"""Stopped by Ctrl-C."""

TABLE: Final = """\
exit status:
  0  done
  1  something was found wrong, or refused
  2  wrong arguments or configuration; nothing was done
  3  a running aggregator is needed and does not answer
  4  the journal cannot be used: locked, full, damaged, or of a newer version
  130  interrupted
"""
