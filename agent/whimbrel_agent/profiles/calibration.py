"""Fits the energy model's constants to a measured log: pure, least squares with its confidence.

Each window of the log gives one equation, ``J = P_base t + E_wake wakes + e_B bytes + e_cpu cpu_s
+ e_w written``. A wake's energy is promotion and tail together, which no slow meter can tell
apart: the profile's promotion and tail time are kept, and the tail's draw takes the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from whimbrel_agent.leastsquares import AlikeColumnsError, Solution, solve
from whimbrel_agent.profiles.measuredlog import LogError, Window
from whimbrel_agent.profiles.reading import parse_profile
from whimbrel_agent.profiles.showing import profile_json
from whimbrel_agent.profiles.values import Basis, Figure, Profile

__all__ = ["Calibration", "Fitted", "calibrated", "fit"]

LEAST_WINDOWS_EACH: Final = 5
"""Windows per unknown; with fewer the confidence itself would be a guess."""

_CONSTANTS: Final = {
    "base": ("idle_w", "W"),
    "radio_wakes": ("wake_j", "J"),
    "bytes_up": ("up_j_per_byte", "J/byte"),
    "cpu_s": ("cpu_j_per_core_s", "J/core-s"),
    "bytes_written": ("write_j_per_byte", "J/byte"),
}
"""Regressor to the constant it fits, and its unit."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """One constant: the value lies within ``plus_minus`` of it with 95 % confidence."""

    name: str
    value: float
    plus_minus: float
    unit: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a log says.

    Attributes:
        constants: fitted, ``idle_w`` first.
        unseen: constants whose counter never rose, or is not in the log: the profile's stay.
        windows: equations.
        span_s: time covered.
        mean_w: mean draw over it.
        residual_w: root mean square of what the fit does not explain, as draw over a window.
    """

    constants: tuple[Fitted, ...]
    unseen: tuple[str, ...]
    windows: int
    span_s: float
    mean_w: float
    residual_w: float

    def constant(self, name: str) -> Fitted | None:
        """Return one constant, None when it was not fitted."""
        return next((one for one in self.constants if one.name == name), None)


def fit(counters: Sequence[str], found: Sequence[Window]) -> Calibration:
    """Fit every constant that the log can tell.

    Args:
        counters: what ``rises`` of the windows count.
        found: the windows.

    Raises:
        LogError: too few windows, or counters that always rise together.
    """
    used = [
        (place, name)
        for place, name in enumerate(counters)
        if any(window.rises[place] for window in found)
    ]
    names = ["base", *(name for _, name in used)]
    least = LEAST_WINDOWS_EACH * len(names)
    if len(found) < least:
        raise LogError(
            f"the log has {len(found)} windows, {len(names)} constants need {least}: "
            "measure longer, or with a shorter --window"
        )
    # As mean draw, so that long and short windows weigh by what a meter's error is: watts.
    rows = [[1.0, *(window.rises[place] / window.span_s for place, _ in used)] for window in found]
    draws = [window.joules / window.span_s for window in found]
    try:
        solution = solve(rows, draws)
    except AlikeColumnsError as error:
        raise LogError(
            f"{names[error.column]} rises in step with the other counters all the time, so that "
            "nothing can tell their costs apart: let the load vary while you measure"
        ) from error
    span_s = sum(window.span_s for window in found)
    return Calibration(
        constants=_constants(names, solution, len(found)),
        unseen=tuple(constant for name, (constant, _) in _CONSTANTS.items() if name not in names),
        windows=len(found),
        span_s=span_s,
        mean_w=sum(window.joules for window in found) / span_s,
        residual_w=solution.residual_rms,
    )


def _constants(names: Sequence[str], solution: Solution, count: int) -> tuple[Fitted, ...]:
    # Student's t at 95 % by the first term of its expansion about the normal quantile
    spread = 1.96 + 2.37 / (count - len(names))
    return tuple(
        Fitted(_CONSTANTS[name][0], value, spread * error, _CONSTANTS[name][1])
        for name, value, error in zip(names, solution.values, solution.errors, strict=True)
    )


def calibrated(profile: Profile, calibration: Calibration, *, log: str, name: str) -> Profile:
    """Return the profile with the fitted constants in it.

    A constant that came out below zero is within its error of zero, and becomes zero.

    Args:
        profile: gives everything else.
        log: the log's name, for the sources.
        name: of the new profile.

    Raises:
        ConfigError: a constant is out of all range, which says that the log's units are wrong.
    """
    hours = calibration.span_s / 3600

    def figure(fitted: Fitted | None, old: Figure, value: float | None = None) -> Figure:
        if fitted is None:
            return old
        return Figure(
            max(0.0, fitted.value if value is None else value),
            Basis.CALIBRATED,
            f"fitted to {log}: {hours:.1f} h, {calibration.windows} windows, "
            f"{fitted.name} {fitted.value:.4g} +- {fitted.plus_minus:.2g} {fitted.unit}"[:500],
        )

    power, radio, flash = profile.power, profile.radio, profile.flash
    idle_w = figure(calibration.constant("idle_w"), power.idle_w)
    load_w = power.load_w
    if load_w.value < idle_w.value:
        load_w = Figure(idle_w.value, Basis.DERIVED, "raised to idle_w, which was calibrated")
    wake = calibration.constant("wake_j")
    if wake is not None and radio.tail_s.value > 0:
        # a wake that costs less than the profile's promotion leaves nothing for the tail
        promotion_j = min(radio.promotion_j.value, max(0.0, wake.value))
        tail_w = (wake.value - promotion_j) / radio.tail_s.value
        radio = replace(
            radio,
            tail_w=figure(wake, radio.tail_w, tail_w),
            promotion_j=replace(radio.promotion_j, value=promotion_j),
        )
    else:
        radio = replace(radio, promotion_j=figure(wake, radio.promotion_j))
    made = replace(
        profile,
        name=name,
        title=f"{profile.title}; calibrated"[:500],
        models=(),
        power=replace(
            power,
            idle_w=idle_w,
            load_w=load_w,
            cpu_j_per_core_s=figure(
                calibration.constant("cpu_j_per_core_s"), power.cpu_j_per_core_s
            ),
        ),
        radio=replace(
            radio, up_j_per_byte=figure(calibration.constant("up_j_per_byte"), radio.up_j_per_byte)
        ),
        flash=replace(
            flash,
            write_j_per_byte=figure(
                calibration.constant("write_j_per_byte"), flash.write_j_per_byte
            ),
        ),
    )
    return parse_profile(Path(f"{name}.toml"), profile_json(made))
