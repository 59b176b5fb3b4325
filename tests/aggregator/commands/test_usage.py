from __future__ import annotations

from whimbrel_aggregator.commands.status import credit_text
from whimbrel_aggregator.commands.usage import quota_text, usage_text

ONE = {
    "per": "store",
    "tenant": "acme",
    "store": "store-1",
    "device": None,
    "frames": 3,
    "events": 50,
    "bytes": 2048,
    "quota_bytes": 4096,
    "quota_events": 200,
}


def test_usage_is_a_table_with_the_part_of_the_quota() -> None:
    head, line = usage_text([ONE]).splitlines()
    assert head.split() == ["PER", "NAME", "FRAMES", "EVENTS", "BYTES", "OF", "QUOTA"]
    assert line.split()[:4] == ["store", "acme/store-1", "3", "50"]
    assert line.endswith("50.0 % of 4.0 KiB, 25.0 % of 200 events")


def test_without_a_quota_there_is_no_part_of_it() -> None:
    assert quota_text({**ONE, "quota_bytes": None, "quota_events": None}) == ""


def test_credit_is_said_with_its_reason_and_the_return() -> None:
    back = {"waiting": 0, "last_start_s": 0.0}
    flow = {"credit_bytes": 2**20, "reason": "", "returning": back}
    assert credit_text(flow) == "1.0 MiB a device"
    flow = {**flow, "credit_bytes": 0, "reason": "the journal is full"}
    assert credit_text(flow) == "0 B a device: the journal is full"
    flow = {**flow, "returning": {"waiting": 5, "last_start_s": 3.2}}
    assert credit_text(flow).endswith("; 5 devices start within 3 s")
