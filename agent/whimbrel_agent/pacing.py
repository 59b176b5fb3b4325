"""What a power mode changes in the parts: when they seal, send and read figures, never what is kept."""

from __future__ import annotations

from whimbrel_agent.parts import Parts
from whimbrel_agent.power.modes import ModeSettings
from whimbrel_agent.uplink.radio import RadioPlan


def pace(parts: Parts, settings: ModeSettings, *, keepalive_s: int) -> None:
    """Let the parts go by a mode's settings from now on; ``keepalive_s`` is as configured."""
    parts.buffer.pace(settings.linger_s, settings.batch_events)
    parts.sealing.look_again()
    if parts.machine is not None:
        parts.machine.pace(settings.metrics_every_s)
    plan = RadioPlan(settings.sessions_per_h, settings.stay_connected)
    for links in (parts.uplink, parts.former):
        links.use_keepalive(max(keepalive_s, settings.keepalive_s or 0))
        links.use_radio(plan)
