"""Who may say what: a message's topic, signed header and enrolment must agree. Pure.

``parse`` takes a message apart as far as its bytes go, ``admit`` compares it with the device's
enrolment; the signature is checked after that, by :meth:`Admitted.verify`, since it is the
expensive part and needs the key.

A frame of another version, or beyond a limit, can still be refused properly: the places
1 to 8 of a header (address, lane and order, epoch, first, span) keep their meaning in every
version, so its range becomes a gap that names the stored bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from whimbrel_aggregator.journal.values import DeviceKey, StreamKey
from whimbrel_protocol import cose
from whimbrel_protocol.dictionaries import Dictionary, named_dictionary, unpack_dictionary
from whimbrel_protocol.envelope import open_message
from whimbrel_protocol.errors import ProtocolError, RemoteProtocolError
from whimbrel_protocol.frame import DIGEST_BYTES, Frame, open_frame, open_range
from whimbrel_protocol.header import FrameHeader
from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.limits import MAX_PAYLOAD_BYTES
from whimbrel_protocol.messages import DictionaryOffer, Resume
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import DICTIONARY, RESUME, BirthTopic, UpTopic, parse_up

from .verdict import Candidate


class Refusal(Enum):
    """Why a message goes no further; the value is its counter."""

    RETAINED = "refused_retained"
    TOPIC = "refused_topic"
    BIRTH = "births_received"
    TOO_LONG = "refused_too_long"
    MALFORMED = "refused_malformed"
    KIND = "refused_kind"
    MISADDRESSED = "refused_misaddressed"
    REGION = "refused_region"
    SIGNATURE = "refused_signature"
    NOT_ENROLLED = "held_not_enrolled"
    UNKNOWN_KEY = "held_unknown_key"
    DICTIONARY = "held_dictionary"


HOLDS: Final = frozenset({Refusal.NOT_ENROLLED, Refusal.UNKNOWN_KEY, Refusal.DICTIONARY})
"""Refusals that the device is told of, at a bounded rate: an operator can put them right."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that came from a broker, and when (the region's wall clock)."""

    topic: str
    payload: bytes
    retained: bool
    received_ns: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What admission needs to know of an enrolled device: its keys by key id."""

    region: str
    keys: Mapping[bytes, PublicKey]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that goes no further. ``address`` is set when a hold may be sent there."""

    refusal: Refusal
    address: Address | None = None
    key_id: bytes = b""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ParsedFrame:
    """A frame whose structure is sound; its signature is not checked yet.

    ``header`` is None when the frame is beyond limits or versions: ``problem`` says why, and
    ``candidate`` says which sequences become a gap.
    """

    address: Address
    signed: cose.Signed
    candidate: Candidate
    header: FrameHeader | None
    received_ns: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ParsedResume:
    """A resume message whose structure is sound; its signature is not checked yet."""

    address: Address
    signed: cose.Signed
    resume: Resume
    received_ns: int


@dataclass(frozen=True, slots=True)
class ParsedOffer:
    """A dictionary from a device; its signature is not checked yet."""

    address: Address
    signed: cose.Signed
    offer: DictionaryOffer
    received_ns: int

    def unpack(self) -> Dictionary:
        """Return the dictionary; call this once the signature is checked.

        Raises:
            RemoteProtocolError: it is none.
        """
        return unpack_dictionary(self.offer.packed)


Parsed = ParsedFrame | ParsedResume | ParsedOffer


def device_key_of(address: Address) -> DeviceKey:
    """Return the journal's key of the device at an address."""
    return DeviceKey(address.tenant, address.store, address.device)


def parse(delivery: Delivery) -> Parsed | Refused:
    """Take a message apart and compare its signed address with its topic."""
    if delivery.retained:
        return Refused(Refusal.RETAINED)
    if len(delivery.payload) > MAX_PAYLOAD_BYTES:
        return Refused(Refusal.TOO_LONG)
    try:
        topic = parse_up(delivery.topic)
    except RemoteProtocolError as error:
        return Refused(Refusal.TOPIC, why=str(error))
    if isinstance(topic, BirthTopic):
        return Refused(Refusal.BIRTH)
    try:
        if topic.kind in (RESUME, DICTIONARY):
            return _parse_message(topic, delivery)
        return _parse_frame(topic, delivery)
    except RemoteProtocolError as error:
        return Refused(Refusal.MALFORMED, why=str(error))


