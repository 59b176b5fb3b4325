"""Errors of the protocol package.

Two families, kept apart so that a caller can tell its own mistake from the other side's:
``LocalProtocolError`` means that this program asked for something the protocol does not
allow (nothing was sent, nothing was lost); ``RemoteProtocolError`` means that bytes from
outside break a rule. Both are ``ProtocolError``.
"""

from __future__ import annotations

__all__ = [
    "FieldError",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "WhimbrelError",
]


class WhimbrelError(Exception):
    """Base class of every error that Whimbrel raises on purpose."""


class ProtocolError(WhimbrelError):
    """A rule of the wire protocol was broken."""


class LocalProtocolError(ProtocolError):
    """This program asked for something that the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """Bytes that came from outside break a rule of the protocol."""


class FieldError(LocalProtocolError):
    """One field of an event or a message breaks a rule.

    Attributes:
        field: path of the field, such as ``data.price`` or ``type``.
        value: a short text form of the offending value (at most 80 characters).
        rule: the rule, in words, with its limit.
    """

    def __init__(self, field: str, value: object, rule: str) -> None:
        try:
            shown = repr(value)
        except (ValueError, RecursionError):  # an integer of thousands of digits, a deep list
            shown = f"a {type(value).__name__} too long to print"
        if len(shown) > 80:
            shown = shown[:77] + "..."
        super().__init__(f"{field} is {shown}: {rule}")
        self.field = field
        self.value = shown
        self.rule = rule
