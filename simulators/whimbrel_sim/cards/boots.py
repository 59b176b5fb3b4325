"""Which boot the aggregator believes that it runs in; the agent asks its clock.

The one place that knows how the journal's lock learns the boot.
"""

from __future__ import annotations

from whimbrel_aggregator.journal import lock
from whimbrel_sim.patching import put

from .till import HandClock


def enter_boot(clock: HandClock) -> None:
    """Let journals of this process be opened in the clock's boot from now on."""
    if hasattr(lock, "_boot_id"):  # else it asks its clock, which is this one
        put(lock, "_boot_id", clock.boot_id.hex)
