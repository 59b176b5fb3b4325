"""The words: a fixed prefix that lets one event alone refer to what many events say.

A frame of one event repeats hardly anything inside itself; most of its bytes are the names of
fields. The names that stores and their sensors use most are in this list, so that a match costs
three bytes instead of a name. It is general on purpose: what one fleet says beyond it belongs
into dictionaries.

The list is part of the wire format: never changed, only followed by another under another
codec. ``protocol/vectors/words.json`` has it for other implementations.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PREFIX", "WORDS"]

_TEXT: Final = """
temperature humidity pressure illuminance light noise motion presence occupied co2 pm2_5 voc
battery battery_mv battery_percent voltage current power energy_wh charging solar
latitude longitude altitude speed heading distance_mm level volume flow weight_g length width
door door_open window opened closed entrance exit count total in out people visitors queue waiting
fridge freezer set_point compressor defrost fan pump valve heater alarm alert warning error fault
state status online offline on off open true false value unit quality minimum maximum average
reading measurement climate sensor device source location zone room floor aisle shelf backroom
front cold store till register receipt basket line item article product sku barcode ean name
category brand quantity price unit_price amount net gross tax tax_rate discount currency EUR USD
payment card cash voucher refund sale transaction cashier customer loyalty order stock move
inventory delivery refill waste returns reason reference from to supplier expiry batch serial
label tag epc antenna scanner printer display screen playlist campaign content duration_s
interval_s start end time timestamp date created updated id type kind code number version message
text note description user operator shift rssi snr signal network link ip address firmware boot
machine.metrics cpu_percent load_1m memory_percent memory_free_bytes swap_percent disk_percent
disk_free_bytes uptime_s agent_memory_bytes disk_written_bytes net_sent_bytes net_received_bytes
temperature_c
request response
"""

WORDS: Final[tuple[str, ...]] = tuple(_TEXT.split())
"""In no order that matters, each once, ASCII, shorter than 24 characters."""

PREFIX: Final = b"".join(bytes((0x60 | len(word),)) + word.encode("ascii") for word in WORDS)
"""The words as CBOR texts one after the other: as they stand in a row, heads and all."""
