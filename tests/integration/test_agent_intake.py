"""Tills, brokers and command lines against real agent processes that are killed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from servers.agent import AgentServer
from servers.mosquitto import MosquittoServer
from servers.waiting import wait_until

NDJSON = "application/x-ndjson"
CLOUD_EVENT = "application/cloudevents+json"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentServer]:
    with AgentServer(tmp_path / "agent") as server:
        yield server


def post(
    agent: AgentServer, body: bytes, media_type: str = NDJSON, **headers: str
) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", agent.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/v1/events", body, {"content-type": media_type, **named})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def sale(number: int) -> bytes:
    event = {"type": "sale", "source": "till-3", "data": {"number": number}}
    return json.dumps(event).encode() + b"\n"


def cloud_sale(number: int) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"sale-{number}",
            "source": "/tills/3",
            "type": "sale",
            "data": {"number": number},
        }
    ).encode()


def test_a_till_that_times_out_and_posts_again_sells_once_across_a_kill(
    agent: AgentServer,
) -> None:
    status, first = post(agent, sale(1) + sale(2), idempotency_key="order-1")
    assert (status, first["repeated"]) == (202, 0)
    status, first_cloud = post(agent, cloud_sale(3), CLOUD_EVENT)
    assert (status, first_cloud["repeated"]) == (202, 0)

    # the answers never reached the till; the agent dies; the till posts again
    agent.restart()
    status, again = post(agent, sale(1) + sale(2), idempotency_key="order-1")
    assert (status, again["repeated"]) == (202, 2)
    assert again["accepted"] == [{**first["accepted"][0], "repeated": True}]
    status, again = post(agent, cloud_sale(3), CLOUD_EVENT)
    assert (status, again["repeated"]) == (202, 1)
    assert again["accepted"] == [{**first_cloud["accepted"][0], "repeated": True}]

    # and after an orderly stop as well
    agent.stop()
    agent.start()
    assert post(agent, cloud_sale(3), CLOUD_EVENT)[1]["repeated"] == 1
    assert post(agent, sale(4), idempotency_key="order-2")[1]["repeated"] == 0
    assert [event["data"]["number"] for event in agent.events()] == [1, 2, 3, 4]


def test_whatever_was_answered_before_a_kill_is_there_after_it(agent: AgentServer) -> None:
    answered: list[int] = []

    def sell() -> None:
        for number in range(1_000_000):
            try:
                status, _ = post(agent, sale(number))
            except (OSError, HTTPException):
                return
            if status == 202:
                answered.append(number)

    till = threading.Thread(target=sell)
    till.start()
    wait_until(lambda: len(answered) > 100, timeout_s=30, what="a hundred sales")
    agent.kill()
    till.join()
    agent.start()
    kept = [event["data"]["number"] for event in agent.events()]
    assert kept[: len(answered)] == answered
    assert len(kept) <= len(answered) + 1  # one may have been durable and not answered yet
    assert agent.run_command("buffer", "verify").returncode == 0


def test_a_second_agent_on_the_same_buffer_refuses_to_start(agent: AgentServer) -> None:
    done = agent.run_command("run")
    assert done.returncode == 4
    assert str(agent.pid) in done.stderr.decode()


# ------------------------------------------------------------------------------------ MQTT intake


class Sensor:
    """Publishes numbers at QoS 1 and knows which of them the broker has taken."""

    def __init__(self, broker: MosquittoServer) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="sensor")
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(1_000)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def publish(self, numbers: range) -> None:
        sent = [
            self._client.publish("sensors/door", json.dumps({"number": number}), qos=1)
            for number in numbers
        ]
        for info in sent:
            info.wait_for_publish(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def mqtt_agent(folder: Path, broker: MosquittoServer) -> AgentServer:
    more = f'[intake.mqtt]\nbroker = "{broker.url}"\ntopics = ["sensors/#"]\n'
    return AgentServer(folder, more=more)


def taken(agent: AgentServer) -> int:
    return int(agent.status()["intakes"]["mqtt"].get("messages", 0))


def test_nothing_that_was_acknowledged_to_the_local_broker_is_lost_in_kills(
    tmp_path: Path,
) -> None:
    settings = {"max_queued_messages": 0, "max_inflight_messages": 20}
    with (
        MosquittoServer(tmp_path / "mosquitto", settings=settings) as broker,
        mqtt_agent(tmp_path / "agent", broker) as agent,
    ):
        wait_until(lambda: subscribed(agent), timeout_s=30, what="the subscription")
        sensor = Sensor(broker)
        total, step = 4_500, 1_500
        sensor.publish(range(step))  # enough to learn how this broker counts
        for first in range(step, total, step):
            publishing = threading.Thread(target=sensor.publish, args=(range(first, first + step),))
            publishing.start()
            before = taken(agent)
            wait_until(lambda: taken(agent) > before + 50, timeout_s=30, what="messages")  # noqa: B023
            agent.restart()
            publishing.join()
        wait_until(lambda: delivered(agent) >= total, timeout_s=60, what="every message")
        sensor.close()
        numbers = [event["data"]["number"] for event in agent.events()]
        assert sorted(set(numbers)) == list(range(total))
        # repetitions that the broker marked are recognised, over kills too
        assert [number for number, count in Counter(numbers).items() if count > 1] == []


def subscribed(agent: AgentServer) -> bool:
    return bool(agent.status()["intakes"]["mqtt"].get("links_made", 0))


def delivered(agent: AgentServer) -> int:
    return int(agent.status()["buffer"]["accepted"])


def test_a_bad_message_is_counted_and_does_not_come_back(tmp_path: Path) -> None:
    with (
        MosquittoServer(tmp_path / "mosquitto") as broker,
        mqtt_agent(tmp_path / "agent", broker) as agent,
    ):
        wait_until(lambda: subscribed(agent), timeout_s=30, what="the subscription")
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect(broker.host, broker.port)
        client.loop_start()
        for payload in (b"", b'{"type": "", "source": "x"}', b'{"type":"t","source":"s","z":1}'):
            client.publish("sensors/bad", payload, qos=1).wait_for_publish(20)
        client.publish("sensors/good", b'{"open": true}', qos=1).wait_for_publish(20)
        client.publish("sensors/text", b"online", qos=1).wait_for_publish(20)
        client.publish("sensors/bytes", b"\xff\xfe", qos=1).wait_for_publish(20)
        client.disconnect()
        client.loop_stop()
        wait_until(lambda: taken(agent) == 6, timeout_s=30, what="six messages")
        wait_until(lambda: delivered(agent) == 3, timeout_s=30, what="three events")
        assert agent.status()["intakes"]["mqtt"]["bad"] == 3
        assert [(event["source"], event["data"]) for event in agent.events()] == [
            ("sensors/good", {"open": True}),
            ("sensors/text", {"text": "online"}),
            ("sensors/bytes", {"bytes": "fffe"}),
        ]
        agent.restart()
        wait_until(lambda: subscribed(agent), timeout_s=30, what="the subscription again")
        assert delivered(agent) == 3


# ------------------------------------------------------------------------------------ commands


def test_events_from_the_command_line_reach_the_running_agent(agent: AgentServer) -> None:
    arguments = ["emit", "--type", "t", "--source", "s", "--id", "7", "n:int=3", "name=a=b"]
    first = agent.answer_of(*arguments)
    assert agent.answer_of(*arguments)["repeated"] == 1
    assert first["accepted"][0]["first"] == 1
    (event,) = agent.events()
    assert event["data"] == {"n": 3, "name": "a=b"}
    assert agent.status()["buffer"]["accepted"] == 1


def test_a_pipe_is_taken_and_its_bad_lines_are_named(agent: AgentServer) -> None:
    lines = b"".join(sale(number) for number in range(1_200)) + b"{bad}\n" + sale(1_200)
    done = agent.run_command("emit", "--stdin", given=lines)
    assert done.returncode == 1
    assert b"1201 events accepted, 1 lines refused" in done.stdout
    assert b"line 1201: event is" in done.stderr
    assert [event["data"]["number"] for event in agent.events()] == list(range(1_201))


def test_without_an_agent_events_go_into_its_buffer(tmp_path: Path) -> None:
    agent = AgentServer(tmp_path / "agent")
    assert agent.run_command("status").returncode == 3
    assert agent.run_command("drain").returncode == 3
    agent.answer_of("emit", "--type", "t", "--source", "s")
    assert agent.answer_of("emit", "--stdin", given=sale(1) + sale(2))["count"] == 2
    assert agent.answer_of("buffer", "verify")["events"] == 3
    with agent:
        assert len(agent.events()) == 3


def test_a_cbor_export_is_taken_back_by_the_intake(agent: AgentServer) -> None:
    arguments = ["emit", "--type", "t", "--source", "s", "price:decimal=1.10"]
    agent.answer_of(*arguments)
    done = agent.run_command("buffer", "export", "--format", "cbor")
    status, _ = post(agent, done.stdout, "application/cbor-seq")
    assert status == 202
    first, second = agent.events()
    assert first["data"] == second["data"] == {"price": "1.10"}


def test_status_and_buffer_print_the_same_figures_for_people_and_programs(
    agent: AgentServer,
) -> None:
    agent.answer_of("emit", "--type", "t", "--source", "s")
    status = agent.answer_of("status")
    assert status["buffer"]["accepted"] == status["buffer"]["pending"] == 1
    text = agent.run_command("status").stdout.decode()
    assert "acme/eu-1/store-12/till-3" in text
    assert "every answered event is fsynced" in text
    inspected = agent.answer_of("buffer", "inspect")
    assert inspected["buffer"]["epoch"] == status["buffer"]["epoch"]
    assert agent.run_command("buffer", "inspect").returncode == 0


def test_a_drain_without_a_region_ends_at_its_deadline(agent: AgentServer) -> None:
    agent.answer_of("emit", "--type", "t", "--source", "s")
    done = agent.run_command("drain", "--timeout", "0.1", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["pending"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["emit"], 2, "--type and --source"),
        (["emit", "--type", "t", "--source", "s", "novalue"], 2, "KEY=VALUE"),
        (["emit", "--type", "t", "--source", "s", "n:int=x"], 2, "of kind int"),
        (["emit", "--type", "t", "--source", "s", "--lane", "urgent"], 1, "must be one of"),
        (["emit", "--type", "t", "--source", "s", "--time", "now"], 1, "RFC 3339"),
        (["import", "missing.csv", "--type", "t"], 1, "missing.csv"),
        (["import", "agent.toml", "--type", "t"], 2, "--format"),
        (["keygen"], 2, "not overwritten"),
        (["nonsense"], 2, "usage"),
    ],
)
def test_wrong_arguments_end_with_their_status_and_a_remedy(
    agent: AgentServer, arguments: list[str], status: int, words: str
) -> None:
    done = agent.run_command(*arguments)
    assert done.returncode == status
    assert words in done.stderr.decode()
