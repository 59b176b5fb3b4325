"""Checks what came in on a down topic before anybody believes it.

The broker is trusted with nothing: whatever is not for this device and signed by the region's
key is refused with the name of the counter it belongs to.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.ports import Delivery
from whimbrel_protocol.envelope import open_message
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.header import UnsupportedVersionError
from whimbrel_protocol.keys import BadSignatureError, PublicKey
from whimbrel_protocol.messages import (
    DictionaryAnswer,
    DictionaryOffer,
    Hold,
    Message,
    Receipt,
    Resume,
    ResumeAnswer,
    Want,
)
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import DownTopic, parse_down

DownMessage = Receipt | ResumeAnswer | Want | Hold | DictionaryAnswer

_KINDS: Final[dict[type[Message], str]] = {
    Receipt: "receipt",
    ResumeAnswer: "resume",
    Want: "want",
    Hold: "hold",
    DictionaryAnswer: "dictionary",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A down message that is ignored; ``counter`` is its name in the table of counters."""

    counter: str


def check_down(
    delivery: Delivery, *, addresses: Collection[Address], region_key: PublicKey
) -> DownMessage | Refused:
    """Return the message when it is true and for one of our addresses, else why not.

    A device has more than one address while frames from before a move drain.
    """
    if delivery.retained:
        return Refused("down_retained")
    try:
        topic = parse_down(delivery.topic)
        opened = open_message(delivery.payload)
        if opened.signed.key_id != region_key.key_id:
            return Refused("down_wrong_key")
        opened.signed.verify(region_key)
    except UnsupportedVersionError:
        return Refused("down_version")
    except BadSignatureError:
        return Refused("down_forged")
    except RemoteProtocolError:
        return Refused("down_malformed")
    message = opened.message
    if isinstance(message, Resume | DictionaryOffer):
        return Refused("down_unexpected")
    if message.address not in addresses or topic != _topic_of(message):
        return Refused("down_misaddressed")
    return message


def _topic_of(message: DownMessage) -> DownTopic:
    address = message.address
    return DownTopic(address.tenant, address.store, address.device, _KINDS[type(message)])
