"""Whether a frame of our own is still what we sealed. Pure."""

from __future__ import annotations

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.keys import PublicKey


def fault_of(data: bytes, frame: FrameRef, key: PublicKey) -> str | None:
    """Return what is wrong with a frame's bytes, or None when the region should take them.

    A frame signed by an earlier key of this device is not faulty: its signature cannot be
    checked here, and an operator may still have that key enrolled.
    """
    try:
        opened = open_frame(data)
        if opened.key_id == key.key_id:
            opened.verify(key)
    except ProtocolError as error:
        return f"own check failed: {error}"
    header = opened.header
    sealed = (header.address, header.epoch, header.lane, header.first, header.span)
    if sealed != (frame.address, frame.epoch, frame.lane, frame.first, frame.span):
        return "own check failed: the header names another frame"
    return None
