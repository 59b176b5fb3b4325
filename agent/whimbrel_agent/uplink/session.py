"""The uplink's machine: from "there are frames" to "the region has them", on any link.

Pure: inputs and a moment in, effects and the next deadline out. The rules it keeps:

* no frame leaves before the region has answered a resume, after a process start, after a
  change of its journal's generation, and after a silence;
* only the region's verified receipt settles a frame; a PUBACK means nothing;
* whatever is sent is bounded by the region's credit and by our own window.

====================  ==========================================================
link                  down -> connecting -> up -> down
resume                needed -> asked -> applying -> done (-> needed)
====================  ==========================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import assert_never

from whimbrel_agent.ports import LinkFailure, Random
from whimbrel_agent.uplink.backoff import Backoff
from whimbrel_agent.uplink.counts import Counts
from whimbrel_agent.uplink.figures import LinkState, ResumeState, SessionFigures
from whimbrel_agent.uplink.inbox import Refused, check_down
from whimbrel_agent.uplink.offset import ClockOffset
from whimbrel_agent.uplink.outbox import Outbox
from whimbrel_agent.uplink.patience import (
    ASKS_PER_BROKER,
    ASKS_PER_LINK,
    FIRST_ASK_S,
    MAX_ASK_S,
    MAX_HOLD_S,
    OPEN_NONCES,
    REFRESH_S,
    REST_AGAIN_S,
    REST_GAP_S,
)
from whimbrel_agent.uplink.values import (
    ApplyResume,
    Arrived,
    Connect,
    Disconnect,
    Effect,
    FramesGone,
    FramesLoaded,
    FramesSealed,
    Input,
    LinkLost,
    LinkMade,
    NetworkReturned,
    Now,
    ReceiptsSettled,
    ResumeApplied,
    ResumeNotApplied,
    SendResume,
    Settle,
    TakeDictionaries,
)
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import (
    NONCE_BYTES,
    DictionaryAnswer,
    Hold,
    Receipt,
    ResumeAnswer,
    Want,
)
from whimbrel_protocol.names import Address


class Session:
    """One device's uplink. Feed it inputs, carry out its effects in order."""

    def __init__(
        self,
        *,
        addresses: Collection[Address],
        region_key: PublicKey,
        brokers: int,
        lanes: Mapping[str, Order],
        window: Window,
        random: Random,
    ) -> None:
        self.counts = Counts()
        self._addresses = frozenset(addresses)
        self._region_key = region_key
        self._brokers = brokers
        self._random = random
        self._backoff = Backoff(brokers, random)
        self._outbox = Outbox(lanes, window, self.counts)
        self._clock = ClockOffset()
        self._link = LinkState.DOWN
        self._broker = 0
        self._up_since_s = 0.0
        self._last_failure = ""
        self._resume = ResumeState.NEEDED
        self._nonces: deque[bytes] = deque(maxlen=OPEN_NONCES)
        self._asks = 0
        self._unasked = 0
        self._asking_rest = False
        self._rest_at_s = 0.0
        self._ask_at_s = 0.0
        self._hold_until_s = 0.0
        self._hold_reason = ""
        self._generation = b""
        self._region_sent_ns = 0
        self._heard_s = 0.0

    # ------------------------------------------------------------------ the two entries

    def receive(self, event: Input, now: Now) -> list[Effect]:
        """Take one input; return what is to be done, in this order."""
        effects: list[Effect] = []
        match event:
            case Arrived():
                effects += self._arrived(event, now)
            case FramesLoaded(asked, frames):
                if not self._outbox.loaded(asked, frames):
                    self._ask_again(now.mono_s)
            case FramesSealed():
                self._outbox.sealed()
            case ReceiptsSettled():
                self._outbox.drained()
            case FramesGone(frames):
                self._outbox.gone(frames)
            case ResumeApplied(newest, unasked):
                self._resume = ResumeState.DONE
                self._unasked = unasked
                self._asking_rest = False
                self._rest_at_s = max(self._rest_at_s, now.mono_s + REST_GAP_S)
                self._asks = 0
                self._outbox.restart(newest)
                self.counts.add("resumes_applied")
            case ResumeNotApplied():
                self._resume = ResumeState.NEEDED
                self._ask_at_s = now.mono_s + MAX_ASK_S
            case LinkMade(newest):
                self._link_made(newest, now)
            case LinkLost(failure, message):
                self._link_lost(failure, message, now)
            case NetworkReturned():
                self._backoff.network_returned(now.mono_s)
            case _:
                assert_never(event)
        return effects + self.poll(now)

    def poll(self, now: Now) -> list[Effect]:
        """Return what is due now."""
        match self._link:
            case LinkState.DOWN:
                broker, ready_s = self._backoff.next_try()
                if now.mono_s < ready_s:
                    return []
                self._link, self._broker = LinkState.CONNECTING, broker
                return [Connect(broker)]
            case LinkState.CONNECTING:
                return []
            case LinkState.UP:
                return self._converse(now)

    def next_deadline(self, now: Now) -> float | None:
        """Return the monotonic second at which :meth:`poll` has something to do, if any."""
        if self._link is LinkState.DOWN:
            return self._backoff.next_try()[1]
        if self._link is LinkState.CONNECTING or self._resume is ResumeState.APPLYING:
            return None
        if self._hold_until_s > now.mono_s:
            return self._hold_until_s
        if self._resume is not ResumeState.DONE:
            return self._ask_at_s
        deadline_s = self._outbox.next_deadline(now.mono_s)
        if deadline_s is not None:
            return deadline_s
        refresh_s = self._heard_s + REFRESH_S
        return min(refresh_s, self._rest_at_s) if self._unasked else refresh_s

    # ------------------------------------------------------------------ the link

    def _link_made(self, newest: Mapping[str, int], now: Now) -> None:
        self._link = LinkState.UP
        self._up_since_s = now.mono_s
        self._hold_until_s = 0.0
        self._asks = 0
        self._ask_at_s = now.mono_s
        self.counts.add("links_made")
        self._outbox.window.linked()
        self._outbox.restart(newest)

    def _link_lost(self, failure: LinkFailure, message: str, now: Now) -> None:
        if self._link is LinkState.DOWN:
            return
        was_up = self._link is LinkState.UP
        self.counts.add("links_lost" if was_up else "links_failed")
        lived_s = now.mono_s - self._up_since_s if was_up else 0.0
        self._backoff.failed(self._broker, failure, lived_s=lived_s, now_s=now.mono_s)
        self._link = LinkState.DOWN
        self._last_failure = f"{failure.name.lower().replace('_', ' ')}: {message}"
        self._outbox.give_back()
        if self._resume is ResumeState.ASKED:
            self._resume = ResumeState.NEEDED

    # ------------------------------------------------------------------ while it is up

    def _converse(self, now: Now) -> list[Effect]:
        if now.mono_s < self._hold_until_s or self._resume is ResumeState.APPLYING:
            return []
        if self._resume is not ResumeState.DONE:
            return self._ask(now)
        effects: list[Effect] = []
        overdue = self._outbox.overdue(now.mono_s, heard_s=self._heard_s)
        if overdue is not None:
            effects += overdue.rechecks
            self.counts.add("frames_rechecked", len(overdue.rechecks))
            if overdue.silent:  # is anybody there? a question is cheaper than a frame
                self._ask_again(now.mono_s)
                return effects + self._ask(now)
        if self._outbox.idle and self._unasked and now.mono_s >= self._rest_at_s:
            self._ask_again(now.mono_s)
            self._asking_rest, self._asks = True, 0
            return self._ask(now)
        if self._outbox.idle and now.mono_s >= self._heard_s + REFRESH_S:
            self._ask_again(now.mono_s)
            return self._ask(now)
        effects += self._outbox.loads()
        sends = self._outbox.sends(now)
        if sends is not None:
            effects.append(sends)
            effects += self._outbox.loads()
        return effects

    def _ask(self, now: Now) -> list[Effect]:
        if now.mono_s < self._ask_at_s:
            return []
        if self._asking_rest and self._asks:
            self._leave_rest(now.mono_s + REST_AGAIN_S)
        if self._asks >= (ASKS_PER_BROKER if self._brokers > 1 else ASKS_PER_LINK):
            why = "the region does not answer at this broker"
            failure = LinkFailure.OVERLOADED if self._brokers > 1 else LinkFailure.NO_LINK
            self._link_lost(failure, why, now)
            return [Disconnect(why)]
        nonce = self._random.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
        self._nonces.append(nonce)
        self._resume = ResumeState.ASKED
        self._ask_at_s = now.mono_s + min(MAX_ASK_S, FIRST_ASK_S * 2 ** min(self._asks, 8))
        self._asks += 1
        self.counts.add("resumes_sent")
        return [SendResume(nonce, self._asking_rest)]

    def _leave_rest(self, again_s: float) -> None:
        """Ask about the present address instead; about the rest not before ``again_s``."""
        self._asking_rest = False
        self._rest_at_s = again_s
        self._asks = 0

    def _ask_again(self, now_s: float) -> None:
        """Stop sending frames until the region has answered another resume."""
        if self._resume is ResumeState.DONE:
            self._resume = ResumeState.NEEDED
            self._ask_at_s = now_s
            self._outbox.give_back()

    # ------------------------------------------------------------------ the region's words

    def _arrived(self, event: Arrived, now: Now) -> list[Effect]:
        message = check_down(event.delivery, addresses=self._addresses, region_key=self._region_key)
        match message:
            case Refused(counter):
                self.counts.add(counter)
                return []
            case Receipt():
                return self._receipt(message, now)
            case ResumeAnswer():
                return self._answer(message, now)
            case Want():
                self._want(message, now.mono_s)
                return []
            case Hold():
                self._hold(message, now.mono_s)
                return []
            case DictionaryAnswer():
                self.counts.add("dictionary_answers")
                return [TakeDictionaries(message)]

    def _receipt(self, receipt: Receipt, now: Now) -> list[Effect]:
        if not self._generation:
            self.counts.add("down_unasked")
            return []
        if receipt.generation != self._generation:
            self._other_generation(receipt.sent_ns, now.mono_s)
            return []
        self.counts.add("receipts")
        answered = self._outbox.receipt(receipt, now)
        if answered.matched or receipt.sent_ns > self._region_sent_ns:
            # Neither can be an old receipt played again: those match nothing and are not newer.
            self._heard_s = now.mono_s
            self._hold_until_s = 0.0
            self._region_sent_ns = max(self._region_sent_ns, receipt.sent_ns)
            self._outbox.window.credited(receipt.credit, now.mono_s)
        if answered.newest is not None:
            sent_ns = answered.newest.sent_wall_ns
            self._clock.add(sent_ns, receipt.received_ns, receipt.sent_ns, now.wall_ns)
        return [Settle(receipt)] if receipt.entries else []

    def _other_generation(self, sent_ns: int, now_s: float) -> None:
        if sent_ns <= self._region_sent_ns or self._resume is not ResumeState.DONE:
            self.counts.add("down_replayed")
            return
        self.counts.add("generations")
        self._region_sent_ns = sent_ns
        self._ask_again(now_s)

    def _answer(self, answer: ResumeAnswer, now: Now) -> list[Effect]:
        if answer.nonce not in self._nonces or self._resume is not ResumeState.ASKED:
            self.counts.add("down_replayed")
            return []
        self._nonces.clear()
        self._resume = ResumeState.APPLYING
        self._generation = answer.generation
        self._region_sent_ns = answer.sent_ns
        self._heard_s = now.mono_s
        self._outbox.window.credited(answer.credit, now.mono_s)
        self._clock.add(answer.echo_sent_ns, answer.received_ns, answer.sent_ns, now.wall_ns)
        return [ApplyResume(answer)]

    def _want(self, want: Want, now_s: float) -> None:
        streams = [(state.epoch, state.lane) for state in want.streams]
        if self._resume is not ResumeState.DONE:
            self.counts.add("down_replayed")
        elif want.generation != self._generation:
            if any(self._outbox.in_flight_of(*stream) for stream in streams):
                self.counts.add("generations")
                self._ask_again(now_s)
            else:
                self.counts.add("down_replayed")
        else:
            for state in want.streams:
                counter = self._outbox.want(state, now_s)
                self.counts.add(counter)
                if counter != "down_unasked":
                    self._heard_s = now_s

    def _hold(self, hold: Hold, now_s: float) -> None:
        waiting = self._resume is ResumeState.ASKED or self._outbox.in_flight_frames
        if self._link is not LinkState.UP or not waiting:
            self.counts.add("down_unasked")
            return
        self.counts.add("holds")
        self._heard_s = now_s
        hold_s = min(MAX_HOLD_S, max(1.0, float(hold.retry_s)))
        if self._asking_rest:  # a former address may be unknown by now: that is its own affair
            self._leave_rest(now_s + max(hold_s, REST_AGAIN_S))
            self._resume, self._ask_at_s = ResumeState.NEEDED, now_s
            return
        self._ask_again(now_s)
        self._hold_reason = hold.reason
        self._hold_until_s = now_s + hold_s
        self._ask_at_s = self._hold_until_s

    # ------------------------------------------------------------------ for status

    def figures(self, now: Now) -> SessionFigures:
        """Return the session's state as a value."""
        return SessionFigures(
            link=self._link,
            resume=self._resume,
            broker=self._broker,
            last_failure=self._last_failure,
            generation=self._generation,
            in_flight_frames=self._outbox.in_flight_frames,
            in_flight_bytes=self._outbox.in_flight_bytes,
            window=self._outbox.window.figures(now.mono_s),
            clock=self._clock.best,
            counts=self.counts.values(),
            doing=self._doing(now.mono_s),
        )

    def _doing(self, now_s: float) -> str:
        if self._link is LinkState.DOWN:
            _, ready_s = self._backoff.next_try()
            return f"waiting {max(0.0, ready_s - now_s):.1f} s to connect, {self._last_failure}"
        if self._link is LinkState.CONNECTING:
            return "connecting"
        if now_s < self._hold_until_s:
            return f"held by the region for {self._hold_until_s - now_s:.0f} s: {self._hold_reason}"
        if self._resume is not ResumeState.DONE:
            return f"waiting for the region's answer to resume ({self._asks} asked)"
        probing = self._outbox.window.probing(now_s)
        if probing and (self._outbox.ready_frames or self._outbox.in_flight_frames):
            return f"probing: {probing}"
        if self._outbox.in_flight_frames:
            return f"sending, {self._outbox.in_flight_frames} frames wait for receipts"
        return "idle: everything sealed is settled"
