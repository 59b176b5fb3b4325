"""How near the flushing rule comes to the least energy and the fewest sends that keep all deadlines.

Simulated time only, so that the figures are the same on every machine.
"""

from __future__ import annotations

from whimbrel_sim.energy.comparison import BOUND, CASES, compare, lte
from whimbrel_sim.energy.policies import OURS

from .figures import Bench, Better, Key, Measurement, Reading


def measure(bench: Bench) -> list[Reading]:
    """Read the rule's energy and its sends over those of the bounds, on the mixed load."""
    found = compare(CASES[0], lte(), seeds=range(bench.size(4, 1)), days=bench.size(14, 1))
    ours, bound = found.row(OURS), found.row(BOUND)
    bench.say(f"energy: {ours.times_bound:.3f} times the bound over {found.items} items")
    return [
        Reading(
            "energy_vs_bound",
            ours.times_bound,
            f"{ours.joules_per_day:,.0f} J of the radio a day over {bound.joules_per_day:,.0f}; "
            f"{found.items:,} items, {ours.missed} deadlines missed, worst seed "
            f"{found.worst_times_bound:.3f}",
        ),
        Reading(
            "radio_sessions_vs_bound",
            found.sends_times_bound,
            f"{ours.sends_per_day:.0f} sends a day over {bound.sends_per_day:.0f}",
        ),
    ]


MEASUREMENTS = (
    Measurement(
        name="energy",
        keys=(
            Key("energy_vs_bound", "ratio", Better.LOWER, 1.10),
            Key("radio_sessions_vs_bound", "ratio", Better.LOWER, 1.10),
        ),
        measure=measure,
    ),
)
