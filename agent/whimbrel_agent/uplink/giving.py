"""Handing dictionaries to the broker; what gets lost is offered or asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whimbrel_agent.ports import Link, TransportError
from whimbrel_agent.uplink.counts import Counts
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import DictionaryOffer
from whimbrel_protocol.topics import dictionary_topic

Offers = Sequence[DictionaryOffer]


async def give(
    link: Link | None,
    offers: Offers,
    key: PrivateKey,
    counts: Counts,
    lost: Callable[[Link, TransportError], None],
) -> None:
    """Publish offers and count them; none while there is no link, and ``lost`` is told of its end."""
    if link is None:
        return
    try:
        for offer in offers:
            await link.publish(dictionary_topic(offer.address), seal_message(offer, key))
            counts.add("dictionaries_sent")
    except TransportError as error:
        lost(link, error)
