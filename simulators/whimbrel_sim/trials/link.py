"""What ``scripts/link-trial`` measured on a slow link, judged line by line. Pure.

The measuring itself is done inside the network namespaces that the script makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from .lines import Line, PartReport

RATE_BIT_S: Final = 2_000_000
CAP_BIT_S: Final = 500_000

LEAST_SHARE: Final = 0.85
PING_RISE_MS: Final = 100.0
SHARE_BESIDE: Final = 0.30
CAP_WITHIN: Final = 0.05
IN_FLIGHT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFigures:
    """What was measured in one state of the link.

    Attributes:
        agent_bit_s: of the agent on the wire, headers included, pings not.
        others_bit_s: of everything else.
        ping_rise_p50_ms: by so much longer a ping took than on the idle link, in the middle.
        ping_rise_p95_ms: the same at the 95th percentile.
        in_flight_s: the most in flight, in seconds of the rate that the agent measured.
        round_trip_s: as the agent measured it at the end; None before its first.
        queueing_ms: what the agent takes for its queue at the end.
    """

    agent_bit_s: float
    others_bit_s: float
    ping_rise_p50_ms: float
    ping_rise_p95_ms: float
    in_flight_s: float
    round_trip_s: float | None
    queueing_ms: float | None


def judge(
    alone: LinkFigures, beside: LinkFigures, capped: LinkFigures, *, base_ms: float, tcp: str
) -> PartReport:
    """Return the part's report.

    Args:
        alone: nobody else uses the link.
        beside: a TCP connection sends all it can, since 5 s.
        capped: alone, with a rate limit of 500 kbit/s.
        base_ms: a ping on the idle link.
        tcp: the kernel's congestion control, which the agent's connection and the other one have.
    """
    states: Mapping[str, LinkFigures] = {"alone": alone, "beside": beside, "capped": capped}
    share, share_beside = alone.agent_bit_s / RATE_BIT_S, beside.agent_bit_s / RATE_BIT_S
    off = capped.agent_bit_s / CAP_BIT_S - 1
    most_s = max(state.in_flight_s for state in states.values())
    each = ", ".join(f"{name} {state.in_flight_s:.2f} s" for name, state in states.items())
    lines = (
        Line(
            f"alone at least {LEAST_SHARE:.0%} of the link are used",
            share >= LEAST_SHARE,
            f"{share:.0%}, {alone.agent_bit_s / 1000:.0f} kbit/s",
            timed=True,
        ),
        Line(
            f"the p95 of a ping rises by less than {PING_RISE_MS:.0f} ms",
            alone.ping_rise_p95_ms < PING_RISE_MS,
            f"{alone.ping_rise_p95_ms:.0f} ms on {base_ms:.0f} ms "
            f"({alone.ping_rise_p50_ms:.0f} in the middle)",
            timed=True,
        ),
        Line(
            f"beside a TCP connection bulk takes less than {SHARE_BESIDE:.0%} within 5 s",
            share_beside < SHARE_BESIDE,
            f"{share_beside:.0%}, the connection ({tcp}) {beside.others_bit_s / RATE_BIT_S:.0%}",
            timed=True,
        ),
        Line(
            f"a cap of 500 kbit/s holds within {CAP_WITHIN:.0%}",
            abs(off) <= CAP_WITHIN,
            f"{capped.agent_bit_s / 1000:.0f} kbit/s ({off:+.1%})",
            timed=True,
        ),
        Line(
            "in flight is at most a second of the measured rate",
            most_s <= IN_FLIGHT_S,
            each,
            timed=True,
        ),
    )
    figures = {name: asdict(state) for name, state in states.items()}
    return PartReport(part="link", lines=lines, figures={"base_ms": base_ms, "tcp": tcp, **figures})
