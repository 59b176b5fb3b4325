"""The uplink's machine: from "there are frames" to "the region has them", on any link.

Pure: inputs and a moment in, effects and the next deadline out. The rules it keeps:

* no frame leaves before the region has answered a resume, after a process start, after a
  change of its journal's generation, and after a silence;
* only the region's verified receipt settles a frame; a PUBACK means nothing;
* whatever is sent is bounded by the region's credit and by our own windows.

====================  ==========================================================
link                  down -> connecting -> up -> down
resume                needed -> asked -> applying -> done (-> needed)
====================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import assert_never

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.ports import LinkFailure, Random
from whimbrel_agent.uplink.asking import Asking
from whimbrel_agent.uplink.budget import Spent
from whimbrel_agent.uplink.counts import Counts
from whimbrel_agent.uplink.doing import Doing
from whimbrel_agent.uplink.figures import LinkState, ResumeState, SessionFigures
from whimbrel_agent.uplink.inbox import Refused, check_down
from whimbrel_agent.uplink.offset import ClockOffset
from whimbrel_agent.uplink.outbox import Outbox
from whimbrel_agent.uplink.outlook import Outlook, outlook
from whimbrel_agent.uplink.patience import AWAY_S, MAX_HOLD_S, REFRESH_S, REST_AGAIN_S
from whimbrel_agent.uplink.radio import Radio, decide_radio
from whimbrel_agent.uplink.reaching import Reaching
from whimbrel_agent.uplink.values import (
    ApplyResume,
    Arrived,
    Connect,
    Disconnect,
    Effect,
    EventsWait,
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
    TakeAlong,
    TakeDictionaries,
    UseRadio,
)
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import DictionaryAnswer, Hold, Receipt, ResumeAnswer, Want
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
        shares: Mapping[str, int] | None = None,
        journal: DecisionJournal | None = None,
    ) -> None:
        self.counts = Counts()
        self._addresses = frozenset(addresses)
        self._region_key = region_key
        self._brokers = brokers
        self._random = random
        self._link = Reaching(brokers, random, journal)
        self._outbox = Outbox(lanes, window, self.counts, shares, journal)
        self._clock = ClockOffset()
        self.radio = Radio(journal=journal)
        self._use = decide_radio(self.radio.inputs(0.0))
        self._resume = ResumeState.NEEDED
        self._asking = Asking(random, brokers)
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
            case FramesSealed(urgent):
                self._sealed(now, urgent=urgent)
            case FramesLoaded() | FramesGone() | ReceiptsSettled():
                if not self._outbox.told(event):
                    self._ask_again(now.mono_s)
            case UseRadio(plan):
                self.radio.use(plan)
            case EventsWait(waiting, came):
                self.radio.unsealed(waiting, now.mono_s, came=came)
            case ResumeApplied(newest, unasked):
                self._resume = ResumeState.DONE
                self._asking.applied(unasked, now.mono_s)
                self._outbox.restart(newest)
                self.counts.add("resumes_applied")
            case ResumeNotApplied():
                self._resume = ResumeState.NEEDED
                self._asking.not_applied(now.mono_s)
            case LinkMade(newest, interface):
                self._link_made(newest, interface, now)
            case LinkLost(failure, message):
                self._link_lost(failure, message, now)
            case NetworkReturned():
                self._link.network_returned(now.mono_s)
            case _:
                assert_never(event)
        return effects + self.poll(now)

    def poll(self, now: Now) -> list[Effect]:
        """Return what is due now."""
        return self._decide(now.mono_s) + self._due(now)

    def _decide(self, now_s: float) -> list[Effect]:
        self._use = self.radio.decide(now_s)
        return [TakeAlong()] if self._use.take_along else []

    def _due(self, now: Now) -> list[Effect]:
        if not self._use.open:
            return [] if self.radio.plan.stay_connected else self._let_go()
        match self._link.state:
            case LinkState.DOWN:
                return [Connect(self._link.broker)] if self._link.tries(now.mono_s) else []
            case LinkState.CONNECTING:
                return []
            case LinkState.UP:
                return self._converse(now)

    def next_deadline(self, now: Now) -> float | None:
        """Return the monotonic second at which :meth:`poll` has something to do, if any."""
        if not self._use.open:
            return self._use.look_s
        if self._link.state is LinkState.DOWN:
            return self._link.try_s
        if self._link.state is LinkState.CONNECTING or self._resume is ResumeState.APPLYING:
            return None
        if self._hold_until_s > now.mono_s:
            return self._hold_until_s
        if self._resume is not ResumeState.DONE:
            return self._asking.at_s
        if (deadline_s := self._outbox.next_deadline(now.mono_s)) is not None:
            return deadline_s
        looks = [self._heard_s + REFRESH_S]
        looks += [self._asking.rest_at_s] if self._asking.unasked else []
        looks += [] if self._use.look_s is None else [self._use.look_s]
        return min(looks)

    # ------------------------------------------------------------------ the link

    def _link_made(self, newest: Mapping[str, int], interface: str, now: Now) -> None:
        self._link.made(now.mono_s)
        self._hold_until_s = 0.0
        if now.mono_s >= self._heard_s + AWAY_S:
            self._ask_again(now.mono_s)
        self._asking.linked(now.mono_s)
        self.counts.add("links_made")
        self._outbox.window.linked(self._link.broker, interface, now.mono_s)
        self._outbox.restart(newest)

    def _link_lost(self, failure: LinkFailure, message: str, now: Now) -> None:
        if self._link.state is LinkState.DOWN:
            return
        self.counts.add(self._link.lost(failure, message, now.mono_s, urgent=self._hurries))
        self._outbox.give_back()
        if self._resume is ResumeState.ASKED:
            self._resume = ResumeState.NEEDED

    def _sealed(self, now: Now, *, urgent: bool) -> None:
        self._outbox.sealed(urgent=urgent)
        self.radio.sealed(urgent=urgent)
        if self._hurries:
            self._link.hurry(now.mono_s)

    @property
    def _hurries(self) -> bool:
        """Whether urgent events wait while the radio is on anyway."""
        return self._outbox.urgent_waits and not self.radio.rests

    def _let_go(self) -> list[Effect]:
        """End the connection: the radio rests."""
        if self._link.state is not LinkState.UP:
            return []  # one that is being made is let go of when it is there
        self._link.let_go()
        self.counts.add("links_rested")
        self._outbox.give_back()
        return [Disconnect(self._use.reason)]

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
        asking = self._asking
        if self._outbox.idle and asking.unasked and now.mono_s >= asking.rest_at_s:
            self._ask_again(now.mono_s)
            asking.ask_rest()
            return self._ask(now)
        if self._outbox.idle and now.mono_s >= self._heard_s + REFRESH_S:
            self._ask_again(now.mono_s)
            return self._ask(now)
        effects += self._outbox.loads()
        sends = self._outbox.sends(now)
        if sends is not None:
            effects.append(sends)
            effects += self._outbox.loads()
        if self._outbox.empty and not asking.unasked:
            self.radio.settled(now.mono_s)
            effects += self._decide(now.mono_s)
        return effects

    def _ask(self, now: Now) -> list[Effect]:
        asking = self._asking
        if now.mono_s < asking.at_s:
            return []
        if asking.about_rest and asking.asks:
            asking.leave_rest(now.mono_s)
        if asking.in_vain:
            why = "the region does not answer at this broker"
            failure = LinkFailure.OVERLOADED if self._brokers > 1 else LinkFailure.NO_LINK
            self._link_lost(failure, why, now)
            return [Disconnect(why)]
        self._resume = ResumeState.ASKED
        self.counts.add("resumes_sent")
        return [SendResume(asking.begin(now.mono_s), asking.about_rest)]

    def _ask_again(self, now_s: float) -> None:
        """Stop sending frames until the region has answered another resume."""
        if self._resume is ResumeState.DONE:
            self._resume = ResumeState.NEEDED
            self._asking.at_s = now_s
            self._outbox.give_back()

    # ------------------------------------------------------------------ the region's words

    def _arrived(self, event: Arrived, now: Now) -> list[Effect]:
        message = check_down(event.delivery, addresses=self._addresses, region_key=self._region_key)
        match message:
            case Refused(counter):
                self.counts.add(counter)
            case Receipt():
                return self._receipt(message, now)
            case ResumeAnswer():
                return self._answer(message, now)
            case Want():
                self._want(message, now.mono_s)
            case Hold():
                self._hold(message, now.mono_s)
            case DictionaryAnswer():
                return [TakeDictionaries(message)]
        return []

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
            self._outbox.window.credits.credited(receipt.credit, now.mono_s)
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
        if self._resume is not ResumeState.ASKED or not self._asking.answers(answer.nonce):
            self.counts.add("down_replayed")
            return []
        self._resume = ResumeState.APPLYING
        self._generation = answer.generation
        self._region_sent_ns = answer.sent_ns
        self._heard_s = now.mono_s
        self._outbox.window.credits.credited(answer.credit, now.mono_s)
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
        if self._link.state is not LinkState.UP or not waiting:
            self.counts.add("down_unasked")
            return
        self.counts.add("holds")
        self._heard_s = now_s
        hold_s = min(MAX_HOLD_S, max(1.0, float(hold.retry_s)))
        if self._asking.about_rest:  # a former address may be unknown by now: its own affair
            self._asking.leave_rest(now_s, max(hold_s, REST_AGAIN_S))
            self._resume, self._asking.at_s = ResumeState.NEEDED, now_s
            return
        self._ask_again(now_s)
        self._hold_reason = hold.reason
        self._hold_until_s = now_s + hold_s
        self._asking.at_s = self._hold_until_s

    # ------------------------------------------------------------------ for others

    def outlook(self, now_s: float) -> Outlook:
        """Say whether frames can leave now, and in which detail."""
        return outlook(self._link.state, self._resume, self._outbox.window.credits, now_s)

    def budgets(self) -> list[Spent]:
        """Return the exact counts of metered links, for an orderly stop."""
        return self._outbox.window.budgets()

    def figures(self, now: Now) -> SessionFigures:
        """Return the session's state as a value."""
        now_s = now.mono_s
        doing = Doing(
            link=self._link.state,
            resume=self._resume,
            connect_s=self._link.try_s,
            last_failure=self._link.last_failure,
            hold_until_s=self._hold_until_s,
            hold_reason=self._hold_reason,
            asks=self._asking.asks,
            rest="" if self._use.open else self._use.words(now_s),
            sending=self._outbox.doing(now_s),
        )
        return SessionFigures(
            link=self._link.state,
            resume=self._resume,
            broker=self._link.broker,
            last_failure=self._link.last_failure,
            generation=self._generation,
            in_flight_frames=self._outbox.in_flight_frames,
            in_flight_bytes=self._outbox.in_flight_bytes,
            window=self._outbox.window.figures(now),
            clock=self._clock.best,
            counts=self.counts.values(),
            doing=doing.words(now_s),
            blocked=doing.blocked(now_s),
            radio=self._use.words(now_s),
            plan=self.radio.plan,
            lanes=self._outbox.waiting(now),
        )
