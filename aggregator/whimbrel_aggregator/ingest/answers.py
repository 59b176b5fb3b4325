"""Signing what the region says and handing it to the broker's client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from whimbrel_aggregator.config import IngestConfig
from whimbrel_aggregator.flow.control import FlowControl
from whimbrel_aggregator.flow.credit import Grant
from whimbrel_aggregator.flow.usage import Usage
from whimbrel_aggregator.journal.port import Journal, StreamKey
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
from .receipts import CreditOf, Settled, no_room_receipts, receipts_for, wants_for
from .strangers import Strangers
from .verdict import Verdict

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
        flow: FlowControl,
    ) -> None:
        self._config = config
        self._journal = journal
        self._key = key
        self._clock = clock
        self._counters = counters
        self._strangers = strangers
        self._publish = publish
        self._flow = flow

    async def settled(self, result: GroupResult) -> None:
        """Send what a committed group owes its devices."""
        await self._flow.look(fresh=bool(result.no_room))
        self._account(result.settled)
        heard = [one.frame.address for one in result.settled]
        heard += [frame.address for frame in result.no_room]
        grants = {address: self._flow.grant(address) for address in dict.fromkeys(heard)}
        for address, grant in grants.items():
            self._limited(address, grant)  # before the receipt: it is heeded while frames fly

        def credit_of(address: Address) -> Credit:
            return self._flow.credit(grants[address])

        receipts = receipts_for(
            result.settled,
            generation=self._journal.generation,
            credit_of=credit_of,
            sent_ns=self._clock.wall_ns(),
        )
        for receipt in receipts:
            self._counters.add("receipt_entries_sent", len(receipt.entries))
            self._send(receipt)
        if result.no_room:
            self._no_room(result.no_room, credit_of)
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

    def _account(self, settled: Iterable[Settled]) -> None:
        """Count what was committed for whoever delivered it."""
        for one in settled:
            candidate = one.frame.candidate
            device = candidate.key.device_key
            self._flow.heard(device)
            if one.decision.commits:
                usage = Usage(1, candidate.count, len(one.frame.signed.data))
                self._flow.committed(device, usage)

    async def announce(self, seconds: float) -> None:
        """Tell devices that were told that there is nothing, that there is something again.

        As many as may start in so many seconds; see :class:`..flow.control.FlowControl`.
        """
        if not self._flow.starving:
            return
        await self._flow.look()
        for address, grant in self._flow.fed_again(seconds):
            now_ns = self._clock.wall_ns()
            credit = self._flow.credit(grant)
            self._counters.add("credits_announced")
            self._send(Receipt(address, self._journal.generation, (), now_ns, now_ns, credit))

    def over_limit(self, addresses: Iterable[Address]) -> None:
        """Tell devices whose frames were dropped over a limit to wait."""
        for address in dict.fromkeys(addresses):
            self._limited(address, self._flow.grant(address))

    def _limited(self, address: Address, grant: Grant) -> bool:
        if grant.hold_s is None:
            return False
        self._counters.add("holds_limited")
        self._send(Hold(address, grant.reason, grant.hold_s))
        return True

    def _no_room(self, frames: Sequence[ParsedFrame], credit_of: CreditOf) -> None:
        for receipt in no_room_receipts(
            frames,
            generation=self._journal.generation,
            credit_of=credit_of,
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
        """Answer a device that asks what the region has of its streams, or let it wait.

        Raises:
            JournalError: the journal cannot be read.
        """
        address, asked = parsed.address, parsed.resume
        start_s = self._flow.start_in_s(device_key_of(address))
        if start_s:
            self._counters.add("starts_delayed")
            reason = f"many devices come back at once, this one starts in {start_s} s"
            self._send(Hold(address, reason, start_s))
            return
        await self._flow.look()
        grant = self._flow.grant(address)
        if self._limited(address, grant):
            return
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
                credit=self._flow.credit(grant),
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
