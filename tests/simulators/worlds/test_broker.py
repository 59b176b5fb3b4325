"""The broker: filters by the standard, and each of its bad manners."""

from __future__ import annotations

import asyncio

import pytest

from whimbrel_sim.worlds.broker import NoConnectionError, matches
from whimbrel_sim.worlds.network import CONNECT_TIMEOUT_S, SILENCE_S, Weather
from worlds.virtual import Client, in_virtual_time, make_broker, make_path, virtual_loop

DOWN = "wb/1/down/acme/store-1/till-1/receipt"
OWN = "wb/1/down/acme/store-1/till-1/+"
UP = "wb/1/live/acme/7/store-1/till-1/normal"


@pytest.mark.parametrize(
    ("topic_filter", "topic", "does"),
    [  # the examples of MQTT 3.1.1, sections 4.7.1 and 4.7.2
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport/tennis", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+/tennis/#", "sport/tennis", True),
        ("sport/+/player1", "sport/tennis/player1", True),
        ("sport/+/player1", "sport/tennis/player2", False),
        ("ACCOUNTS", "Accounts", False),
        ("sport", "sport/tennis", False),
        ("sport/tennis", "sport", False),
        ("#", "$SYS/monitor/Clients", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ],
)
def test_filters_match_as_the_standard_says(topic_filter: str, topic: str, does: bool) -> None:
    assert matches(topic_filter, topic) is does


@in_virtual_time
async def test_a_message_reaches_all_whose_filters_match_and_nobody_else() -> None:
    broker = make_broker()
    own = await Client(broker, "own").connect(OWN)
    wide = await Client(broker, "wide").connect("wb/1/live/#", "wb/1/down/#")
    other = await Client(broker, "other").connect("wb/1/down/acme/store-1/till-2/+")
    wide.connection.publish(DOWN, b"x")
    await asyncio.sleep(1)
    assert (own.payloads, wide.payloads, other.payloads) == ([b"x"], [b"x"], [])


@in_virtual_time
async def test_messages_of_one_client_stay_in_order() -> None:
    broker = make_broker()
    path = make_path("sender", weather=Weather(jitter_s=1.0))
    sender = await Client(broker, "sender", path).connect()
    taker = await Client(broker, "taker", make_path("taker", 2)).connect("wb/1/live/#")
    payloads = [b"%d" % number for number in range(100)]
    sender.publish_all(UP, payloads)
    await asyncio.sleep(3)
    assert taker.payloads == payloads


class TestRetained:
    @in_virtual_time
    async def test_a_newcomer_gets_the_newest_and_it_says_so(self) -> None:
        broker = make_broker()
        sender = await Client(broker, "sender").connect()
        for payload in (b"old", b"new"):
            sender.connection.publish(DOWN, payload, retain=True)
        await asyncio.sleep(1)
        taker = await Client(broker, "taker").connect(OWN)
        await asyncio.sleep(1)
        assert [(one.payload, one.retained) for one in taker.taken] == [(b"new", True)]

    @in_virtual_time
    async def test_who_listened_already_gets_it_as_any_other(self) -> None:
        broker = make_broker()
        taker = await Client(broker, "taker").connect(OWN)
        taker.connection.publish(DOWN, b"x", retain=True)
        await asyncio.sleep(1)
        assert [(one.payload, one.retained) for one in taker.taken] == [(b"x", False)]

    @in_virtual_time
    async def test_an_empty_one_takes_back_what_was_kept(self) -> None:
        broker = make_broker()
        sender = await Client(broker, "sender").connect()
        sender.connection.publish(DOWN, b"x", retain=True)
        sender.connection.publish(DOWN, b"", retain=True)
        await asyncio.sleep(1)
        taker = await Client(broker, "taker").connect(OWN)
        await asyncio.sleep(1)
        assert taker.taken == []

    @in_virtual_time
    async def test_a_restart_forgets_it(self) -> None:
        broker = make_broker()
        sender = await Client(broker, "sender").connect()
        sender.connection.publish(DOWN, b"x", retain=True)
        await asyncio.sleep(1)
        broker.restart()
        taker = await Client(broker, "taker").connect(OWN)
        await asyncio.sleep(1)
        assert taker.taken == []


