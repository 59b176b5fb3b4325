"""Enrolled devices as people and programs write them: one JSON form for API and command line.

::

    {"tenant": "acme", "store": "store-12", "device": "till-3", "region": "eu-1",
     "public_key": "<base64 of 32 bytes>", "label": "till by the door"}
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from whimbrel_aggregator.ingest.strangers import Stranger
from whimbrel_aggregator.journal.port import DeviceKey, EnrolledDevice
from whimbrel_aggregator.timetext import format_time, parse_time
from whimbrel_protocol.errors import FieldError, LocalProtocolError
from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.names import check_name

FIELDS: Final = ("tenant", "store", "device", "region", "public_key", "label", "replace")
MAX_LABEL_CHARACTERS: Final = 200
PUBLIC_KEY_PATTERN: Final = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
"""Base64 of 32 bytes, in the one way that leaves no bits over."""

_PUBLIC_KEY: Final = re.compile(PUBLIC_KEY_PATTERN)
_LABEL: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,200}")


def device_of(fields: Mapping[str, Any], *, region: str, now_ns: int) -> EnrolledDevice:
    """Return the device that a request describes, enrolled now.

    Raises:
        FieldError: a field is unknown, missing, or breaks its rule.
    """
    for name in fields:
        if name not in FIELDS:
            raise FieldError(name, fields[name], f"is no field here: use {', '.join(FIELDS)}")
    key = DeviceKey(*(check_name(name, fields.get(name)) for name in ("tenant", "store", "device")))
    if fields.get("region", region) != region:
        raise FieldError("region", fields["region"], f"must be this aggregator's: {region}")
    label = fields.get("label", "")
    if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
        raise FieldError(
            "label", label, f"must be up to {MAX_LABEL_CHARACTERS} characters on one line"
        )
    if type(fields.get("replace", False)) is not bool:
        raise FieldError("replace", fields["replace"], "must be true or false")
    public_key = _public_key(fields.get("public_key"))
    return EnrolledDevice(
        key=key, region=region, public_keys=(public_key,), enrolled_ns=now_ns, label=label
    )


def device_from_json(fields: Mapping[str, Any]) -> EnrolledDevice:
    """Return the device that :func:`device_to_json` described, as far as keys and names go.

    Raises:
        FieldError: a field is missing or breaks its rule.
    """
    names = ("tenant", "store", "device")
    region = check_name("region", fields.get("region"))
    keys = fields.get("public_keys")
    if not isinstance(keys, list):
        raise FieldError("public_keys", keys, "must be a list of base64 texts")
    label, removed = fields.get("label", ""), fields.get("removed")
    if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
        raise FieldError(
            "label", label, f"must be up to {MAX_LABEL_CHARACTERS} characters on one line"
        )
    return EnrolledDevice(
        key=DeviceKey(*(check_name(name, fields.get(name)) for name in names)),
        region=region,
        public_keys=tuple(_public_key(key) for key in keys),
        enrolled_ns=parse_time("enrolled", str(fields.get("enrolled")), now_ns=0),
        removed_ns=None if removed is None else parse_time("removed", str(removed), now_ns=0),
        label=label,
    )


def device_to_json(device: EnrolledDevice) -> dict[str, Any]:
    """Return a device as a JSON object."""
    return {
        "tenant": device.key.tenant,
        "store": device.key.store,
        "device": device.key.device,
        "region": device.region,
        "public_keys": [base64.b64encode(key).decode() for key in device.public_keys],
        "label": device.label,
        "enrolled": format_time(device.enrolled_ns),
        "removed": None if device.removed_ns is None else format_time(device.removed_ns),
        "seen": format_time(device.state.seen_ns) if device.state.seen_ns else None,
        "streams": device.state.streams,
        "forks": device.state.forks,
    }


def stranger_to_json(stranger: Stranger) -> dict[str, Any]:
    """Return a device that was heard and is not enrolled; ``key_id`` is what it claims, in hex."""
    address = stranger.address
    return {
        "tenant": address.tenant,
        "region": address.region,
        "store": address.store,
        "device": address.device,
        "key_id": stranger.key_id.hex(),
        "why": stranger.why,
        "messages": stranger.messages,
        "first_heard": format_time(stranger.first_ns),
        "last_heard": format_time(stranger.last_ns),
    }


def _public_key(text: object) -> bytes:
    rule = "must be base64 of the 32 bytes that 'whimbrel-agent keygen' prints"
    if not isinstance(text, str) or _PUBLIC_KEY.fullmatch(text) is None:
        raise FieldError("public_key", text, rule)
    try:
        return PublicKey.from_text(text).raw
    except LocalProtocolError as error:
        raise FieldError("public_key", text, rule) from error
