"""One MQTT 3.1.1 connection in the event loop: paho-mqtt's protocol, our own sockets and timer.

paho keeps the protocol: packets, message numbers, acknowledgements, the state of keep-alive. Through
its documented callbacks for other event loops it says which socket it has and whether it waits to
write; this gives it the socket's turns and one timer. Nothing here polls: a connection that carries
nothing wakes the loop once for each keep-alive, and for the broker's answer to it.

No name of paho's that begins with an underscore is used. See ``decisions.md``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from whimbrel_agent.uplink.dialing import BrokerError, Dial

MAX_SLACK_S: Final = 1.0
"""The keep-alive's timer goes off this much late, a tenth of a short keep-alive: later than the
answer to the last ping came, so that it need not go off twice. Brokers wait half a keep-alive."""

_SLACK_PART: Final = 0.1


class BrokerClient:
    """One connection, used once. Subclasses take what comes in.

    A cancellation is never lost, whenever it comes, and :meth:`abandon` may be called at any moment.
    """

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.ended = self._future()
        self._connected = self._future()
        self._granted: dict[int, asyncio.Future[Any]] = {}
        self._source: Any = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._sent_s = self._heard_s = self._loop.time()
        self._client = _paho_client(dial)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_socket_open = self._on_socket_open
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_socket_register_write
        self._client.on_socket_unregister_write = self._on_socket_unregister_write

    # ------------------------------------------------------------------ for subclasses and users

    async def open(self) -> None:
        """Connect and wait for the broker's welcome; :meth:`abandon` it when this fails.

        Raises:
            BrokerError: the broker refused or did not answer.
            OSError: it was not reached; TLS and websocket errors are among them.
            ValueError: paho does not take a setting.
        """
        dial = self._dial
        connect = partial(self._client.connect, dial.host, dial.port, dial.keepalive_s)
        await self._loop.run_in_executor(None, connect)  # it waits for names and handshakes
        await self._answer(self._connected)

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> list[int]:
        """Subscribe and return what the broker granted for each filter, 0x80 and up for refused.

        Raises:
            BrokerError: the connection is gone or the broker did not answer.
        """
        code, number = self._client.subscribe(list(filters))
        if code != paho.MQTT_ERR_SUCCESS or number is None:
            raise BrokerError(f"could not subscribe: {paho.error_string(code)}", code)
        self._granted[number] = granted = self._future()
        codes: list[ReasonCode] = await self._answer(granted)
        return [code.value for code in codes]

    def publish_now(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Queue one message; waits for nothing.

        Raises:
            BrokerError: the connection is gone.
        """
        info = self._client.publish(topic, payload, qos)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerError(f"could not publish: {paho.error_string(info.rc)}", info.rc)

    def local_address(self) -> str:
        """Return our own end's address, empty when there is no connection."""
        if self._source is None:
            return ""
        # a twin of the descriptor, since paho's websocket does not show its socket
        with socket.socket(fileno=os.dup(self._source.fileno())) as twin:
            return str(twin.getsockname()[0])

    def pause_reading(self) -> None:
        """Leave what comes in to the kernel, so that TCP holds the broker back."""
        self._paused = True
        if self._source is not None:
            self._loop.remove_reader(self._source.fileno())

    def resume_reading(self) -> None:
        """Read on after a pause."""
        self._paused = False
        if self._source is not None:
            self._loop.add_reader(self._source.fileno(), self._read)
            if self._pending():
                self._loop.call_soon(self._read)

    async def close(self, timeout_s: float) -> None:
        """Say goodbye to the broker, then close the socket; wait at most so long for it."""
        if not self.ended.done() and self._client.disconnect() == paho.MQTT_ERR_SUCCESS:
            await asyncio.wait([self.ended], timeout=timeout_s)
        self.abandon()

    def abandon(self) -> None:
        """Close the socket, whatever state it is in."""
        self._finish(None)
        source = self._source
        if source is not None:
            self._let_go()
            source.close()

    # ------------------------------------------------------------------ waiting

    def _future(self) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        future.add_done_callback(_seen)
        return future

    async def _answer(self, awaited: asyncio.Future[Any]) -> Any:
        # Not asyncio.wait_for: that of Python 3.11 swallows a cancellation that comes at the moment
        # of the broker's answer, and the task would go on for ever.
        try:
            async with asyncio.timeout(self._dial.timeout_s):
                return await awaited
        except TimeoutError:
            raise BrokerError("the broker did not answer in time") from None

    def _finish(self, error: Exception | None) -> None:
        """Note the end, once, and tell everybody who waits."""
        self._stop_timer()
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)
        waiting = [self._connected, *self._granted.values()]
        self._granted.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(error or BrokerError("connection was closed"))

    # ------------------------------------------------------------------ paho's words

    def _on_connect(
        self, _client: paho.Client, _userdata: object, _flags: object, code: ReasonCode,
        _properties: object = None,
    ) -> None:  # fmt: skip
        if self._connected.done():
            return
        if code.value:
            self._connected.set_exception(BrokerError(f"refused: {code}", code.value))
            return
        self._connected.set_result(None)
        self._sent_s = self._heard_s = self._loop.time()
        self._keep_alive_after(self._dial.keepalive_s)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: object, _flags: object, code: ReasonCode,
        _properties: object = None,
    ) -> None:  # fmt: skip
        error = BrokerError(f"connection ended: {code}", code.value) if code.value else None
        self._finish(error)

    def _on_subscribe(
        self, _client: paho.Client, _userdata: object, number: int, codes: list[ReasonCode],
        _properties: object = None,
    ) -> None:  # fmt: skip
        granted = self._granted.pop(number, None)
        if granted is not None and not granted.done():
            granted.set_result(codes)

    # ------------------------------------------------------------------ the socket

    def _on_socket_open(self, _client: paho.Client, _userdata: object, source: Any) -> None:
        # paho connects in an executor's thread: the loop is told, not touched
        self._loop.call_soon_threadsafe(self._attend, source)

    def _attend(self, source: Any) -> None:
        if self.ended.done():  # given up while it connected
            source.close()
            return
        self._source = source
        self._loop.add_reader(source.fileno(), self._read)
        if isinstance(source, socket.socket):
            for option in self._dial.socket_options:
                source.setsockopt(*option)

    def _on_socket_close(self, _client: paho.Client, _userdata: object, _source: Any) -> None:
        self._let_go()

    def _let_go(self) -> None:
        """Stop watching the socket; whoever calls closes it."""
        source, self._source = self._source, None
        if source is not None and source.fileno() >= 0:
            self._loop.remove_reader(source.fileno())
            self._loop.remove_writer(source.fileno())

    def _on_socket_register_write(self, _client: paho.Client, _userdata: object, _: Any) -> None:
        if threading.get_ident() == self._thread:
            self._watch_writes()
        else:  # the first packet, queued where paho connects
            self._loop.call_soon_threadsafe(self._watch_writes)

    def _watch_writes(self) -> None:
        if self._source is not None:
            self._loop.add_writer(self._source.fileno(), self._write)

    def _on_socket_unregister_write(self, _client: paho.Client, _userdata: object, _: Any) -> None:
        if self._source is not None and self._source.fileno() >= 0:
            self._loop.remove_writer(self._source.fileno())

    def _read(self) -> None:
        try:
            self._client.loop_read()
            # what TLS has decrypted already makes no socket readable
            while not self._paused and self._pending():
                self._client.loop_read()
        except Exception as error:  # noqa: BLE001  whatever a broker's bytes make paho raise
            self._broke(error)
        self._heard_s = self._loop.time()

    def _pending(self) -> bool:
        pending = getattr(self._source, "pending", None)
        return pending is not None and pending() > 0

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001  as above
            self._broke(error)
        if not self._client.want_write():
            self._sent_s = self._loop.time()

    def _broke(self, error: Exception) -> None:
        if not isinstance(error, OSError):
            error = BrokerError(f"broke the protocol: {error!r:.200}", paho.MQTT_ERR_PROTOCOL)
        self._finish(error)
        self.abandon()

    # ------------------------------------------------------------------ keep-alive

    def _keep_alive_after(self, delay_s: float) -> None:
        if not self._dial.keepalive_s:
            return
        slack_s = min(MAX_SLACK_S, _SLACK_PART * self._dial.keepalive_s)
        self._timer = self._loop.call_later(delay_s + slack_s, self._keep_alive)

    def _keep_alive(self) -> None:
        """Have paho ping, or give up a broker that did not answer the last one, when it is time."""
        now_s = self._loop.time()
        left_s = min(self._sent_s, self._heard_s) + self._dial.keepalive_s - now_s
        if left_s > 0:
            self._keep_alive_after(left_s)
            return
        self._sent_s = self._heard_s = now_s  # paho counts a ping as both
        self._client.loop_misc()
        if not self.ended.done():
            self._keep_alive_after(self._dial.keepalive_s)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _seen(future: asyncio.Future[Any]) -> None:
    """Count an error as seen: not everybody who might have waited for it did."""
    if not future.cancelled():
        future.exception()


def _paho_client(dial: Dial) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=dial.client_id,
        protocol=paho.MQTTv311,
        clean_session=dial.clean_session,
        transport="tcp" if dial.websocket_path is None else "websockets",
        reconnect_on_failure=False,
    )
    client.connect_timeout = dial.timeout_s
    if dial.username is not None:
        client.username_pw_set(dial.username, dial.password)
    if dial.tls is not None:
        client.tls_set_context(dial.tls)
    if dial.websocket_path is not None:
        client.ws_set_options(path=dial.websocket_path, headers=dict(dial.websocket_headers))
    if dial.will is not None:
        client.will_set(dial.will.topic, dial.will.payload, dial.will.qos)
    return client
