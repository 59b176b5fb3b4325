"""A database that hangs and works by turns, beside a webhook whose forwarder must not notice."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Final

from whimbrel_sim.producer import Load
from whimbrel_sim.reconcile import reconcile

from .database import DELIVERY_S, FarDatabase
from .holding import WebhookInbox
from .lines import Line, change, middle, share
from .sinkplan import SinkPlan
from .stage import Stage, reckoned

MOVE: Final = 0.10
"""The other forwarder's delay may rise by so much."""

SOLO: Final = "calm"
"""The store whose events the webhook takes."""


class Hanging:
    """The hanging database.

    Attributes:
        figures: what was measured, for machines.
    """

    def __init__(
        self, plan: SinkPlan, stage: Stage, database: FarDatabase, inbox: WebhookInbox
    ) -> None:
        self.figures: dict[str, Any] = {}
        self._plan = plan
        self._stage = stage
        self._database = database
        self._inbox = inbox

    async def run(self) -> list[Line]:
        plan, stage = self._plan, self._stage
        agent = await stage.add_agent("solo", store=SOLO)
        stop = asyncio.Event()
        load = Load(sender="solo", batch_events=1, pause_s=plan.solo_every_s, repeat=0)
        free: list[tuple[float, float]] = []
        hung: list[tuple[float, float]] = []
        opened = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.producer(agent, load).run(stop), name="trial.solo")
            for number in range(plan.rounds):
                stage.say(f"round {number + 1} of {plan.rounds}: the database works, then hangs")
                free.append(await self._window())
                await self._database.hang()
                opened += await stage.within(
                    self._database.breaker_is_open, plan.hang_s + plan.breaker_s
                )
                hung.append(await self._window())
                await self._database.come_back()
                await stage.within(self._database.breaker_is_closed, DELIVERY_S)
            stop.set()
        await stage.drained()
        rows = await self._database.until_delivered()
        return [
            Line(
                "the breaker of a hanging sink opens",
                opened == plan.rounds,
                f"{opened} of {plan.rounds} times, after calls of {plan.hang_s:g} s",
            ),
            *(self._moves(part, free, hung) for part in (0.50, 0.95)),
            reckoned(reconcile(stage.ledger, rows), "PostgreSQL after it hung"),
        ]

    async def _window(self) -> tuple[float, float]:
        since_s = perf_counter()
        await asyncio.sleep(self._plan.round_s)
        return since_s, perf_counter()

    def _moves(
        self, part: float, free: list[tuple[float, float]], hung: list[tuple[float, float]]
    ) -> Line:
        """Judge the delay from the answer to the webhook's receiver: medians over the rounds."""
        accepted = self._stage.ledger.accepted_s
        arrived = self._inbox.arrived_s

        def of(windows: list[tuple[float, float]]) -> float:
            return middle(
                [
                    share(
                        [
                            arrived[name] - at_s
                            for name, at_s in accepted.items()
                            if since_s <= at_s < until_s and name in arrived
                        ],
                        part,
                    )
                    for since_s, until_s in windows
                ]
            )

        before, after = of(free), of(hung)
        self.figures[f"webhook_p{100 * part:.0f}_s"] = {"free": before, "hung": after}
        return Line(
            f"the other forwarder's p{100 * part:.0f} rises by less than {MOVE:.0%}",
            change(before, after) < MOVE,
            f"{1000 * before:.0f} ms before, {1000 * after:.0f} ms while it hangs: "
            f"{change(before, after):+.1%} (medians of {len(free)} rounds)",
            timed=True,
        )
