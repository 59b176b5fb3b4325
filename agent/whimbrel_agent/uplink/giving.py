"""Handing dictionaries to the broker; what gets lost is offered or asked for again."""

from __future__ import annotations

from collections.abc import Sequence

from whimbrel_agent.ports import Link
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import DictionaryOffer
from whimbrel_protocol.topics import dictionary_topic

Offers = Sequence[DictionaryOffer]


async def give(link: Link | None, offers: Offers, key: PrivateKey) -> int:
    """Publish offers and return how many; none while there is no link.

    Raises:
        TransportError: the link is lost.
    """
    if link is None:
        return 0
    for offer in offers:
        await link.publish(dictionary_topic(offer.address), seal_message(offer, key))
    return len(offers)
