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
* Where the stream is cut after N events, each device has drawn one event that is not in it yet,
  of which only is known that it comes later. By Wald's identity the cut stream has the entropy of
  its expected events and one more of each device, less the entropy of that one given that it is
  late. Late waits that are geometric or uniform have no more entropy than others, so this is at
  most ``Record.most_bits``. Chains add the difference that their state at the cut makes, some
  bits. ``least_bytes`` takes off twice ``most_bits`` of each device for both; it does not grow
  with N.
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
    """What one kind of device adds to a stream.

    Attributes:
        name: of the kind.
        devices: how many.
        events: of all of them, in a day or in whatever the stream is.
        bits_per_event: their entropy.
        most_bits: of an event whose case is not known.
    """

    name: str
    devices: int
    events: float
    bits_per_event: float
    most_bits: float


def mix_bits(shares: Sequence[Share]) -> float:
    """Give the bits per event of a mix: the mean of its kinds, weighted by their events.

    Raises:
        ValueError: there are no events.
    """
    total = math.fsum(share.events for share in shares)
    if not total > 0:
        raise ValueError("the mix has no events")
    return math.fsum(share.events * share.bits_per_event for share in shares) / total


def least_bytes(shares: Sequence[Share], events: int) -> float:
    """Give the least expected size of any lossless coding of the first events of a stream.

    Args:
        shares: of its kinds; only the proportions of their events count.
        events: how many.
    """
    cut_bits = math.fsum(2 * share.devices * share.most_bits for share in shares)
    bits = max(mix_bits(shares) * events - cut_bits, 0.0)
    return max(bits - math.log2(bits + 1) - math.log2(math.e), 0.0) / 8
