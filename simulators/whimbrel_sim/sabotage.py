"""Faults planted on purpose, to prove that the harness finds them.

Each one breaks a promise in one named place of the shipped code, by replacing that place in the
running process; the shipped code has no switch for any of it. ``python -m
whimbrel_sim.sabotaged`` applies them. The places are looked up when a fault is applied, so
that a place which has moved is an error and not a fault that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import sabotage_agent, sabotage_aggregator, sabotage_flow
from .fleet import Agent, Patches, Region


@dataclass(frozen=True, slots=True)
class Sabotage:
    """One planted fault.

    Attributes:
        name: on the command line.
        module: the program it is put into.
        apply: replaces the place.
        breaks: the promise it breaks, in words.
    """

    name: str
    module: str
    apply: Callable[[], None]
    breaks: str

    def patches_for(self, module: str) -> Patches:
        """Return what a program must be run with."""
        return (self.name,) if module == self.module else ()


SABOTAGES: Final[dict[str, Sabotage]] = {
    sabotage.name: sabotage
    for sabotage in (
        Sabotage(
            "dedup-off",
            Region.module,
            sabotage_aggregator.dedup_off,
            "a frame that comes twice is committed once",
        ),
        Sabotage(
            "receipt-before-commit",
            Region.module,
            sabotage_aggregator.receipt_before_commit,
            "a receipt follows the durable commit",
        ),
        Sabotage(
            "free-on-puback",
            Agent.module,
            sabotage_agent.free_on_puback,
            "only the region's receipt frees a frame",
        ),
        Sabotage(
            "staging-without-commit",
            Agent.module,
            sabotage_agent.staging_without_commit,
            "an accepted event survives kill -9",
        ),
        Sabotage(
            "no-resume",
            Agent.module,
            sabotage_agent.no_resume,
            "nothing is published before the region has answered a resume",
        ),
        Sabotage(
            "receipts-without-digest",
            Agent.module,
            sabotage_agent.receipts_without_digest,
            "one clone's receipt does not free the other's events",
        ),
    )
}

FLOW_SABOTAGES: Final[dict[str, Sabotage]] = {
    sabotage.name: sabotage
    for sabotage in (
        Sabotage(
            "misreads-believed",
            Agent.module,
            sabotage_flow.misreads_believed,
            "a reading that cannot be true changes nothing",
        ),
        Sabotage(
            "modes-ignored",
            Agent.module,
            sabotage_flow.modes_ignored,
            "on a low battery the radio rests",
        ),
        Sabotage(
            "second-ignored",
            Agent.module,
            sabotage_flow.second_ignored,
            "background traffic gives way, and no more than a second of the rate is in flight",
        ),
        Sabotage(
            "credit-ignored",
            Agent.module,
            sabotage_flow.credit_ignored,
            "no credit, no send",
        ),
        Sabotage(
            "breaker-stays-closed",
            Region.module,
            sabotage_flow.breaker_stays_closed,
            "a sink that hangs is left alone",
        ),
        Sabotage(
            "rate-not-counted",
            Region.module,
            sabotage_flow.rate_not_counted,
            "a tenant over its rate gets less credit",
        ),
        Sabotage(
            "usage-not-stored",
            Region.module,
            sabotage_flow.usage_not_stored,
            "usage is counted over restarts",
        ),
    )
}
"""Faults of flow and power, which lose nothing: only the trials of these find them."""

SAME_ENTROPY: Final = "same-entropy"
"""No fault of ours but of the machine: a copy that draws the same first random numbers."""

CONDITIONS: Final[dict[str, Callable[[], None]]] = {SAME_ENTROPY: sabotage_agent.same_entropy}


def apply(names: str) -> None:
    """Put faults and conditions, named with commas between, into this process.

    Raises:
        KeyError: a name is not known.
    """
    for name in names.split(","):
        if name in CONDITIONS:
            CONDITIONS[name]()
        else:
            (SABOTAGES | FLOW_SABOTAGES)[name].apply()
