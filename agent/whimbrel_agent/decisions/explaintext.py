"""What waits for what, and the last decisions, as text for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

from whimbrel_agent.layout import columns, line, link_lines, moment, outlook_lines, size, span

__all__ = ["explain_text"]

SHOWN: Final = 3
"""Decisions of each decider that are shown, the newest; ``--json`` has all that are kept."""

_HEADS: Final = ("lane", "share", "unsealed", "sealed in", "frames", "bytes", "in flight")


def explain_text(told: Mapping[str, Any]) -> str:
    """Give an explanation as text.

    Args:
        told: what ``Explanation.to_json`` gave.
    """
    return "\n".join(
        chain(_plans(told), [""], _lanes(told["lanes"]), [""], _decisions(told["decisions"]))
    )


def _plans(told: Mapping[str, Any]) -> Iterator[str]:
    power, radio, uplink = told["power"], told["radio"], told["uplink"]
    window = uplink["window"]
    yield line("now", moment(told["wall_ns"]))
    yield line("power", f"{power['mode']}: {power['reason']}")
    yield line("radio", radio["doing"])
    if radio["plan"]["sessions_per_h"] is not None:
        yield line("radio plan", _plan(radio["plan"]))
    yield line("sealing", told["sealing"])
    same = uplink["doing"] == radio["doing"]
    yield line("uplink", uplink["link"] if same else f"{uplink['link']}: {uplink['doing']}")
    yield line("link class", window["link_class"])
    yield from link_lines(window)
    if window["probing"]:
        yield line("credit", window["probing"])
    elif window["credit_bytes"] is not None:
        yield line("credit", f"{size(window['credit_bytes'])} may be in flight")
    yield from outlook_lines(told["outlook"])


def _plan(plan: Mapping[str, Any]) -> str:
    held = "stays connected" if plan["stay_connected"] else "lets go of the link"
    tail = f", awake for {plan['tail_s']:g} s after each use" if plan["tail_s"] else ""
    return f"at most {plan['sessions_per_h']:g} sessions an hour, {held} between them{tail}"


def _lanes(lanes: list[Mapping[str, Any]]) -> Iterator[str]:
    yield from columns([_HEADS, *map(_row, lanes)])
    for lane in lanes:
        if lane["why"]:
            soon = "" if lane["goes_in_s"] is None else f", in {span(lane['goes_in_s'])}"
            yield line(f"next {lane['lane']}", f"{lane['why']}{soon}")


def _row(lane: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        lane["lane"],
        "-" if lane["share"] is None else str(lane["share"]),
        _unsealed(lane),
        "-" if lane["sealed_in_s"] is None else span(lane["sealed_in_s"]),
        str(lane["frames"]),
        size(lane["frame_bytes"]),
        str(lane["in_flight_frames"]),
    )


def _unsealed(lane: Mapping[str, Any]) -> str:
    if lane["batch_events"] is None:
        return "0"
    return f"{lane['unsealed_events']} of {lane['batch_events']}"


def _decisions(decisions: list[Mapping[str, Any]]) -> Iterator[str]:
    if not decisions:
        yield "nothing was decided yet"
        return
    yield "the last decisions, newest first:"
    shown: Counter[str] = Counter()
    for one in reversed(decisions):
        shown[one["by"]] += 1
        if shown[one["by"]] <= SHOWN:
            yield f"{moment(one['wall_ns'])}  {one['by']:<10}  {_words(one)}"


def _words(one: Mapping[str, Any]) -> str:
    """Say what was decided, and why."""
    decision = one["decision"]
    named = {
        "power": "{mode}", "link class": "{name}", "retry": "again in {delay_s:.1f} s",
        "codec": "{codec}, {level}",
    }.get(one["by"])  # fmt: skip
    return str(one["reason"]) if named is None else f"{named.format(**decision)}: {one['reason']}"