class TestManners:
    @in_virtual_time
    async def test_it_drops_a_share_after_taking_it(self) -> None:
        broker = make_broker()
        client = await Client(broker).connect("t")
        broker.manners.drop = 0.25
        client.publish_all("t", [b"x"] * 1_000)
        await asyncio.sleep(1)
        assert broker.counts["published"] == 1_000
        assert 200 < broker.counts["dropped"] < 300
        assert len(client.taken) == 1_000 - broker.counts["dropped"]

    @in_virtual_time
    async def test_it_gives_a_share_out_twice(self) -> None:
        broker = make_broker()
        client = await Client(broker).connect("t")
        broker.manners.duplicate = 0.25
        client.publish_all("t", [b"%d" % number for number in range(500)])
        await asyncio.sleep(1)
        assert 90 < broker.counts["duplicated"] < 160
        assert len(client.taken) == 500 + broker.counts["duplicated"]
        assert len(set(client.payloads)) == 500

    @in_virtual_time
    async def test_it_gives_a_share_out_again_hours_later(self) -> None:
        broker = make_broker()
        client = await Client(broker).connect("t")
        broker.manners.late, broker.manners.late_s = 0.5, 3600.0
        client.publish_all("t", [b"x"] * 100)
        await asyncio.sleep(10)
        at_once = len(client.taken)
        broker.manners.late = 0.0
        await asyncio.sleep(3600)
        assert at_once < 110
        assert 130 < len(client.taken) < 170
        assert max(client.taken_s) > 1800

    @in_virtual_time
    async def test_it_drops_what_a_queue_has_no_room_for(self) -> None:
        broker = make_broker()
        client = await Client(broker).connect("t")
        sender = await Client(broker, "sender", make_path("sender", 2)).connect()
        broker.manners.queue_limit = 10
        client.path.add("fault", Weather(down_closed=True))
        sender.publish_all("t", [b"%d" % number for number in range(30)])
        await asyncio.sleep(1)
        client.path.remove("fault")
        await asyncio.sleep(1)
        assert client.payloads == [b"%d" % number for number in range(10)]
        assert broker.counts["overflowed"] == 20

    @in_virtual_time
    async def test_it_refuses_more_connections_than_it_takes_in_a_second(self) -> None:
        broker = make_broker()
        broker.manners.connects_per_s = 3
        for number in range(3):
            await Client(broker, str(number)).connect()
        with pytest.raises(NoConnectionError) as caught:
            await Client(broker, "fourth").connect()
        assert caught.value.kind == "OVERLOADED"
        assert broker.counts["overloaded"] == 1
        await asyncio.sleep(1)
        await Client(broker, "later").connect()


class TestConnecting:
    @pytest.mark.parametrize("weather", [Weather(captive=True), Weather(up_closed=True)])
    @in_virtual_time
    async def test_nobody_answers_over_a_closed_path(self, weather: Weather) -> None:
        broker = make_broker()
        with pytest.raises(NoConnectionError) as caught:
            await Client(broker, path=make_path(weather=weather)).connect()
        assert caught.value.kind == "NO_LINK"
        assert virtual_loop().time() == pytest.approx(CONNECT_TIMEOUT_S, abs=0.001)

    @in_virtual_time
    async def test_a_broker_that_does_not_run_refuses(self) -> None:
        broker = make_broker()
        broker.go_down()
        with pytest.raises(NoConnectionError) as caught:
            await Client(broker).connect()
        assert caught.value.kind == "REFUSED"
        broker.come_up()
        await Client(broker).connect()

    @in_virtual_time
    async def test_a_path_that_refuses_refuses(self) -> None:
        broker = make_broker()
        with pytest.raises(NoConnectionError) as caught:
            await Client(broker, path=make_path(weather=Weather(refused=True))).connect()
        assert caught.value.kind == "REFUSED"

    @in_virtual_time
    async def test_a_path_that_closes_meanwhile_is_no_link(self) -> None:
        broker = make_broker()
        path = make_path(weather=Weather(delay_s=1.0))
        virtual_loop().call_later(2, path.add, "fault", Weather(captive=True))
        with pytest.raises(NoConnectionError) as caught:
            await Client(broker, path=path).connect()
        assert caught.value.kind == "NO_LINK"


