"""Every limit of the wire protocol, each with its reason.

A limit is checked on the way out (``LocalProtocolError``) and on the way in
(``RemoteProtocolError``); sizes that a sender declares are checked before anything is
decompressed or allocated.
"""

from __future__ import annotations

from typing import Final

MAX_PAYLOAD_BYTES: Final = 120_000
"""A whole MQTT payload; below the 128 KiB of the strictest large cloud broker."""

TARGET_FRAME_BYTES: Final = 16 * 1024
"""What sealing aims at: an urgent frame must not wait long behind one of these."""

MAX_FRAME_EVENTS: Final = 10_000
"""Events in one frame; bounds what a consumer must hold to read one."""

MAX_SEAL_EVENTS: Final = 1_000
"""Events an agent seals at once; 10,000 would double its resident memory."""

MAX_SPAN: Final = 2**40
"""Sequences one frame may cover; a gap frame after long outages covers many."""

MAX_INNER_GAPS: Final = 1_000
"""Gap entries inside one frame; beyond this the frame is split."""

MAX_EVENT_BYTES: Final = 64 * 1024
"""One event in its canonical CBOR form."""

MAX_FRAME_RAW_BYTES: Final = 4 * 1024 * 1024
"""Columns of one frame before compression: 35 times a full payload. A claim beyond it is
refused before a byte is decompressed (6 kB of zstd can claim 200 MB)."""

MAX_DEPTH: Final = 16
"""Nesting of lists and maps in one value; keeps every walker's stack shallow."""

MAX_BIG_INT_BITS: Final = 256
"""Integers beyond 64 bits are carried exactly up to this size (hashes, ledgers)."""

MAX_DECIMAL_DIGITS: Final = 76
"""Digits of a decimal's coefficient (what 256 bits hold); its exponent is within +-6144,
the range of IEEE 754 decimal128."""

MAX_DECIMAL_EXPONENT: Final = 6_144

MAX_KEY_BYTES: Final = 256
"""A map key, a type, a source, a subject or an extension name, in UTF-8 bytes."""

MAX_DATA_KEYS: Final = 1_024
"""Keys in one map; bounds the number of columns a frame can make a reader open."""

MAX_DEDUP_KEY_BYTES: Final = 256
"""A producer's own idempotency key."""

MAX_NAME_BYTES: Final = 32
"""tenant, region, store, device, zone: they become paths, topics and table names."""

MAX_TOPIC_BYTES: Final = 256
MAX_TOPIC_SLASHES: Final = 7
"""The strictest common cloud broker allows seven slashes and 256 bytes."""

PARTITIONS: Final = 64
"""(tenant, store) hashes into this many; a protocol constant, never a setting."""

MAX_RECEIPT_ENTRIES: Final = 256
"""Frames one receipt message may name; keeps it under 8 KiB."""

MAX_RESUME_STREAMS: Final = 256
"""(epoch, lane) pairs one resume may ask about."""

MAX_RANGES_PER_STREAM: Final = 64
"""Separate sequence ranges the region keeps per stream; past it the answer is to fill the
lowest hole first."""

MAX_STREAMS_PER_DEVICE: Final = 4_096
"""(epoch, lane) pairs the region keeps per device: a restart every night for over five
years on two lanes; beyond it the oldest are folded into a floor."""

MAX_DICTIONARY_BYTES: Final = 32 * 1024
"""One dictionary. Trained on frames of 20 events 16 KiB do most of what can be done, 32 KiB give
three per cent more for rows with many different texts, 64 KiB less than one more."""

MAX_TABLES_BYTES: Final = 64 * 1024
"""The tables in one dictionary: about 2,000 articles with their descriptions and prices. Packed they are
a third of that, which one message carries with the rest; as objects of a reader half a megabyte."""

MAX_TABLES: Final = 64
MAX_TABLE_COLUMNS: Final = 16
MAX_TABLE_ROWS: Final = 4_096
"""Tables in one dictionary, and columns that follow and rows in one table."""

MAX_TABLE_VALUES: Final = 16_384
"""Values in all tables of a dictionary (rows times columns, the known one included): a constant column
costs a few bytes for any number of rows, so bytes alone would let 1 kB become 60 MB of objects."""

MAX_FORMULAS: Final = 16
MAX_FORMULA_DEGREE: Final = 6
"""Formulas in one dictionary, and the highest power in one: 28 products for each number."""

MAX_ROSTER: Final = 512
"""Series in one dictionary: a small frame says in a byte or so of each four whether it has events."""

MAX_HISTOGRAMS: Final = 128
MAX_HISTOGRAM_BINS: Final = 1_024
MAX_BINS: Final = 4_096
"""Histograms in one dictionary, bins in one, and in all of them: some 40 streams of a store have 300."""

MAX_STREAM_NUMBER: Final = 1_023
"""Of a stream in its column, where a histogram says what it was learned from."""

MAX_FRAME_COMPUTED: Final = 1_024
"""Computed columns in one frame: each is a hundred times the work of a constant one, however few its
values."""

MAX_DICTIONARIES_NAMED: Final = 64
"""Dictionaries named in one message of the region, and kept there for one device at most."""

MAX_NAMED_ZONES: Final = 3
"""Zones named in a frame's header, so that who wants another need not decode it. A frame of more
says that only: ten names are 70 bytes, and such a frame has something for most who look."""

MAX_FRAME_VALUES: Final = 1_000_000
"""Values (events times keys) in one frame. A constant column costs a few bytes for any number
of events, so bytes alone would let 6 kB claim ten million values."""

MAX_FRAME_CBOR_BYTES: Final = 1024 * 1024
"""CBOR inside the columns of one frame (nested lists and maps). One byte of CBOR can become
72 bytes of Python objects (an empty map), so this holds a reader under about 80 MB."""

MAX_FRAME_ROWS_BYTES: Final = 64 * 1024 * 1024
"""The texts and keys of a frame's events in characters, each counted in every event: 1,000
events of the largest size. A constant column costs nothing, so without this limit a payload of
1 kB could make a consumer write 640 MB."""
