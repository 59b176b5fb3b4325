"""How long the uplink waits for what, and how often it asks."""

from __future__ import annotations

from typing import Final

FIRST_ASK_S: Final = 3.0
"""Wait for the answer to a resume before it is asked again; doubles up to ``MAX_ASK_S``."""

MAX_ASK_S: Final = 20.0
"""A resume is some 200 bytes: asking this often while no region answers costs 1 MB a day, and a
region that comes back is found at once."""

OPEN_NONCES: Final = 4
"""Answers to so many of the latest questions are taken: a slow link answers the one before."""

ASKS_PER_BROKER: Final = 6
"""Unanswered resumes after which the next broker of the list is tried (about 80 s)."""

ASKS_PER_LINK: Final = 12
"""The same for a single one (200 s): a subscription that it lost comes back with a new link."""

REFRESH_S: Final = 900.0
"""An idle device asks this often: a region that was restored from a backup meanwhile has no other
way to tell it that something must come again. About 40 kB a day."""

AWAY_S: Final = 60.0
"""Who has not heard the region for so long is coming back, perhaps with thousands of others, and asks
before it sends: the answer says when to start. The region counts the same time."""

REST_GAP_S: Final = 5.0
"""Between an answer and the question about the rest of the streams."""

REST_AGAIN_S: Final = 60.0
"""Where nobody answers about the rest (a former address may be gone), it is asked about again
after this; meanwhile the present address goes on."""

MAX_HOLD_S: Final = 900.0
"""The region may keep us quiet this long at once; an enrolment is noticed within it."""
