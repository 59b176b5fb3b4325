"""What a power mode changes in the parts: when they seal, send and read figures, never what is kept."""

from __future__ import annotations

from whimbrel_agent.parts import Parts
from whimbrel_agent.power.modes import ModeSettings


def pace(parts: Parts, settings: ModeSettings) -> None:
    """Let the parts go by a mode's settings from now on."""
    parts.buffer.pace(settings.linger_s, settings.batch_events)
    parts.sealing.look_again()
    if parts.machine is not None:
        parts.machine.pace(settings.metrics_every_s)
