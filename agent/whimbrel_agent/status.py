"""The agent's figures at one moment: a value, its JSON form, and a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_agent.buffer.values import BufferStats
from whimbrel_agent.energy.figures import EnergyFigures, energy_lines
from whimbrel_agent.layout import columns as _columns
from whimbrel_agent.layout import line as _line
from whimbrel_agent.layout import link_lines as _link
from whimbrel_agent.layout import moment as _moment
from whimbrel_agent.layout import outlook_lines as _outlook
from whimbrel_agent.layout import size as _size
from whimbrel_agent.layout import span as _span
from whimbrel_agent.plain import plain
from whimbrel_agent.power.figures import PowerFigures
from whimbrel_agent.uplink.figures import FormerFigures, SessionFigures
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.names import Address

__all__ = ["Status", "buffer_table", "status_table"]

_NS: Final = 1_000_000_000
_ELECTRIC: Final = (("volts", "V"), ("watts", "W"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything an operator asks a device.

    Attributes:
        version: of the program.
        pid: of the running agent.
        address: tenant, region, store, device.
        key_id: names the device's key.
        started_wall_ns, wall_ns: when the agent started, and now, by the device's clock.
        clock: what is known about that clock.
        memory_bytes: resident memory.
        buffer: the buffer's figures.
        brokers: the configured brokers, in order.
        uplink: the session's figures; None before it has started.
        former: what waits for regions that the device has left.
        intakes: counters by intake.
        rules: the account of each edge rule, by name.
        raw: figures of the raw events that rules keep on the device; None when none do.
        power: mode, reason and reading; None where nobody asked.
        energy: estimated consumption and flash wear; None where they are not counted.
    """

    version: str
    pid: int
    address: Address
    key_id: bytes
    started_wall_ns: int
    wall_ns: int
    clock: ClockQuality
    memory_bytes: int
    buffer: BufferStats
    brokers: tuple[str, ...] = ()
    uplink: SessionFigures | None = None
    former: Sequence[FormerFigures] = ()
    intakes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] | None = None
    power: PowerFigures | None = None
    energy: EnergyFigures | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the machine-readable twin of the table."""
        members: dict[str, Any] = plain(self)
        buffer = members["buffer"]
        buffer["accepted"] = sum(lane["ledger"]["accepted"] for lane in buffer["lanes"])
        buffer["pending"] = sum(lane["ledger"]["pending"] for lane in buffer["lanes"])
        buffer["delivered"] = sum(lane["ledger"]["delivered"] for lane in buffer["lanes"])
        buffer["gapped"] = sum(sum(lane["ledger"]["gapped"].values()) for lane in buffer["lanes"])
        buffer["outage_left_s"] = self.buffer.outage_left_s
        buffer["drain_left_s"] = self.buffer.drain_left_s
        return members


def status_table(status: Mapping[str, Any]) -> str:
    """Give the figures as text for people.

    Args:
        status: what ``Status.to_json`` gave.
    """
    return "\n".join(
        [
            *_identity(status),
            *_power(status["power"]),
            "",
            *_uplink(status),
            *_former(status.get("former", ())),
            "",
            *_buffer(status["buffer"], status["wall_ns"]),
            *_outlook(status["buffer"]),
            *_intakes(status["intakes"]),
            *_rules(status.get("rules", {})),
            *_raw(status.get("raw")),
            *_energy(status.get("energy")),
        ]
    )


def buffer_table(buffer: Mapping[str, Any]) -> str:
    """Give the buffer's part of the table alone, without ages."""
    return "\n".join([*_buffer(buffer, None), ""])


def _identity(status: Mapping[str, Any]) -> Iterator[str]:
    address = status["address"]
    now_ns = status["wall_ns"]
    yield _line("device", _name(address))
    yield _line("key", status["key_id"])
    yield _line(
        "agent",
        f"{status['version']}, process {status['pid']}, up "
        f"{_span((now_ns - status['started_wall_ns']) / _NS)}, {_size(status['memory_bytes'])}",
    )
    yield _line("clock", f"{_moment(now_ns)}, {status['clock']}{_offset(status['uplink'])}")


def _power(power: Mapping[str, Any] | None) -> Iterator[str]:
    if power is None:
        return
    reading = power["reading"]
    facts = [f"{reading[unit]:.2f} {sign}" for unit, sign in _ELECTRIC if reading[unit] is not None]
    facts += [name.replace("_", " ") for name in ("under_voltage", "throttled") if reading[name]]
    shown = "; ".join([f"{power['mode']}: {power['reason']}", *facts])
    yield _line("power", f"{shown} ({power['source']})")
    misread = ", ".join(f"{count} {kind}" for kind, count in sorted(power["misread"].items()))
    if misread or power["failures"]:
        last = f", last: {power['last_failure']}" if power["last_failure"] else ""
        yield _line(
            "power readings",
            f"{power['readings']}, not believed: {misread or 'none'}; "
            f"{power['failures']} unanswered{last}",
        )


