"""Handing dictionaries to the broker; what gets lost is offered or asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whimbrel_agent.ports import Link, TransportError
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import DictionaryOffer
from whimbrel_protocol.topics import dictionary_topic

Offers = Sequence[DictionaryOffer]


async def give(
    link: Link | None,
    offers: Offers,
    key: PrivateKey,
    lost: Callable[[Link, TransportError], None],
) -> int:
    """Publish offers and return how many; none while there is no link, and ``lost`` is told."""
    if link is None:
        return 0
    try:
        for offer in offers:
            await link.publish(dictionary_topic(offer.address), seal_message(offer, key))
    except TransportError as error:
        lost(link, error)
        return 0
    return len(offers)
