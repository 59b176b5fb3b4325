"""How many readings make a mode, asked without the machine."""

from __future__ import annotations

from dataclasses import replace

from whimbrel_agent.power.confirming import MAINS_BACK_S, ModeInputs, decide_mode
from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.rules import ModeRules

ON_MAINS = ModeInputs(
    mode=Mode.MAINS, known=True, reading=PowerReading(on_mains=True, percent=80), weak=False,
    rules=ModeRules(), row=(), mains_since_ns=0, now_ns=0,
)  # fmt: skip


def after(inputs: ModeInputs, reading: PowerReading, seconds: int) -> ModeInputs:
    """The inputs of the next reading, that many seconds later."""
    decided = decide_mode(replace(inputs, reading=reading))
    return replace(
        inputs, mode=decided.mode, known=inputs.known or decided.entered, row=decided.row,
        mains_since_ns=decided.mains_since_ns, now_ns=inputs.now_ns + seconds * 10**9,
    )  # fmt: skip


def test_three_readings_make_a_mode_and_the_third_enters_it() -> None:
    inputs = replace(ON_MAINS, reading=PowerReading(on_mains=False, percent=15))
    entered = []
    for _ in range(3):
        decided = decide_mode(inputs)
        entered.append(decided.entered)
        inputs = after(inputs, inputs.reading, 5)
    assert (entered, inputs.mode) == ([False, False, True], Mode.LOW)
    assert decided.reason == "on battery at 15 %, at or below 20 %"


def test_critical_takes_six_and_is_low_meanwhile() -> None:
    inputs, modes = ON_MAINS, []
    for _ in range(6):
        inputs = after(inputs, PowerReading(on_mains=False, percent=4), 5)
        modes.append(inputs.mode)
    assert modes == [Mode.MAINS] * 2 + [Mode.LOW] * 3 + [Mode.CRITICAL]


def test_mains_must_have_been_back_for_a_while() -> None:
    inputs = replace(ON_MAINS, mode=Mode.BATTERY, mains_since_ns=None)
    seconds = 0
    while inputs.mode is Mode.BATTERY:
        inputs = after(inputs, PowerReading(on_mains=True, percent=80), 10)
        seconds += 10
    assert seconds - 10 >= MAINS_BACK_S


def test_the_same_inputs_give_the_same_decision() -> None:
    assert decide_mode(ON_MAINS) == decide_mode(ON_MAINS)
