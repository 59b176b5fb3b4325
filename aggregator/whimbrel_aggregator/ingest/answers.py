"""Signing what the region says and handing it to the broker's client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from whimbrel_aggregator.config import IngestConfig
from whimbrel_aggregator.journal.port import Journal, JournalError, StreamKey
from whimbrel_aggregator.ports import Clock
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.header import PROTOCOL_VERSION
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.limits import MAX_DICTIONARIES_NAMED
from whimbrel_protocol.messages import (
    Credit,
    DictionaryAnswer,
    DictionaryStatus,
    Hold,
    Message,
    Receipt,
    ResumeAnswer,
    StreamState,
    Want,
)
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet
from whimbrel_protocol.topics import down_topic

from .admission import ParsedFrame, ParsedResume, Refused, device_key_of
from .commit import GroupResult
from .counters import Counters
from .receipts import (
    Load,
    Settled,
    credit_for,
    no_room_receipts,
    receipts_for,
    wants_for,
)
from .strangers import Strangers
from .verdict import Verdict

ROOM_EVERY_NS: Final = 500_000_000
"""How often the journal is asked for its room while it has plenty."""

DownMessage = Receipt | ResumeAnswer | Want | Hold | DictionaryAnswer

Publish = Callable[[str, bytes], bool]
"""Hands a message to the broker's client; False when it was dropped."""

_KINDS: Final = {
    Receipt: "receipt",
    ResumeAnswer: "resume",
    Want: "want",
    Hold: "hold",
    DictionaryAnswer: "dictionary",
}
_COUNTED: Final = {
    Receipt: "receipts_sent",
    ResumeAnswer: "resume_answers_sent",
    Want: "wants_sent",
    Hold: "holds_sent",
    DictionaryAnswer: "dictionary_answers_sent",
}

_log = logging.getLogger("whimbrel.ingest")