class TestEnding:
    @in_virtual_time
    async def test_a_restart_breaks_every_connection(self) -> None:
        broker = make_broker()
        clients = [await Client(broker, name).connect(OWN) for name in "ab"]
        silent = await Client(broker, "silent").connect()
        broker.restart()
        assert [one.ends for one in [*clients, silent]] == [["REFUSED"]] * 3

    @in_virtual_time
    async def test_a_restart_loses_what_was_on_its_way(self) -> None:
        broker = make_broker()
        path = make_path(weather=Weather(delay_s=1.0))
        taker = await Client(broker, "taker", path).connect("t")
        taker.connection.publish("t", b"x")
        await asyncio.sleep(0.5)
        broker.restart()
        await asyncio.sleep(3)
        assert (taker.taken, broker.counts["published"]) == ([], 0)

    @in_virtual_time
    async def test_what_was_sent_before_an_orderly_end_arrives(self) -> None:
        broker = make_broker()
        taker = await Client(broker, "taker").connect("t")
        sender = await Client(broker, "sender", make_path("sender", 2)).connect()
        sender.connection.publish("t", b"x")
        sender.connection.close()
        sender.connection.publish("t", b"after the end")
        await asyncio.sleep(2)
        assert taker.payloads == [b"x"]
        assert sender.ends == []

    @in_virtual_time
    async def test_an_orderly_end_is_not_lost_on_a_slow_path(self) -> None:
        broker = make_broker()
        taker = await Client(broker, "taker").connect("t")
        slow = make_path("sender", 2, Weather(delay_s=5.0))
        sender = await Client(broker, "sender", slow).connect()
        sender.connection.publish("t", b"x")
        sender.connection.close()
        await asyncio.sleep(10)
        assert taker.payloads == [b"x"]

    @in_virtual_time
    async def test_a_client_that_vanished_is_missed_within_a_silence(self) -> None:
        broker = make_broker()
        client = await Client(broker).connect("t")
        client.connection.vanish()
        there = [client.connection.there]
        await asyncio.sleep(SILENCE_S + 1)
        there.append(client.connection.there)
        assert there == [True, False]

    @in_virtual_time
    async def test_a_ghost_stays_for_ever(self) -> None:
        broker = make_broker()
        broker.manners.ghosts = True
        client = await Client(broker).connect("t")
        client.connection.vanish()
        await asyncio.sleep(100 * SILENCE_S)
        assert client.connection.there

    @in_virtual_time
    async def test_who_is_thrown_out_is_told(self) -> None:
        broker = make_broker()
        client = await Client(broker).connect(OWN)
        broker.throw_out(client.connection)
        sender = await Client(broker, "sender").connect()
        sender.connection.publish(DOWN, b"x")
        await asyncio.sleep(1)
        assert (client.ends, client.taken) == (["REFUSED"], [])


@in_virtual_time
async def test_taps_see_every_publication_and_who_sent_it() -> None:
    broker = make_broker()
    seen: list[tuple[str, bytes]] = []
    broker.taps.append(lambda source, message: seen.append((source.client, message.payload)))
    sender = await Client(broker, "sender").connect()
    sender.connection.publish("t", b"x")
    await asyncio.sleep(1)
    assert seen == [("sender", b"x")]
