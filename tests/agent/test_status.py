import json
from dataclasses import replace

from whimbrel_agent.buffer.held import WindowStats
from whimbrel_agent.buffer.values import BufferStats, DamageReport, LaneStats, LedgerLine
from whimbrel_agent.power.figures import PowerFigures
from whimbrel_agent.power.modes import SETTINGS, Mode
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.status import Status, buffer_table, status_table
from whimbrel_agent.uplink.figures import LinkState, ResumeState, SessionFigures
from whimbrel_agent.uplink.offset import OffsetSample
from whimbrel_agent.uplink.window import WindowFigures
from whimbrel_protocol.lanes import LANES, ClockQuality, GapReason
from whimbrel_protocol.messages import Detail
from whimbrel_protocol.names import Address

NOW_NS = 1_795_354_000_000_000_000
ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")


def lane(name: str) -> LaneStats:
    ledger = LedgerLine(name, 10, 5, {GapReason.EVICTED: 2}, 3)
    return LaneStats(name, 1, 1, 2, 512, 0, NOW_NS - 90_000_000_000, ledger)


def status(uplink: SessionFigures | None) -> Status:
    buffer = BufferStats(
        epoch=2**62 + 1,
        lanes=tuple(lane(name) for name in LANES),
        size_bytes=3 * 1024 * 1024,
        max_bytes=64 * 1024 * 1024,
        free_bytes=36_000,
        receipted_bytes=0,
        quarantine_bytes=0,
        counters={"accepted": 40},
        damage=DamageReport("torn page", "buffer.db.damaged", 1, 2, 3),
        sealed_bytes_per_s=10.0,
        settled_bytes_per_s=14.0,
    )
    return Status(
        version="0.1.0",
        pid=7,
        address=ADDRESS,
        key_id=b"\x01" * 8,
        started_wall_ns=NOW_NS - 3_600_000_000_000,
        wall_ns=NOW_NS,
        clock=ClockQuality.SYNCED,
        memory_bytes=30 * 1024 * 1024,
        buffer=buffer,
        brokers=("mqtt://broker:1883",),
        uplink=uplink,
        intakes={"http": {"events": 40}},
    )


FIGURES = SessionFigures(
    link=LinkState.UP,
    resume=ResumeState.DONE,
    broker=0,
    last_failure="",
    generation=b"",
    in_flight_frames=2,
    in_flight_bytes=2048,
    window=WindowFigures(65_536, None, None, 3.0, ""),
    clock=OffsetSample(1_500_000, 200_000),
    counts={},
    doing="sending",
)


def test_the_json_form_survives_json_and_sums_the_ledger() -> None:
    members = json.loads(json.dumps(status(FIGURES).to_json()))
    buffer = members["buffer"]
    assert buffer["epoch"] == str(2**62 + 1)
    assert buffer["accepted"] == buffer["delivered"] + buffer["gapped"] + buffer["pending"] == 40
    assert buffer["lanes"][0]["ledger"]["gapped"] == {"evicted": 2}
    assert members["key_id"] == "01" * 8


def test_the_table_shows_what_was_measured_and_what_limits_the_link() -> None:
    window = WindowFigures(
        65_536, None, 0.1, 3.0, "", 41_000, 0.03, 0.012, 30_000.0, "links.lte", 62_500.0,
        "the cap of links.lte", 1_048_576,
    )  # fmt: skip
    text = status_table(status(replace(FIGURES, window=window)).to_json())
    for words in ("240 kbit/s, 30 ms and 12 ms in queues", "500 kbit/s, the cap of links.lte",
                  "1.0 MiB left of links.lte"):  # fmt: skip
        assert words in text


def test_the_table_names_what_an_operator_asks() -> None:
    text = status_table(status(FIGURES).to_json())
    for words in (
        "acme/eu-1/store-12/till-3",
        "up 60 min",
        "up (mqtt://broker:1883), resume done",
        "2 frames, 2.0 KiB of 64.0 KiB",
        "region is +1.5 ms (within 0.1 ms)",
        "3.0 MiB of 64.0 MiB (5 %)",
        "at 10 B a second of late, the region may be away for 60 min",
        "drained in 9 min at the rates of late",
        "every answered event is fsynced",
        "2 in critical: evicted",
        "torn page",
        "40 events",
        "90 s",
    ):
        assert words in text, words