def admit(parsed: Parsed, region: str, enrolment: Enrolment | None) -> PublicKey | Refused:
    """Return the key that must have signed a message, or why it is refused."""
    address = parsed.address
    key_id = parsed.signed.key_id
    if address.region != region:
        return Refused(Refusal.REGION, why=f"{address} is not of region {region}")
    if enrolment is None:
        return Refused(Refusal.NOT_ENROLLED, address, key_id, "device is not enrolled")
    if enrolment.region != address.region:
        return Refused(Refusal.REGION, why=f"{address} is enrolled in {enrolment.region}")
    key = enrolment.keys.get(key_id)
    if key is None:
        return Refused(Refusal.UNKNOWN_KEY, address, key_id, "the key is not this device's")
    header = parsed.header if isinstance(parsed, ParsedFrame) else None
    if header is not None and header.dictionary:
        return Refused(
            Refusal.DICTIONARY,
            address,
            key_id,
            f"dictionary {header.dictionary.hex()[:16]} is not known here",
        )
    return key


def _parse_message(topic: UpTopic, delivery: Delivery) -> Parsed | Refused:
    """Read what is no frame: of the one type that its topic is for."""
    opened = open_message(delivery.payload)
    message, received_ns = opened.message, delivery.received_ns
    if not isinstance(message, Resume if topic.kind == RESUME else DictionaryOffer):
        return Refused(Refusal.KIND, why=f"{type(message).__name__} on {delivery.topic}")
    if not _same_device(topic, message.address):
        return Refused(Refusal.MISADDRESSED, why=f"{message.address} on {delivery.topic}")
    if isinstance(message, Resume):
        return ParsedResume(message.address, opened.signed, message, received_ns)
    return ParsedOffer(message.address, opened.signed, message, received_ns)


def _parse_frame(topic: UpTopic, delivery: Delivery) -> Parsed | Refused:
    try:
        frame = open_frame(delivery.payload)
    except ProtocolError as error:
        parsed = _beyond(delivery, str(error))
    else:
        parsed = _sound(frame, delivery)
    if not _same_device(topic, parsed.address) or topic.kind != parsed.candidate.key.lane:
        return Refused(
            Refusal.MISADDRESSED,
            why=f"{parsed.address} {parsed.candidate.key.lane} on {delivery.topic}",
        )
    return parsed


def _same_device(topic: UpTopic, address: Address) -> bool:
    return (topic.tenant, topic.store, topic.device) == (
        address.tenant,
        address.store,
        address.device,
    )


def _sound(frame: Frame, delivery: Delivery) -> ParsedFrame:
    header = frame.header
    return ParsedFrame(
        address=header.address,
        signed=frame.signed,
        candidate=Candidate(
            key=_stream(header.address, header.epoch, header.lane),
            order=header.order,
            first=header.first,
            span=header.span,
            count=header.count,
            digest=frame.digest,
            reason=0 if header.count else header.gaps[0].reason,
            dictionary=named_dictionary(frame.columns) if header.count else b"",
        ),
        header=header,
        received_ns=delivery.received_ns,
    )


def _stream(address: Address, epoch: int, lane: str) -> StreamKey:
    return StreamKey(address.tenant, address.store, address.device, epoch, lane)


def _beyond(delivery: Delivery, problem: str) -> ParsedFrame:
    """Read what every version's header says, of a frame that is beyond limits or versions.

    Raises:
        RemoteProtocolError: not even that can be read.
    """
    signed = cose.parse(delivery.payload)
    covered = open_range(signed)
    candidate = Candidate(
        key=_stream(covered.address, covered.epoch, covered.lane),
        order=covered.order,
        first=covered.first,
        span=covered.span,
        count=0,
        digest=signed.digest[:DIGEST_BYTES],
        reason=int(GapReason.REFUSED),
        refused=True,
    )
    return ParsedFrame(covered.address, signed, candidate, None, delivery.received_ns, problem)
