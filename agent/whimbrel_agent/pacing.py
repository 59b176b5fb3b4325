"""What a power mode changes in the parts: when they seal, send and read figures, how hard they encode.

Never what is kept.
"""

from __future__ import annotations

from whimbrel_agent.buffer.codecchoice import CodecTerms
from whimbrel_agent.energy.model import Costs, RadioCost
from whimbrel_agent.parts import Parts
from whimbrel_agent.power.modes import ModeSettings
from whimbrel_agent.uplink.radio import RadioPlan


def pace(parts: Parts, settings: ModeSettings, *, keepalive_s: int, metered: bool = False) -> None:
    """Let the parts go by a mode's settings from now on.

    Args:
        parts: of the agent.
        settings: of the mode.
        keepalive_s: as configured.
        metered: a link has a monthly budget.
    """
    costs = Costs(idle_w=0.0, radio=RadioCost()) if parts.meter is None else parts.meter.costs
    radio = costs.radio
    terms = CodecTerms(
        effort=settings.codec_effort,
        cpu_j_per_core_s=costs.cpu_j_per_core_s,
        up_j_per_byte=radio.up_j_per_byte,
        metered=metered,
    )
    parts.buffer.encode_by(terms)
    parts.buffer.pace(settings.linger_s, settings.batch_events)
    parts.sealing.look_again()
    if parts.machine is not None:
        parts.machine.pace(settings.metrics_every_s)
    plan = RadioPlan(
        settings.sessions_per_h,
        settings.stay_connected,
        tail_s=radio.tail_s,
        promotion_s=radio.promotion_s,
    )
    for links in (parts.uplink, parts.former):
        links.use_keepalive(max(keepalive_s, settings.keepalive_s or 0))
        links.use_radio(plan)
