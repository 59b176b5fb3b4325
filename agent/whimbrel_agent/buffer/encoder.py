"""Encodes batches as the choice of codec says, and counts what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from whimbrel_agent.buffer.codecchoice import (
    CodecDecision,
    CodecInputs,
    CodecTerms,
    choose_codec,
    sampled_bits,
)
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.power.modes import CodecEffort
from whimbrel_protocol.batch import columns_info, encode_events
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.event import Event


class Encoder:
    """Makes columns of one buffer's events; used on the database's thread.

    What an ended process left behind is encoded by constants alone, since clones of a file must
    make the same frames of it whatever their power.

    Attributes:
        terms: what holds for every batch.
        journal: where decisions are noted.
    """

    def __init__(self) -> None:
        self.terms = CodecTerms()
        self.journal = DecisionJournal()

    def encode(
        self,
        events: Sequence[Event],
        counters: Counter[str],
        now_s: float,
        *,
        present: bool,
        dictionary: Dictionary | None = None,
    ) -> bytes:
        """Return columns, and count the codec that they have.

        Args:
            events: of one frame.
            counters: the buffer's; ``codec_`` and the codec's name are counted.
            now_s: monotonic now, for the journal.
            present: they were accepted by this process.
            dictionary: one that they may refer to.

        Raises:
            LocalProtocolError: they do not fit into one frame.
        """

        def pick(body: bytes) -> CodecDecision:
            inputs = CodecInputs(
                size_bytes=len(body), bits_per_byte=sampled_bits(body), terms=self.terms
            )
            decision = choose_codec(inputs)
            self.journal.note("codec", decision, inputs, now_s)
            return decision

        light = present and self.terms.effort is CodecEffort.LIGHT
        columns = encode_events(
            events, pick=pick if present else None, dictionary=dictionary, light=light
        )
        counters[f"codec_{columns_info(columns)[0]}"] += 1
        return columns
