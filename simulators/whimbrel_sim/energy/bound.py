"""The least radio energy that any policy can need, with full knowledge of the future.

A schedule is a set of moments at which everything that waits is sent; each item needs one between
its arrival and its deadline. Between two sends ``g`` seconds apart lies ``c(g)``: the tail as far as
it runs, and a promotion when the radio fell asleep (:func:`whimbrel_agent.energy.model.gap_j`).

``c`` jumps at the end of the tail, by the promotion. The bound replaces it with ``min(P_tail g,
P_tail tail_s + E_promo)``, which is nowhere above it and concave. Where the cost of gaps is
concave, moving a send between its neighbours is concave too, so that some best schedule sends at
arrivals and deadlines only, and a dynamic program over these is exact: with ``f(n)`` the least cost
of a schedule whose last send is at ``n``,

``f(n) = min over p of f(p) + min(P_tail (n - p), P_tail tail_s + E_promo)``

where no item may arrive after ``p`` and expire before ``n``. The ``p`` that are allowed form a
window which only moves forward, and the inner minimum is a minimum of two, so two queues that keep
a sliding minimum make it linear in the number of items.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from whimbrel_agent.energy.model import RadioCost
from whimbrel_sim.energy.load import Item

__all__ = ["fewest_sends", "least_j"]


def least_j(items: Sequence[Item], radio: RadioCost) -> float:
    """Return the lower bound in joules: promotions and tails, no bytes.

    Args:
        items: in order of arrival.
        radio: with a tail; without one the bound is that nothing is free, and zero.
    """
    if not items:
        return 0.0
    watts = radio.tail_w
    whole_j = watts * radio.tail_s + radio.promotion_j
    times = sorted({item.arrival_s for item in items} | {item.deadline_s for item in items})
    latest = _latest_next(items, times)
    first_end_s = min(item.deadline_s for item in items)
    last_arrival_s = items[-1].arrival_s
    flat, sloped = _Sliding(), _Sliding()
    oldest = 0
    best_j = math.inf
    for place, now_s in enumerate(times):
        while oldest < place and latest[oldest] < now_s:
            flat.forget(oldest)
            sloped.forget(oldest)
            oldest += 1
        cost_j = min(flat.least + whole_j, sloped.least + watts * now_s)
        if now_s <= first_end_s:
            cost_j = 0.0  # the first send; its promotion is added below
        flat.add(place, cost_j)
        sloped.add(place, cost_j - watts * now_s)
        if now_s >= last_arrival_s:
            best_j = min(best_j, cost_j)
    return radio.promotion_j + best_j + watts * radio.tail_s


def fewest_sends(items: Sequence[Item]) -> int:
    """Return the fewest sends that keep every deadline: whenever one ends, send all that waits."""
    sends, sent_s = 0, -math.inf
    for item in sorted(items, key=lambda one: one.deadline_s):
        if item.arrival_s > sent_s:
            sends += 1
            sent_s = item.deadline_s
    return sends


def _latest_next(items: Sequence[Item], times: Sequence[float]) -> list[float]:
    """Return, for a send at each time, until when the next one must follow."""
    latest: list[float] = []
    soonest_s = math.inf
    left = len(items) - 1
    for time_s in reversed(times):
        while left >= 0 and items[left].arrival_s > time_s:
            soonest_s = min(soonest_s, items[left].deadline_s)
            left -= 1
        latest.append(soonest_s)
    latest.reverse()
    return latest


class _Sliding:
    """The least of the values whose places have not been forgotten."""

    def __init__(self) -> None:
        self._rising: deque[tuple[int, float]] = deque()

    def add(self, place: int, value: float) -> None:
        while self._rising and self._rising[-1][1] >= value:
            self._rising.pop()
        self._rising.append((place, value))

    def forget(self, place: int) -> None:
        if self._rising and self._rising[0][0] == place:
            self._rising.popleft()

    @property
    def least(self) -> float:
        return self._rising[0][1] if self._rising else math.inf
