"""The small stories in which planted faults are found; without the fault their worlds are sound."""

from __future__ import annotations

from typing import Final

LOAD: Final = """
[[load]]
every_s = 4
"""

LYING_BROKER: Final = f"""
story = "A broker that drops, doubles and lets messages overtake each other."
duration_s = 120
drain_s = 300
{LOAD}
[[fault]]
kind = "broker.drop"
for_s = 120
drop = 0.4
[[fault]]
kind = "broker.duplicate"
for_s = 120
duplicate = 0.5
[[fault]]
kind = "link.reorder"
on = "each"
for_s = 120
reorder = 0.5
"""

KILLS: Final = f"""
story = "Everything is killed again and again."
duration_s = 120
drain_s = 300
{LOAD}
[[fault]]
kind = "machine.kill"
on = "each"
at_s = [10, 110]
times = 3
down_s = 2
"""

CUTS: Final = f"""
story = "The first device loses its link."
duration_s = 60
drain_s = 120
{LOAD}
[[fault]]
kind = "link.reset"
on = "store-1-1/till-1"
at_s = [10, 50]
"""

LEARNING: Final = """
story = "A device learns a dictionary and what goes together."
duration_s = 60
drain_s = 120
[fleet]
devices = 1
[agent.buffer]
dictionaries = true
[[load]]
every_s = 1
events = 20
articles = 30
steady = true
"""

BACKUP: Final = f"""
story = "A region's disk dies and a backup comes back."
duration_s = 120
drain_s = 300
{LOAD}
[[fault]]
kind = "region.old_journal"
at_s = 20
for_s = 60
"""

CLONE: Final = """
story = "A second machine runs from a copy of a card, and what the first one says is not heard."
duration_s = 120
drain_s = 300
[fleet]
devices = 1
[[load]]
every_s = 4
events = 1
[[fault]]
kind = "machine.stop"
on = "store-1-1/till-1"
at_s = 20
down_s = 10
[[fault]]
kind = "card.clone"
on = "store-1-1/till-1"
at_s = 25
[[fault]]
kind = "link.up_cut"
on = "store-1-1/till-1"
at_s = 40
for_s = 60
"""

MOVE: Final = """
story = "A till is moved to another region before it has sent everything."
duration_s = 300
drain_s = 300
[fleet]
regions = 2
devices = 1
[[load]]
every_s = 5
events = 1
[[fault]]
kind = "link.cut"
on = "each"
at_s = 20
for_s = 200
[[fault]]
kind = "device.move"
on = "store-1-1/till-1"
at_s = [60, 200]
"""

NEIGHBOUR: Final = f"""
story = "A hostile neighbour."
duration_s = 90
drain_s = 300
{LOAD}
[[fault]]
kind = "enemy"
at_s = 10
for_s = 80
every_s = 15
"""

OFFLINE: Final = """
story = "A device with a small card has no link."
duration_s = 120
drain_s = 600
[fleet]
devices = 1
[[load]]
every_s = 0.5
padding_bytes = 16000
[[fault]]
kind = "link.cut"
on = "store-1-1/till-1"
at_s = 5
for_s = 110
"""


RULED: Final = """
story = "A device that sums up its readings is killed again and again."
duration_s = 120
drain_s = 300
[fleet]
devices = 1
[[agent.rules]]
name = "means"
when = 'type == "reading"'
do = "window"
fields = ["v"]
window_s = 10
[[load]]
every_s = 1
keyed = true
ruled = true
[[fault]]
kind = "machine.kill"
on = "store-1-1"
at_s = [10, 110]
times = 3
down_s = 2
"""

BACKLOG: Final = """
story = "A device comes back on a narrow line with a backlog that takes minutes."
duration_s = 420
drain_s = 600
[fleet]
devices = 1
[agent.lanes.normal]
order = "live-first"
[[load]]
every_s = 2
events = 4
padding_bytes = 4000
[[fault]]
kind = "link.bandwidth"
on = "store-1-1"
for_s = 420
bandwidth_bytes_s = 6000
[[fault]]
kind = "link.cut"
on = "store-1-1"
at_s = 10
for_s = 200
told = 1
[[expect]]
lane = "normal"
from_s = 210
within_s = 30
"""

WEAR: Final = f"""
story = "Devices keep low lanes in memory for five seconds, and are killed again and again."
duration_s = 120
drain_s = 300
[agent.lanes.high]
durability_s = 5
[agent.lanes.normal]
durability_s = 5
[agent.lanes.bulk]
durability_s = 5
{LOAD}
[[load]]
lane = "bulk"
every_s = 3
[[load]]
lane = "high"
every_s = 10
keyed = true
[[fault]]
kind = "machine.kill"
on = "devices"
at_s = [10, 110]
times = 3
down_s = 2
[[fault]]
kind = "link.cut"
on = "devices"
at_s = [10, 90]
for_s = [5, 30]
"""
