"""``whimbrel-agent profile``: detect, show, check and calibrate firmware profiles."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import UsageError, guarded, say
from whimbrel_agent.plain import plain
from whimbrel_agent.profiles.calibration import Calibration, calibrated, fit
from whimbrel_agent.profiles.choosing import choose_profile
from whimbrel_agent.profiles.library import UnknownProfileError, load_profile, names
from whimbrel_agent.profiles.measuredlog import RADIO_COUNTERS, read_log, windows
from whimbrel_agent.profiles.reading import read_profile
from whimbrel_agent.profiles.showing import profile_json, profile_table, profile_toml
from whimbrel_agent.profiles.values import Profile

__all__ = ["run"]

QUIET_TAILS: Final = 1.5
"""Silence before a window's end, in tails of the base profile: yours may be somewhat longer."""


def run(options: argparse.Namespace) -> int:
    """Do one action."""
    actions = {"detect": _detect, "show": _show, "check": _check, "calibrate": _calibrate}
    return guarded(lambda: actions[options.action](options))


def _detect(options: argparse.Namespace) -> int:
    chosen = choose_profile(None, root=options.root)
    if options.json:
        print(json.dumps({"profile": chosen.profile.name, "reason": chosen.reason}))
    else:
        print(f"{chosen.profile.name} ({chosen.reason})")
    return exits.DONE


def _show(options: argparse.Namespace) -> int:
    if options.profile is None:
        profile = choose_profile(None, root=options.root).profile
    else:
        profile = _named(options.profile)
    if options.json:
        print(json.dumps(profile_json(profile)))
    else:
        print(profile_table(profile))
        print(f"\nshipped profiles: {', '.join(names())}")
    return exits.DONE


def _check(options: argparse.Namespace) -> int:
    profile = read_profile(options.file)
    if options.json:
        print(json.dumps({"file": str(options.file), "profile": profile.name, "sound": True}))
    else:
        print(f"{options.file}: sound, profile {profile.name}")
    return exits.DONE


def _calibrate(options: argparse.Namespace) -> int:
    out: Path = options.out
    if out.suffix != ".toml":
        raise UsageError(f"--out is {out}, must end in .toml")
    if not options.window > 0:
        raise UsageError(f"--window is {options.window:g} s, must be above 0")
    if options.base is None:
        profile = choose_profile(None, root=options.root).profile
    else:
        profile = _named(options.base)
    counters, readings = read_log(options.log)
    found = windows(
        readings,
        options.window,
        quiet_s=QUIET_TAILS * profile.radio.tail_s.value,
        radio=[counters.index(name) for name in RADIO_COUNTERS if name in counters],
    )
    calibration = fit(counters, list(found))
    made = calibrated(profile, calibration, log=options.log.name, name=out.stem)
    with out.open("x", encoding="utf-8") as stream:
        stream.write(profile_toml(made, comment=f"{profile.name}, calibrated with {options.log}"))
    if options.json:
        print(json.dumps({**plain(calibration), "file": str(out), "base": profile.name}))
        return exits.DONE
    _print(calibration)
    say(f'{out} is written; put [device] profile = "{out.resolve()}" into agent.toml')
    return exits.DONE


def _named(wanted: str) -> Profile:
    try:
        return load_profile(wanted)
    except UnknownProfileError as error:
        raise UsageError(str(error)) from error


def _print(calibration: Calibration) -> None:
    for one in calibration.constants:
        print(f"{one.name:<18}{one.value:>12.4g} +- {one.plus_minus:<10.2g} {one.unit}")
    for name in calibration.unseen:
        print(f"{name:<18}{'-':>12}    not in the log, or never used: the profile's stays")
    print(
        f"residual {calibration.residual_w:.3g} W of {calibration.mean_w:.3g} W over "
        f"{calibration.windows} windows ({calibration.span_s / 3600:.1f} h); +- is 95 % confidence"
    )