def test_a_window_is_told_with_what_waits_and_what_it_cost() -> None:
    told = status(None)
    window = WindowStats(5.0, held_events=120, held_bytes=18_432, held_s=2.2, lost_events=84)
    lanes = [replace(one, window=window if one.lane == "bulk" else one.window)
             for one in told.buffer.lanes]  # fmt: skip
    told = replace(told, buffer=replace(told.buffer, lanes=tuple(lanes)))
    members = json.loads(json.dumps(told.to_json()))
    assert members["buffer"]["lanes"][3]["window"] == {
        "durability_s": 5.0,
        "held_events": 120,
        "held_bytes": 18_432,
        "held_s": 2.2,
        "lost_events": 84,
        "decision": "",
    }
    assert (
        "window          bulk: 5 s, 120 events (18.0 KiB) in memory for 2 s, the stop before this "
        "start took at most 84"
    ) in status_table(members).splitlines()
    assert "window" not in buffer_table(status(None).to_json()["buffer"])


def test_it_says_that_the_region_asks_for_less() -> None:
    assert "detail " not in status_table(status(FIGURES).to_json())
    window = replace(FIGURES.window, asked=Detail.SUMMARISED)
    table = status_table(status(replace(FIGURES, window=window)).to_json())
    assert "detail          the region asks for series of numbers to be summarised" in table


def power(*, under_voltage: bool | None = None, watts: float | None = None) -> PowerFigures:
    return PowerFigures(
        source="sysfs BAT0, board flags",
        mode=Mode.LOW,
        reason="on battery at 15 %, at or below 20 %",
        settings=SETTINGS[Mode.LOW],
        reading=PowerReading(
            on_mains=False, percent=15, volts=3.642, watts=watts, under_voltage=under_voltage
        ),
        read_age_s=12.5,
        readings=120,
        misread={"voltage": 2, "jump": 1},
        failures=3,
        last_failure="no chip answers",
        stopping=False,
    )


def test_power_is_told_with_its_reason() -> None:
    told = replace(status(None), power=power(watts=1.25, under_voltage=True))
    members = json.loads(json.dumps(told.to_json()))["power"]
    assert (members["mode"], members["settings"]["codec_effort"]) == ("low", "light")
    assert members["settings"]["linger_s"]["bulk"] == 3600
    lines = status_table(told.to_json()).splitlines()
    assert (
        "power           low: on battery at 15 %, at or below 20 %; 3.64 V; 1.25 W; "
        "under voltage (sysfs BAT0, board flags)"
    ) in lines
    assert (
        "power readings  120, not believed: 1 jump, 2 voltage; 3 unanswered, last: no chip answers"
    ) in lines


def test_power_readings_are_told_only_when_some_were_wrong() -> None:
    good = replace(power(), misread={}, failures=0, last_failure="")
    assert "power readings" not in status_table(replace(status(None), power=good).to_json())
    assert "power" not in status_table(status(None).to_json())


def test_an_uplink_that_has_not_started_is_said_so() -> None:
    assert "not started" in status_table(status(None).to_json())


def test_the_buffers_table_stands_alone() -> None:
    text = buffer_table(status(None).to_json()["buffer"])
    assert "durability" in text
    assert "critical" in text


def test_the_outlook_says_when_it_does_not_know() -> None:
    buffer = status(None).buffer
    assert (buffer.outage_left_s, buffer.drain_left_s) == (3600.0, 512.0)
    growing = replace(buffer, settled_bytes_per_s=9.0)
    assert growing.drain_left_s is None
    quiet = replace(buffer, sealed_bytes_per_s=0.0, settled_bytes_per_s=0.0, lanes=())
    assert (quiet.outage_left_s, quiet.drain_left_s) == (None, 0.0)
    text = status_table(replace(status(None), buffer=growing).to_json())
    assert "is not getting less" in text
    assert "nothing has come in" in status_table(replace(status(None), buffer=quiet).to_json())
