"""How many bytes an event of a workload costs at least, whatever the coder.

Source: Shannon's source coding theorem (C. E. Shannon, "A Mathematical Theory of Communication",
Bell System Technical Journal 27, 1948, theorem 9; T. M. Cover, J. A. Thomas, "Elements of
Information Theory", 2nd edition, theorem 5.3.1): no uniquely decodable code of a random value has
an expected length below its entropy H.

Why the figure holds for a whole stream of N events:

* A device's events give back what it drew (each draw shows; the tests check it), so the entropy
  of its events is that of its draws: the sum of the entropies of the declarations, exactly. Chains
  count with their entropy rate, walks with the entropy of their steps.
* Devices draw independently, so their entropies add. Merged by time, the stream says which device
  an event is from and when it happened, from which each device's stream follows and the other way
  round: merging neither costs nor saves anything.
* First values, the catalogue and the declarations themselves are not counted: the coder knows them.
* Where the stream is cut, each device has drawn one event that is not in it yet. A wait that lasts
  over the cut is longer than others, so the waits before the cut are a little shorter than they
  would be. For geometric waits, which are memoryless, the cut stream still has at least the
  entropy of its expected events; for the others it is missing less than one event of each device,
  which ``least_bytes`` takes off for all.
* A file whose length is known from outside need not be uniquely decodable. That saves at most
  log2(H + 1) + log2 e bits in all (N. Alon, A. Orlitsky, "A lower bound on the expected length of
  one-to-one codes", IEEE Transactions on Information Theory 40, 1994), which ``least_bytes`` takes
  off as well.

What it is not: a bound for a coder that knows the seed. To such a one the stream is not random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Share", "least_bytes", "mix_bits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one kind adds to a mix: events per day of all its devices, bits per event."""

    name: str
    events_per_day: float
    bits_per_event: float


def mix_bits(shares: Sequence[Share]) -> float:
    """Give the bits per event of a mix: the mean of its kinds, weighted by their rates.

    Raises:
        ValueError: there are no events.
    """
    total = math.fsum(share.events_per_day for share in shares)
    if not total > 0:
        raise ValueError("the mix has no events")
    return math.fsum(share.events_per_day * share.bits_per_event for share in shares) / total


def least_bytes(bits_per_event: float, events: int, devices: int) -> float:
    """Give the least expected size of any lossless coding of the first events of a stream.

    Args:
        bits_per_event: of the kind or the mix.
        events: how many.
        devices: how many devices they come from.
    """
    bits = bits_per_event * max(events - devices, 0)
    return max(bits - math.log2(bits + 1) - math.log2(math.e), 0.0) / 8
