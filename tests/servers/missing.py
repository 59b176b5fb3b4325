"""Finding the programs of real servers; what happens when one is not there."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

# Debian keeps daemons where a plain user's PATH does not look.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find_program(name: str) -> Path:
    """The program ``name`` of this environment or of the system.

    Where it is missing the test fails in CI and is skipped elsewhere, with the remedy.
    """
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), *_SYSTEM_FOLDERS]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        missing(f"{name} is not installed: run scripts/setup-servers")
    return Path(found)


def missing(reason: str) -> NoReturn:
    """Fail in CI, where a skipped test would hide a hole; skip on a developer's machine."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
