"""``whimbrel-aggregator keygen``."""

from __future__ import annotations

import argparse
import json
import secrets
import tomllib
from pathlib import Path

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.failures import UsageError, guarded
from whimbrel_aggregator.keyfile import write_key
from whimbrel_protocol.keys import SEED_BYTES


def run(options: argparse.Namespace) -> int:
    """Make a key file and print the public half."""
    return guarded(lambda: _make(options))


def _make(options: argparse.Namespace) -> int:
    path = options.out or _configured(options.config)
    public = write_key(path, secrets.token_bytes(SEED_BYTES)).public
    if options.json:
        value = {"file": str(path), "public_key": public.to_text(), "key_id": public.key_id.hex()}
        print(json.dumps(value))
    else:
        print(public.to_text())
    return exits.DONE


def _configured(config: Path) -> Path:
    """Find the key's path; the rest of the file need not be finished yet."""
    try:
        key = tomllib.loads(config.read_text("utf-8"))["region"]["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{config} names no [region] key ({error}): name the file with --out"
        ) from error
    if not isinstance(key, str):
        raise UsageError(f"{config}: [region] key is {key!r:.60}, must be a path")
    return config.parent / key
