"""The parts of the trial, and which line must find which planted fault. Pure."""

from __future__ import annotations

from typing import Final

PARTS: Final = ("power", "link", "sink", "quota")

PLANTED: Final = {
    "misreads-believed": ("power", "misreads stop nothing and change no mode"),
    "modes-ignored": ("power", "bulk waits"),
    "second-ignored": ("link", "in flight is at most a second of the measured rate"),
    "credit-ignored": ("sink", "agents spool what comes"),
    "breaker-stays-closed": ("sink", "the breaker of a hanging sink opens"),
    "rate-not-counted": ("quota", "10 times the quota are admitted at the quota, within 5%"),
    "usage-not-stored": ("quota", "the counters survive a restart"),
}
"""By planted fault: the part that must find it, and the line that must fail there."""
