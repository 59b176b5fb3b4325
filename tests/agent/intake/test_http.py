"""The intake by real requests over a real socket into a real buffer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from http.client import HTTPConnection
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import LaneConfig, Overflow
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.intake.http import MAX_ATOMIC_BYTES, MAX_WHOLE_BYTES, EventIntake
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.localhttp.message import HttpError, Request
from whimbrel_agent.localhttp.service import LocalService
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.event import Event

NDJSON = "application/x-ndjson"
JSON = "application/json"


def line(**fields: Any) -> bytes:
    return json.dumps({"type": "sale", "source": "till-3", **fields}).encode() + b"\n"


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.json: dict[str, Any] = json.loads(body)


Post = Callable[..., Any]


@pytest.fixture
async def post(buffer: Buffer) -> AsyncIterator[Post]:
    async with asyncio.TaskGroup() as group:
        service = LocalService(
            EventIntake(buffer, SystemClock()).handle,
            HttpLimits(),
            name="intake",
            host="127.0.0.1",
        )
        group.create_task(service.run())
        port = service.port
        assert port is not None

        def request(
            body: Any, media_type: str, query: str, method: str, headers: dict[str, str]
        ) -> Answer:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(
                    method,
                    f"/v1/events{query}",
                    body,
                    {"content-type": media_type, **headers},
                )
                response = connection.getresponse()
                return Answer(response.status, dict(response.headers), response.read())
            finally:
                connection.close()

        async def post_(
            body: Any,
            media_type: str = NDJSON,
            query: str = "",
            *,
            method: str = "POST",
            **headers: str,
        ) -> Answer:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await asyncio.to_thread(request, body, media_type, query, method, named)

        yield post_
        await service.stop()


async def exported(buffer: Buffer) -> list[Event]:
    return [item.event async for item in buffer.export()]


async def test_accepted_lines_are_in_the_buffer_with_their_sequences(
    buffer: Buffer, post: Post
) -> None:
    answer = await post(
        line(data={"n": 1}) + line(data={"n": 2}, lane="high") + line(data={"n": 3})
    )
    assert answer.status == 202
    epoch = str(buffer.epoch)
    assert answer.json == {
        "accepted": [
            {"epoch": epoch, "lane": "normal", "first": 1, "count": 1},
            {"epoch": epoch, "lane": "high", "first": 1, "count": 1},
            {"epoch": epoch, "lane": "normal", "first": 2, "count": 1},
        ],
        "count": 3,
        "repeated": 0,
    }
    assert sorted(event.data["n"] for event in await exported(buffer)) == [1, 2, 3]


async def test_every_form_of_a_body_gives_the_same_event(buffer: Buffer, post: Post) -> None:
    native = {"type": "sale", "source": "till-3", "time_ns": 1_000_000_000, "data": {"n": 1}}
    cloud = {
        "specversion": "1.0",
        "type": "sale",
        "source": "till-3",
        "time": "1970-01-01T00:00:01Z",
        "data": {"n": 1},
    }
    ids = iter("abcdefgh")

    def own() -> dict[str, Any]:
        return {**native, "dedup_key": next(ids)}

    def theirs() -> dict[str, Any]:
        return {**cloud, "id": next(ids)}

    headers = {f"ce_{name}": text for name, text in theirs().items() if name != "data"}
    bodies: list[tuple[Any, str, dict[str, str]]] = [
        (json.dumps(own()), JSON, {}),
        (json.dumps([own()]), JSON, {}),
        (dump_value(own()), "application/cbor", {}),
        (dump_value(own()) + dump_value(own()), "application/cbor", {}),
        (json.dumps(theirs()), "application/cloudevents+json; charset=utf-8", {}),
        (json.dumps([theirs()]), "application/cloudevents-batch+json", {}),
        (json.dumps({"n": 1}), JSON, headers),
    ]
    for body, media_type, more in bodies:
        assert (await post(body, media_type, **more)).status == 202
    found = await exported(buffer)
    assert {event.dedup_key for event in found} == set("abcdefgh")
    for event in found:
        assert (event.type, event.source, event.time_ns) == ("sale", "till-3", 1_000_000_000)
        assert (event.data, event.extensions) == ({"n": 1}, {})


async def test_one_bad_line_refuses_the_whole_body_unless_asked_otherwise(
    buffer: Buffer, post: Post
) -> None:
    body = line(data={"n": 1}) + line(lane="urgent") + b"{\n" + line(data={"n": 2})
    answer = await post(body)
    assert answer.status == 400
    assert answer.json["accepted"] == []
    assert [(bad["line"], bad["field"]) for bad in answer.json["refused"]] == [
        (2, "lane"),
        (3, "event"),
    ]
    assert answer.json["refused"][0]["value"] == "'urgent'"
    assert "must be one of" in answer.json["refused"][0]["rule"]
    assert await exported(buffer) == []

    answer = await post(body, query="?on_error=skip")
    assert answer.status == 202
    assert (answer.json["count"], answer.json["refused_count"]) == (2, 2)
    assert [(bad["line"], bad["field"]) for bad in answer.json["refused"]] == [
        (2, "lane"),
        (3, "event"),
    ]
    assert [event.data["n"] for event in await exported(buffer)] == [1, 2]


async def test_a_body_of_nothing_but_bad_lines_is_400_even_when_skipping(post: Post) -> None:
    answer = await post(b"{\n" * 300, query="?on_error=skip")
    assert answer.status == 400
    assert answer.json["refused_count"] == 300
    assert len(answer.json["refused"]) == 100


async def test_a_long_body_is_taken_in_slices_when_skipping(buffer: Buffer, post: Post) -> None:
    whole = b"".join(line(data={"n": n}) for n in range(20_000))
    assert (await post(whole)).status == 413
    answer = await post(whole, query="?on_error=skip")
    assert answer.status == 202
    assert answer.json["accepted"] == [
        {"epoch": str(buffer.epoch), "lane": "normal", "first": 1, "count": 20_000}
    ]


async def test_the_same_key_gets_the_first_answer(buffer: Buffer, post: Post) -> None:
    body = line(data={"n": 1}) + line(data={"n": 2})
    first = await post(body, idempotency_key="sale-4711")
    again = await post(body, idempotency_key="sale-4711")
    assert again.status == 202
    assert again.json["repeated"] == 2
    assert again.json["accepted"] == [{**first.json["accepted"][0], "repeated": True}]
    assert len(await exported(buffer)) == 2
    assert (await post(body, idempotency_key="sale-4712")).json["repeated"] == 0


@pytest.mark.parametrize(
    ("first", "second", "how"),
    [
        (line(data={"n": 1}), line(data={"n": 2}), (NDJSON, "")),
        (line(data={"n": 1}), line(data={"n": 2}), (NDJSON, "?on_error=skip")),
        (b" " + line(data={"n": 1}), b" " + line(data={"n": 2}), (NDJSON, "")),
        (line(), b"[" + line() + b"," + line() + b"]", (JSON, "")),
        (line(data={"n": 1}), line(data={"n": 2}), (JSON, "?on_error=skip")),
    ],
)
async def test_the_same_key_with_another_body_is_refused_by_name(
    buffer: Buffer, post: Post, first: bytes, second: bytes, how: tuple[str, str]
) -> None:
    assert (await post(first, *how, idempotency_key="sale-1")).status == 202
    refused = await post(second, *how, idempotency_key="sale-1")
    assert refused.status == 422
    assert (refused.json["field"], refused.json["value"]) == ("idempotency-key", "sale-1")
    assert "must be new for each body" in refused.json["rule"]
    assert "'sale-1'" in refused.json["error"]
    assert len(await exported(buffer)) == 1
    assert (await post(second, *how, idempotency_key="sale-2")).status == 202


@pytest.mark.parametrize("word", [b"1e999", b"NaN"])
async def test_a_number_that_no_float_holds_costs_its_event_and_no_other(
    buffer: Buffer, post: Post, word: bytes
) -> None:
    bad = b'{"type": "sale", "source": "till-3", "data": {"price": ' + word + b"}}"
    body = b"[" + line(data={"n": 1}) + b"," + bad + b"]"
    refused = await post(body, JSON)
    assert (refused.status, await exported(buffer)) == (400, [])
    taken = await post(body, JSON, "?on_error=skip")
    assert (taken.status, len(await exported(buffer))) == (202, 1)
    for answer in (refused, taken):
        (problem,) = answer.json["refused"]
        assert (problem["index"], problem["field"]) == (1, "data.price")
        assert problem["value"] == word.decode()
        assert "64-bit float" in problem["rule"]
    cloud = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t"}
    binary = await post(b'{"price": ' + word + b"}", JSON, **cloud)
    assert (binary.status, binary.json["refused"][0]["field"]) == (400, "price")


async def test_lines_after_those_of_the_first_answer_are_new_not_lost(
    buffer: Buffer, post: Post
) -> None:
    await post(line(data={"n": 1}), idempotency_key="till-3")
    more = await post(line(data={"n": 1}) + line(data={"n": 2}), idempotency_key="till-3")
    assert (more.json["count"], more.json["repeated"]) == (2, 1)
    assert [event.data["n"] for event in await exported(buffer)] == [1, 2]


async def test_what_went_in_before_a_reused_key_was_found_is_said(
    buffer: Buffer, post: Post
) -> None:
    many = [line(data={"n": n}) for n in range(2_000)]
    place = len(many) - 1
    key = {"idempotency_key": "batch"}
    await post(b"\n" * place + line(data={"n": "other"}), query="?on_error=skip", **key)
    refused = await post(b"".join(many), query="?on_error=skip", **key)
    assert refused.status == 422
    assert refused.json["place"] == place + 1
    assert refused.json["count"] == len(await exported(buffer)) - 1 >= 500


async def test_the_same_id_of_the_same_source_counts_once(buffer: Buffer, post: Post) -> None:
    body = line(dedup_key="1", data={"n": 1}) + line(dedup_key="1") + line(dedup_key="2")
    assert (await post(body)).json["repeated"] == 1
    assert (await post(line(dedup_key="1", source="till-4"))).json["repeated"] == 0
    assert len(await exported(buffer)) == 3


@pytest.mark.parametrize(
    ("body", "media_type", "query", "status"),
    [
        (b"{}", "text/plain", "", 415),
        (b"{}", "application/x-www-form-urlencoded", "", 415),
        (b"", JSON, "", 400),
        (b"[]", JSON, "", 202),
        (b"", NDJSON, "", 202),
        (b"\xff", "application/cbor", "", 400),
        (b"[]", "application/cloudevents+json", "", 400),
        (b"{}", "application/cloudevents-batch+json", "", 400),
        (b"", NDJSON, "?on_error=maybe", 400),
        (b"", NDJSON, "?onerror=skip", 400),
        (b" " * (MAX_WHOLE_BYTES + 1), JSON, "", 413),
        ((b" " * 999 + b"\n") * (MAX_ATOMIC_BYTES // 1_000 + 1), NDJSON, "", 413),
        (b" " * 600_000, NDJSON, "?on_error=skip", 413),
    ],
)
async def test_odd_requests_have_their_status(
    post: Post, body: bytes, media_type: str, query: str, status: int
) -> None:
    assert (await post(body, media_type, query)).status == status


async def test_a_compressed_body_is_refused(post: Post) -> None:
    assert (await post(b"", content_encoding="gzip")).status == 415


async def test_only_post_is_taken(post: Post) -> None:
    answer = await post(b"", method="PUT")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


async def test_a_key_over_its_limit_is_refused(post: Post) -> None:
    assert (await post(line(), idempotency_key="x" * 256)).status == 400


async def test_a_full_buffer_says_507_and_what_went_in_before(
    open_buffer: Any,
) -> None:
    buffer = await open_buffer(
        max_bytes=1024 * 1024, lanes={"normal": LaneConfig(overflow=Overflow.REFUSE)}
    )
    intake = EventIntake(buffer, SystemClock())
    body = Pieces(
        [b"".join(line(data={"noise": token_hex(300)}) for _ in range(40)) for _ in range(200)]
    )
    request = Request(
        "POST", "/v1/events", {"on_error": "skip"}, {"content-type": NDJSON}, body, local=True
    )
    with pytest.raises(HttpError) as caught:
        await intake.handle(request)
    assert caught.value.status == 507
    assert (
        caught.value.details["count"] == (await buffer.stats()).lane("normal").ledger.accepted > 0
    )


class Pieces:
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    async def piece(self) -> bytes | None:
        return next(self._pieces, None)

    async def read(self, limit_bytes: int) -> bytes:
        return b"".join(self._pieces)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "x" * 300, ""]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "source",
                    "time",
                    "time_ns",
                    "data",
                    "zone",
                    "subject",
                    "lane",
                    "dedup_key",
                    "extensions",
                    "specversion",
                    "id",
                    "data_base64",
                    "other",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=8,
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    JSON_VALUES,
    st.sampled_from(
        [JSON, NDJSON, "application/cloudevents+json", "application/cloudevents-batch+json"]
    ),
    st.sampled_from(["refuse", "skip"]),
    st.booleans(),
)
async def test_any_json_is_accepted_or_refused_by_field(
    buffer: Buffer, value: Any, media_type: str, on_error: str, complete: bool
) -> None:
    if complete and isinstance(value, dict):
        value = {"type": "t", "source": "s", "specversion": "1.0", **value}
    if complete and isinstance(value, dict) and "cloudevents" not in media_type:
        value.pop("specversion")
    body = json.dumps(value).encode()
    request = Request(
        "POST",
        "/v1/events",
        {"on_error": on_error},
        {"content-type": media_type},
        Pieces([body]),
        local=True,
    )
    try:
        response = await EventIntake(buffer, SystemClock()).handle(request)
    except HttpError as exc:
        response, details = exc.response(), exc.details
        problems = details["refused"]
        named = details["refused_count"] > 0 and all(
            bad["field"] and bad["rule"] for bad in problems
        )
    else:
        named = False
    assert (response.status, named) in {(202, False), (400, True)}
