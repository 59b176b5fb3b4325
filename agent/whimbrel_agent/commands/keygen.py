"""``whimbrel-agent keygen``."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import UsageError, guarded
from whimbrel_agent.keyfile import create_key


def run(options: argparse.Namespace) -> int:
    """Make a key file and print the public half."""
    return guarded(lambda: _make(options))


def _make(options: argparse.Namespace) -> int:
    path = options.out or _configured(options.config)
    public = create_key(path).public
    if options.json:
        print(
            json.dumps(
                {
                    "file": str(path),
                    "public_key": public.to_text(),
                    "key_id": public.key_id.hex(),
                }
            )
        )
    else:
        print(public.to_text())
    return exits.DONE


def _configured(config: Path) -> Path:
    """Find the key's path without the rest of the file, which may still lack the region's key."""
    try:
        key = tomllib.loads(config.read_text("utf-8"))["device"]["key"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"{config} names no [device] key ({exc}): name the file with --out"
        ) from exc
    if not isinstance(key, str):
        raise UsageError(f"{config}: [device] key is {key!r:.60}, must be a path")
    return config.parent / Path(key).expanduser()