def _uplink(status: Mapping[str, Any]) -> Iterator[str]:
    uplink = status["uplink"]
    if uplink is None:
        yield _line("uplink", "not started")
        return
    brokers = status["brokers"]
    broker = brokers[uplink["broker"]] if uplink["broker"] < len(brokers) else "?"
    yield _line("uplink", f"{uplink['link']} ({broker}), resume {uplink['resume']}")
    yield _line("doing", uplink["doing"])
    yield _line("radio", uplink["radio"])
    if uplink["last_failure"]:
        yield _line("last failure", uplink["last_failure"])
    window = uplink["window"]
    credit = window["credit_bytes"]
    yield _line(
        "in flight",
        f"{uplink['in_flight_frames']} frames, {_size(uplink['in_flight_bytes'])} of "
        f"{_size(window['window_bytes'])}, credit {'none' if credit is None else _size(credit)}",
    )
    if window["asked"] != "full":
        yield _line("detail", f"the region asks for series of numbers to be {window['asked']}")
    yield from _link(window)


def _former(former: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in former:
        yield _line("former address", f"{_name(one['address'])}: {one['doing']}")


def _name(address: Mapping[str, str]) -> str:
    return "/".join(address[part] for part in ("tenant", "region", "store", "device"))


def _buffer(buffer: Mapping[str, Any], now_ns: int | None) -> Iterator[str]:
    share = 100 * buffer["size_bytes"] / buffer["max_bytes"]
    yield _line(
        "buffer", f"{_size(buffer['size_bytes'])} of {_size(buffer['max_bytes'])} ({share:.0f} %)"
    )
    yield _line("durability", buffer["durability"])
    yield _line("epoch", buffer["epoch"])
    if buffer["damage"]:
        damage = buffer["damage"]
        yield _line("damage", f"{damage['found']}; kept as {damage['kept_as']}")
    yield ""
    rows = [("lane", "accepted", "delivered", "gapped", "pending", "staged", "oldest")]
    for lane in buffer["lanes"]:
        ledger = lane["ledger"]
        oldest_ns = lane["oldest_wall_ns"]
        rows.append(
            (
                lane["lane"],
                str(ledger["accepted"]),
                str(ledger["delivered"]),
                str(sum(ledger["gapped"].values())),
                str(ledger["pending"]),
                str(lane["staged_events"]),
                _age(now_ns, oldest_ns),
            )
        )
    yield from _columns(rows)
    yield from _windows(buffer["lanes"])
    yield from _gaps(buffer["lanes"])


def _windows(lanes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each lane that may lose what it has answered, or has just done so."""
    for lane in lanes:
        window = lane["window"]
        if not (window["durability_s"] or window["lost_events"]):
            continue
        facts = [f"{lane['lane']}: {window['durability_s']:g} s"]
        if window["held_events"]:
            facts.append(
                f"{window['held_events']} events ({_size(window['held_bytes'])}) in memory for "
                f"{_span(window['held_s'])}"
            )
        if window["lost_events"]:
            facts.append(f"the stop before this start took at most {window['lost_events']}")
        yield _line("window", ", ".join(facts))


def _gaps(lanes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for lane in lanes:
        for reason, count in lane["ledger"]["gapped"].items():
            if count:
                yield _line("gaps", f"{count} in {lane['lane']}: {reason}")


def _intakes(intakes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, counters in intakes.items():
        shown = ", ".join(f"{count} {counter}" for counter, count in sorted(counters.items()))
        yield _line(f"intake {name}", shown or "nothing yet")


def _rules(rules: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, rule in rules.items():
        held = ", ".join(f"{count} {reason}" for reason, count in rule["suppressed"].items())
        yield _line(
            f"rule {name}",
            f"{rule['do']}: {rule['taken']} taken, {rule['passed']} passed, {rule['sent']} sent "
            f"for others, suppressed: {held or 'none'}; {rule['held']} held in {rule['series']} "
            "series",
        )


def _raw(raw: Mapping[str, Any] | None) -> Iterator[str]:
    if raw is not None:
        yield _line(
            "raw events",
            f"{_size(raw['size_bytes'])} of {_size(raw['max_bytes'])}, {raw['kept']} kept, "
            f"{raw['lost']} lost; {raw['durability']}",
        )


def _energy(energy: Mapping[str, Any] | None) -> Iterator[str]:
    if energy is not None:
        yield ""
        yield from (_line(name, text) for name, text in energy_lines(energy))


def _age(now_ns: int | None, oldest_ns: int | None) -> str:
    return "-" if now_ns is None or oldest_ns is None else _span((now_ns - oldest_ns) / _NS)


def _offset(uplink: Mapping[str, Any] | None) -> str:
    sample = uplink and uplink["clock"]
    if not sample:
        return ""
    return (
        f", region is {sample['offset_ns'] / 1e6:+.1f} ms "
        f"(within {sample['delay_ns'] / 2e6:.1f} ms)"
    )
