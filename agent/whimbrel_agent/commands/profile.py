"""``whimbrel-agent profile``: detect, show, check and calibrate firmware profiles."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import UsageError, guarded, say
from whimbrel_agent.plain import plain
from whimbrel_agent.profiles.calibration import Calibration, calibrated, fit
from whimbrel_agent.profiles.choosing import choose_profile
from whimbrel_agent.profiles.library import load_profile, names
from whimbrel_agent.profiles.measuredlog import read_log, windows
from whimbrel_agent.profiles.reading import read_profile
from whimbrel_agent.profiles.showing import profile_json, profile_table, profile_toml

__all__ = ["run"]


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
        profile = load_profile(options.profile)
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
    chosen = options.base and load_profile(options.base)
    profile = chosen or choose_profile(None, root=options.root).profile
    counters, readings = read_log(options.log)
    found = list(windows(readings, options.window))
    calibration = fit(counters, found)
    made = calibrated(profile, calibration, log=options.log.name, name=out.stem)
    with out.open("x", encoding="utf-8") as stream:
        stream.write(profile_toml(made, comment=f"{profile.name}, calibrated with {options.log}"))
    if options.json:
        print(json.dumps({**plain(calibration), "file": str(out), "base": profile.name}))
        return exits.DONE
    _print(calibration)
    say(f'{out} is written; put [device] profile = "{out}" into agent.toml')
    return exits.DONE


def _print(calibration: Calibration) -> None:
    for one in calibration.constants:
        print(f"{one.name:<18}{one.value:>12.4g} +- {one.plus_minus:<10.2g} {one.unit}")
    for name in calibration.unseen:
        print(f"{name:<18}{'-':>12}    not in the log, or never used: the profile's stays")
    print(
        f"residual {calibration.residual_w:.3g} W of {calibration.mean_w:.3g} W over "
        f"{calibration.windows} windows ({calibration.span_s / 3600:.1f} h); +- is 95 % confidence"
    )
