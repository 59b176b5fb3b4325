"""Names, addresses and partitions.

A name becomes part of topics, paths and table names, so its alphabet is the smallest one
that every broker, file system and database takes as it is. An address says where a device
stands; the partition key is (tenant, store).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from .errors import FieldError
from .limits import MAX_NAME_BYTES, PARTITIONS

NAME_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
RESERVED_NAMES: Final = frozenset({"all"})
"""``all`` addresses everything in selections, so nothing may be called that."""

_NAME_RULE: Final = (
    f"a name is 1 to {MAX_NAME_BYTES} of a-z, 0-9, _ and -, starts with a letter or digit, "
    "and is not 'all'"
)


def is_name(text: object) -> bool:
    """Say whether ``text`` may name a tenant, region, store, zone or device."""
    return (
        isinstance(text, str)
        and NAME_PATTERN.fullmatch(text) is not None
        and text not in RESERVED_NAMES
    )


def check_name(field: str, text: object) -> str:
    """Return ``text`` when it is a name.

    Raises:
        FieldError: it is not; the error names ``field``.
    """
    if not isinstance(text, str) or not is_name(text):
        raise FieldError(field, text, _NAME_RULE)
    return text


def partition_of(tenant: str, store: str) -> int:
    """Return the partition of (tenant, store), from 0 to 63.

    The first byte of SHA-256 over ``tenant/store``, modulo 64: stable for ever, so that
    aggregator replicas can each own some.
    """
    return hashlib.sha256(f"{tenant}/{store}".encode()).digest()[0] % PARTITIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one device stands: tenant, region, store and device name.

    Raises:
        FieldError: a part is not a name.
    """

    tenant: str
    region: str
    store: str
    device: str

    def __post_init__(self) -> None:
        check_name("tenant", self.tenant)
        check_name("region", self.region)
        check_name("store", self.store)
        check_name("device", self.device)

    @property
    def partition(self) -> int:
        """The partition (0 to 63) that this address belongs to."""
        return partition_of(self.tenant, self.store)

    def __str__(self) -> str:
        return f"{self.tenant}/{self.region}/{self.store}/{self.device}"
