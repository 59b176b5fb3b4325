"""Building the preload library, starting children under it, and speaking to it in this process.

The library is compiled on demand, into a cache named after the hash of its source.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("recorder.c")

_FLAGS: Final = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
_FOLDER: Final = "WHIMBREL_CARD_FOLDER"
_LOG: Final = "WHIMBREL_CARD_LOG"


class PreloadError(Exception):
    """The library cannot be built here, or this process was not started under it."""


def available() -> str:
    """Return why the library cannot be built here; empty when it can."""
    if shutil.which("cc") is None:
        return "no C compiler (cc): apt-get install gcc libc6-dev, or run scripts/setup-servers"
    return ""


def build(cache_folder: Path | None = None) -> Path:
    """Return the compiled library, made now if its source has changed.

    Args:
        cache_folder: where it is kept; else a folder of this user's.

    Raises:
        PreloadError: no compiler, or it refuses the source.
    """
    folder = cache_folder or _default_cache()
    name = hashlib.sha256(SOURCE.read_bytes() + repr(_FLAGS).encode()).hexdigest()[:16]
    library = folder / f"recorder-{name}.so"
    if library.exists():
        return library
    if why := available():
        raise PreloadError(why)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        made = Path(fresh) / library.name
        done = subprocess.run(
            ["cc", *_FLAGS, "-o", made, SOURCE, "-ldl", "-lpthread"],  # noqa: S607  whichever is first
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise PreloadError(
                f"cc refuses {SOURCE.name}: {done.stderr.strip()[:2000]}; "
                "are the C library's headers there (apt-get install libc6-dev)?"
            )
        made.replace(library)  # in one step: others may be doing the same
    return library


def _default_cache() -> Path:
    kept = os.environ.get("XDG_CACHE_HOME")
    return (Path(kept) if kept else Path.home() / ".cache") / "whimbrel-sim"


def environment(
    base: Mapping[str, str] | None = None, *, folder: Path | None = None, log: Path | None = None
) -> dict[str, str]:
    """Return the environment of a child that runs under the library.

    Args:
        base: what it has otherwise; else what this process has.
        folder: watched from the child's first moment.
        log: where that folder's operations go.

    Raises:
        PreloadError: the library cannot be built.
    """
    result = dict(os.environ if base is None else base)
    others = [one for one in result.get("LD_PRELOAD", "").split(":") if one]
    ours = str(build())
    result["LD_PRELOAD"] = ":".join([ours, *(one for one in others if one != ours)])
    result.pop(_FOLDER, None)
    result.pop(_LOG, None)
    if folder is not None and log is not None:
        result[_FOLDER], result[_LOG] = str(folder.resolve()), str(log.resolve())
    return result


def loaded() -> bool:
    """Say whether this process was started under the library."""
    return hasattr(ctypes.CDLL(None), "wb_watch")


@cache
def library() -> ctypes.CDLL:
    """Return the library of this process, with the types of what Python calls.

    Raises:
        PreloadError: the process was not started with :func:`environment`.
    """
    if not loaded():
        raise PreloadError(
            "this process does not run under the recorder: start it with the environment of "
            "whimbrel_sim.cards.preload.environment()"
        )
    found = ctypes.CDLL(None, use_errno=True)
    text, count, number = ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int
    found.wb_watch.argtypes = [text, text]
    found.wb_unwatch.argtypes = [text]
    found.wb_mark.argtypes = [text, text, ctypes.c_size_t]
    found.wb_empty_log.argtypes = [text, count]
    found.wb_fault.argtypes = [text, ctypes.c_uint32, *[number] * 4, text, count]
    found.wb_clear.argtypes = [text]
    found.wb_count.argtypes = [text, number]
    found.wb_count.restype = ctypes.c_int64
    return found


def watch(folder: Path, log: Path) -> None:
    """Record a folder's operations from now on; what is open in it already is not seen.

    Raises:
        OSError: it is watched already, or the log cannot be made.
    """
    _check(library().wb_watch(os.fsencode(folder.resolve()), os.fsencode(log)), folder)


def unwatch(folder: Path) -> None:
    """Stop recording.

    Raises:
        OSError: it is not watched.
    """
    _check(library().wb_unwatch(_name(folder)), folder)


def mark(folder: Path, data: bytes) -> None:
    """Put ``data`` into the log, behind everything that has returned by now.

    Raises:
        OSError: the folder is not watched.
    """
    _check(library().wb_mark(_name(folder), data, len(data)), folder)


def empty_log(folder: Path, read_bytes: int) -> bool:
    """Empty a folder's log of which ``read_bytes`` were read; False when there are more."""
    return bool(library().wb_empty_log(_name(folder), read_bytes) == 0)


def _name(folder: Path) -> bytes:
    return os.fsencode(folder.absolute())


def _check(answer: int, folder: Path) -> None:
    if answer:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(folder))