class Answerer:
    """Answers devices after commits; called for groups in the order of their commits."""

    def __init__(
        self,
        config: IngestConfig,
        *,
        journal: Journal,
        key: PrivateKey,
        clock: Clock,
        counters: Counters,
        strangers: Strangers,
        publish: Publish,
        queued_bytes: Callable[[], int],
    ) -> None:
        self._config = config
        self._journal = journal
        self._key = key
        self._clock = clock
        self._counters = counters
        self._strangers = strangers
        self._publish = publish
        self._queued_bytes = queued_bytes
        # why nothing can be committed now, empty when it can; what readiness says
        self.no_room = ""
        self._room_bytes = 0
        self._room_read_ns: int | None = None

    async def credit(self, *, fresh: bool = False) -> Credit:
        """Return what each device may have in flight now."""
        now_ns = self._clock.mono_ns()
        read_ns = self._room_read_ns
        if fresh or read_ns is None or now_ns - read_ns >= ROOM_EVERY_NS:
            await self._read_room()
            self._room_read_ns = now_ns
        return credit_for(
            Load(self._room_bytes, self._queued_bytes(), self._config.queue_bytes),
            most_bytes=self._config.credit_bytes,
            lifetime_s=self._config.credit_lifetime_s,
        )

    async def _read_room(self) -> None:
        try:
            size = await self._journal.size()
        except JournalError as error:
            self._room_bytes, self.no_room = 0, f"the journal's room is not known: {error}"
        else:
            self._room_bytes = size.room_bytes
            self.no_room = size.full or ("" if self._room_bytes else "the journal is full")

    async def settled(self, result: GroupResult) -> None:
        """Send what a committed group owes its devices."""
        credit = await self.credit(fresh=bool(result.no_room))
        receipts = receipts_for(
            result.settled,
            generation=self._journal.generation,
            credit=credit,
            sent_ns=self._clock.wall_ns(),
        )
        for receipt in receipts:
            self._counters.add("receipt_entries_sent", len(receipt.entries))
            self._send(receipt)
        if result.no_room:
            self._no_room(result.no_room, credit)
        await self._wants(result.settled)
        self._dictionaries(result)

    def _dictionaries(self, result: GroupResult) -> None:
        """Say what is kept, and what is wanted for frames that wait."""
        words: dict[Address, dict[bytes, DictionaryStatus]] = {}
        for one in result.settled:
            if one.decision.verdict is Verdict.NO_DICTIONARY:
                name = one.frame.candidate.dictionary
                words.setdefault(one.frame.address, {})[name] = DictionaryStatus.WANTED
        for address, name, status in result.dictionaries:
            words.setdefault(address, {})[name] = status
        for address, named in words.items():
            entries = tuple(named.items())[:MAX_DICTIONARIES_NAMED]
            self._send(DictionaryAnswer(address, self._journal.generation, entries))

    def _no_room(self, frames: Sequence[ParsedFrame], credit: Credit) -> None:
        for receipt in no_room_receipts(
            frames,
            generation=self._journal.generation,
            credit=credit,
            sent_ns=self._clock.wall_ns(),
        ):
            self._send(receipt)

    async def _wants(self, settled: Iterable[Settled]) -> None:
        held: dict[Address, list[StreamKey]] = {}
        crowded: dict[Address, None] = {}
        for one in settled:
            if one.decision.verdict in (Verdict.OUT_OF_ORDER, Verdict.TOO_MANY_RANGES):
                held.setdefault(one.frame.address, []).append(one.decision.key)
            elif one.decision.verdict is Verdict.TOO_MANY_STREAMS:
                crowded[one.frame.address] = None
        for address in crowded:
            self._hold(address, "this device has too many streams; is its card cloned?")
        if not held:
            return
        keys = list(dict.fromkeys(key for wanted in held.values() for key in wanted))
        ranges = await self._ranges(keys)
        for want in wants_for(held, ranges, generation=self._journal.generation):
            self._send(want)

    async def _ranges(self, keys: Sequence[StreamKey]) -> dict[StreamKey, RangeSet | None]:
        records = await self._journal.streams(keys)
        return {
            key: None if record is None else record.ranges
            for key, record in zip(keys, records, strict=True)
        }

    async def resume(self, parsed: ParsedResume) -> None:
        """Answer a device that asks what the region has of its streams.

        Raises:
            JournalError: the journal cannot be read.
        """
        address, asked = parsed.address, parsed.resume
        keys = [
            StreamKey(address.tenant, address.store, address.device, one.epoch, one.lane)
            for one in asked.streams
        ]
        ranges = await self._ranges(keys)
        high_waters = [(key, (ranges[key] or RangeSet()).high_water) for key in keys]
        ends = await self._journal.ending_at(high_waters)
        states = tuple(
            StreamState(
                key.epoch,
                key.lane,
                tuple(ranges[key] or RangeSet()),
                b"" if end is None else end.digest,
            )
            for key, end in zip(keys, ends, strict=True)
        )
        (device,) = await self._journal.device_states([device_key_of(address)])
        self._send(
            ResumeAnswer(
                address=address,
                nonce=asked.nonce,
                generation=self._journal.generation,
                version=PROTOCOL_VERSION,
                epoch_floor=device.epoch_floor,
                streams=states,
                echo_sent_ns=asked.sent_ns,
                received_ns=parsed.received_ns,
                sent_ns=self._clock.wall_ns(),
                credit=await self.credit(),
            )
        )

    def refused(self, refused: Refused) -> None:
        """Tell a device to wait, if its refusal is one that an operator can put right."""
        if refused.address is None:
            return
        now_ns = self._clock.wall_ns()
        self._strangers.note(refused.address, refused.key_id, refused.why, now_ns=now_ns)
        self._hold(refused.address, refused.why)

    def _hold(self, address: Address, why: str) -> None:
        if self._strangers.may_hold(address, now_ns=self._clock.wall_ns()):
            self._send(Hold(address, why, self._config.hold_s))
        else:
            self._counters.add("holds_suppressed")

    def _send(self, message: DownMessage) -> None:
        address = message.address
        topic = down_topic(address.tenant, address.store, address.device, _KINDS[type(message)])
        if self._publish(topic, self._sealed(message)):
            self._counters.add(_COUNTED[type(message)])
        else:
            self._counters.add("answers_dropped")

    def _sealed(self, message: Message) -> bytes:
        try:
            return seal_message(message, self._key)
        except LocalProtocolError:
            # 256 streams with 64 holes each, far apart: only a device that means it gets there
            if not isinstance(message, ResumeAnswer | Want) or not message.streams:
                raise
            _log.warning("answer to %s is too long, its device must ask again", message.address)
            return seal_message(
                Hold(message.address, "too many ranges in one answer", self._config.hold_s),
                self._key,
            )
