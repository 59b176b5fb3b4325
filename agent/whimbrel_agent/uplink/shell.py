"""The uplink's shell: gives the session a transport, the buffer and the clocks.

One pump takes inputs, asks the session, and carries its effects out in order. Beside it run
the link (connecting and reading), and the settler, which frees frames of all receipts that came
in meanwhile in one transaction. Nothing polls: everybody waits for an event or a deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from math import inf
from typing import Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError
from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.logs import Streak, facts
from whimbrel_agent.ports import Clock, Link, LinkFailure, Transport, TransportError
from whimbrel_agent.uplink.backlog import Backlog
from whimbrel_agent.uplink.budget import Spent
from whimbrel_agent.uplink.budgetfile import BudgetFile
from whimbrel_agent.uplink.checking import fault_of
from whimbrel_agent.uplink.figures import SessionFigures
from whimbrel_agent.uplink.giving import Offers, give
from whimbrel_agent.uplink.merging import merged, take_some
from whimbrel_agent.uplink.outlook import Outlook
from whimbrel_agent.uplink.radio import RadioPlan
from whimbrel_agent.uplink.session import Session
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
    LoadFrames,
    NetworkReturned,
    Now,
    ReceiptsSettled,
    RecheckFrame,
    ResumeApplied,
    ResumeNotApplied,
    SendFrames,
    Sending,
    SendResume,
    Settle,
    TakeAlong,
    TakeDictionaries,
    UseRadio,
)
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.header import PROTOCOL_VERSION
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.limits import MAX_RESUME_STREAMS
from whimbrel_protocol.messages import Receipt, Resume, ResumeAnswer
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import frame_topic, resume_topic

MAX_WAITING_INPUTS: Final = 256
"""The link's reader pauses at so many; the transport's bounded queue then counts what it drops."""

SETTLE_PAUSE_S: Final = 0.25
"""Receipts are collected so long before they are made durable: a transaction each would be a
tenth of all that an agent under load writes to its card. What a crash loses is asked again."""

LONG_DIAL_S: Final = 2.0
"""So long in the making when the network returns, a connection was begun without one: TCP may wait."""

_log = logging.getLogger(__name__)


class Uplink:
    """Runs one session until it is cancelled: the present region's, or one ``former`` address's."""

    def __init__(
        self,
        *,
        session: Session,
        buffer: Buffer,
        transport: Transport,
        address: Address,
        key: PrivateKey,
        clock: Clock,
        software: str,
        budgets: BudgetFile | None = None,
        former: bool = False,
    ) -> None:
        self._session = session
        self._buffer = buffer
        self._transport = transport
        self._address = address
        self._key = key
        self._clock = clock
        self._software = software
        self._budgets = budgets
        self._only = address if former else None
        self._inputs: deque[Input] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._receipts: deque[Receipt] = deque()
        self._to_settle = asyncio.Event()
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._link: Link | None = None
        self._link_task: asyncio.Task[None] | None = None
        self._dialing_s = inf
        self._backlog = Backlog()
        self._streak = Streak(_log)

    # ------------------------------------------------------------------ for others

    def frames_sealed(self, *, urgent: bool = False) -> None:
        """Say that the buffer may have new frames; urgent ones do not wait for the radio."""
        last = self._inputs[-1] if self._inputs else None
        if not (isinstance(last, FramesSealed) and last.urgent >= urgent):
            self._put(FramesSealed(urgent))

    def use_radio(self, plan: RadioPlan) -> None:
        """Use the radio by another plan from now on."""
        self._put(UseRadio(plan))

    def events_wait(self, waiting: tuple[Waiting, ...], *, came: bool) -> None:
        """Say what waits to be sealed, and whether since events came."""
        self._put(EventsWait(waiting, came))

    @property
    def rests(self) -> bool:
        """Whether the radio is used in sessions: then what waits to be sealed is to be told."""
        return self._session.radio.rests

    def network_returned(self) -> None:
        """Say that the machine has a network again."""
        dialed_s = self._now().mono_s - self._dialing_s
        if self._link_task is not None and dialed_s >= LONG_DIAL_S:
            self._link_task.cancel()
            self._failed(TransportError(LinkFailure.NO_LINK, "the network has changed meanwhile"))
        self._put(NetworkReturned())

    def use_keepalive(self, keepalive_s: int) -> None:
        """Ask brokers for this keep-alive, in seconds, on links made from now on."""
        self._transport.use_keepalive(keepalive_s)

    @property
    def outlook(self) -> Outlook:
        """Whether frames can leave now, and in which detail, as far as is known."""
        return self._session.outlook(self._now().mono_s)

    def figures(self) -> SessionFigures:
        """Return the session's state for status."""
        return self._session.figures(self._now())

    async def run(self) -> None:
        """Pump until cancelled; then close the link in an orderly way.

        Raises:
            BufferBrokenError: the buffer must be opened again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._settle(), name="uplink.settle")
                await self._pump(group)
        finally:
            await self._drop_link()
            for spent in self._session.budgets():
                await self._store_spent(spent)

    # ------------------------------------------------------------------ the pump

    async def _pump(self, group: asyncio.TaskGroup) -> None:
        while True:
            effects = self._ask_session()
            for effect in effects:
                try:
                    await self._carry_out(effect, group)
                except BufferFullError as error:
                    self._no_room(error)
            if self._inputs:
                await asyncio.sleep(0)  # a busy session must not keep intakes from their turn
                continue
            if not effects:
                await self._wait()

    def _ask_session(self) -> list[Effect]:
        now = self._now()
        if not self._inputs:
            return self._session.poll(now)
        effects: list[Effect] = []
        while self._inputs:
            effects += self._session.receive(self._inputs.popleft(), now)
        self._room.set()
        return effects

    async def _wait(self) -> None:
        now = self._now()
        deadline_s = self._session.next_deadline(now)
        wait_s = None if deadline_s is None else max(0.0, deadline_s - now.mono_s)
        self._wake.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def _put(self, event: Input) -> None:
        self._inputs.append(event)
        self._wake.set()

    def _now(self) -> Now:
        return Now(self._clock.mono_ns() / 1e9, self._clock.wall_ns())

    def _no_room(self, error: BufferFullError) -> None:
        """Give the link up: what is not durable must not be acted upon; the next one asks again."""
        if self._link is not None:
            self._lost(self._link, TransportError(LinkFailure.OVERLOADED, str(error)))

    # ------------------------------------------------------------------ effects

    async def _carry_out(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        match effect:
            case SendFrames(sendings, spent):
                await self._store_spent(spent)
                await self._send(sendings)
            case Settle(receipt):
                self._receipts.append(receipt)
                self._all_settled.clear()
                self._to_settle.set()
            case TakeDictionaries(answer):
                await self._teach(await self._buffer.dictionaries.take(answer))
            case LoadFrames(lane, _, _, after_id, limit):
                frames = await self._buffer.pending(lane, after_id, limit, self._only)
                self._put(FramesLoaded(effect, tuple(frames)))
            case SendResume(nonce, rest):
                await self._send_resume(nonce, rest=rest)
            case ApplyResume(answer):
                await self._apply_resume(answer)
            case RecheckFrame():
                await self._recheck(effect)
            case Connect(broker):
                self._link_task = group.create_task(self._live(broker), name="uplink.link")
            case TakeAlong():
                if await self._buffer.seal_all():
                    self.frames_sealed()
            case Disconnect(why):
                _log.info("link is given up", extra=facts(why=why))
                await self._drop_link()

    async def _store_spent(self, spent: Spent | None) -> None:
        """Make the count of a metered link durable; where it cannot be, say so and go on."""
        if spent is None or self._budgets is None:
            return
        try:
            await asyncio.to_thread(self._budgets.store, spent)
        except OSError as error:
            self._streak.failed("the month's bytes could not be counted", why=str(error))

    async def _send(self, sendings: tuple[Sending, ...]) -> None:
        if (link := self._link) is None:
            return  # it was lost after the session spoke; its LinkLost is waiting
        gone = []
        try:
            loaded = await self._buffer.load_to_send([sending.frame for sending in sendings])
            for sending, data in zip(sendings, loaded, strict=True):
                frame = sending.frame
                if data is None:
                    gone.append(frame)
                    continue
                topic = frame_topic(frame.address, frame.lane, replay=sending.replay)
                await link.publish(topic, data)
        except TransportError as error:
            self._lost(link, error)
        if gone:
            self._put(FramesGone(tuple(gone)))
        if self._only is None:  # a former region has what frames of then name, or asks for it
            await self._teach(self._buffer.dictionaries.offers(self._clock.mono_ns()))

    async def _teach(self, offers: Offers) -> None:
        await give(self._link, offers, self._key, self._session.counts, self._lost)

    async def _send_resume(self, nonce: bytes, *, rest: bool) -> None:
        beside = rest and self._only is None
        address = await self._buffer.rest_address() if beside else self._address
        streams = await self._buffer.streams(address)
        resume = Resume(
            address=address,
            nonce=nonce,
            sent_ns=self._clock.wall_ns(),
            streams=tuple(streams[:MAX_RESUME_STREAMS]),
            version=PROTOCOL_VERSION,
            software=self._software,
        )
        if (link := self._link) is None:
            return
        try:
            await link.publish(resume_topic(address), seal_message(resume, self._key))
        except TransportError as error:
            self._lost(link, error)

    async def _apply_resume(self, answer: ResumeAnswer) -> None:
        await self._all_settled.wait()
        try:
            outcome = await self._buffer.apply_resume(answer)
            newest = await self._buffer.newest_ids()
        except BufferFullError as error:
            self._streak.failed("an answer to resume could not be applied", why=str(error))
            self._put(ResumeNotApplied())
            return
        _log.info("resume answered", extra=facts(outcome=outcome))
        moved = bool(outcome.rotated or outcome.resealed_frames or outcome.returned_frames)
        backlog = self._backlog.resumed(newest, moved=moved)
        self._put(ResumeApplied(backlog, outcome.unasked_streams))

    async def _recheck(self, effect: RecheckFrame) -> None:
        frame = effect.frame
        data = await self._buffer.load(frame.id)
        fault = None if data is None else fault_of(data, frame, self._key.public)
        if fault is not None:
            told = facts(frame=frame, sends=effect.sends)
            _log.warning("frame is put aside: %s", fault, extra=told)
            await self._buffer.quarantine(frame.id, fault)
            self._session.counts.add("frames_quarantined")
        if data is None or fault is not None:
            self._put(FramesGone((frame,)))

    # ------------------------------------------------------------------ settling

    async def _settle(self) -> None:
        while True:
            await self._to_settle.wait()
            await asyncio.sleep(SETTLE_PAUSE_S)
            self._to_settle.clear()
            while self._receipts:
                for receipt in merged(take_some(self._receipts)):
                    try:
                        result = await self._buffer.settle(receipt)
                    except BufferFullError as error:
                        self._streak.failed("receipts could not be settled", why=str(error))
                        self._put(ResumeNotApplied())  # the session takes them for settled
                    else:
                        _log.debug("settled", extra=facts(result=result))
                self._put(ReceiptsSettled())
            self._all_settled.set()

    # ------------------------------------------------------------------ the link

    async def _live(self, broker: int) -> None:
        """Connect, say so, and read until the link ends."""
        self._backlog.trying(await self._buffer.newest_ids())
        self._dialing_s = self._now().mono_s
        try:
            link = await self._transport.connect(broker)
        except TransportError as error:
            self._failed(error)
            return
        self._dialing_s, self._link = inf, link
        try:
            self._streak.recovered("link is up", broker=broker)
            self._put(LinkMade(self._backlog.linked(), link.interface))
            async for delivery in link.deliveries():
                self._put(Arrived(delivery))
                if len(self._inputs) >= MAX_WAITING_INPUTS:
                    self._room.clear()
                    await self._room.wait()
        except TransportError as error:
            self._lost(link, error)
        finally:
            self._session.counts.add("down_dropped", link.dropped)
            await link.close()

    def _lost(self, link: Link, error: TransportError) -> None:
        """Report the end of a link, once."""
        if self._link is link:
            self._link = None
            task = self._link_task
            if task is not None and task is not asyncio.current_task():
                task.cancel()  # it still reads from a connection that nobody may use any more
            self._failed(error)

    def _failed(self, error: TransportError) -> None:
        self._dialing_s = inf
        self._streak.failed("link is down", failure=error.failure.name.lower(), why=str(error))
        self._put(LinkLost(error.failure, str(error)))

    async def _drop_link(self) -> None:
        self._link = None
        task, self._link_task = self._link_task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
