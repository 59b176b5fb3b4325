"""Reads 16-bit registers of chips on an I2C bus, through Linux's ``/dev/i2c-N``.

Only reads, by the SMBus "read word" of i2c-dev (the kernel's i2c/dev-interface document): the
register's number, a repeated start, two bytes. The chips here send the high byte first, SMBus
takes the low byte first, so the bytes are swapped.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from whimbrel_agent.power.reading import PowerReadError

__all__ = ["KernelBus", "RegisterBus"]

_I2C_SLAVE: Final = 0x0703
_I2C_SMBUS: Final = 0x0720
_READ: Final = 1
_WORD_DATA: Final = 3

_REMEDIES: Final = {
    errno.ENOENT: "switch I2C on: raspi-config, or dtparam=i2c_arm=on",
    errno.EACCES: "let the agent's user read it: group i2c, and DeviceAllow in the unit",
    errno.EPERM: "let the agent's user read it: group i2c, and DeviceAllow in the unit",
    errno.EBUSY: 'a kernel driver has this chip: set source = "sysfs"',
    errno.EREMOTEIO: "no chip answers there: check the HAT's seat and the address",
    errno.ENXIO: "no chip answers there: check the HAT's seat and the address",
}


class RegisterBus(Protocol):
    """Reads registers; tests bring one that behaves as the chips do."""

    def read_word(self, address: int, register: int) -> int:
        """Give a register's 16 bits, high byte first.

        Args:
            address: the chip's seven bits.
            register: its number.

        Raises:
            PowerReadError: no answer.
        """
        ...


class _Word(ctypes.Union):
    """``union i2c_smbus_data``: 34 bytes, of which a word takes two."""

    _fields_ = [("word", ctypes.c_uint16), ("block", ctypes.c_uint8 * 34)]


class _Request(ctypes.Structure):
    """``struct i2c_smbus_ioctl_data``."""

    _fields_ = [
        ("read_write", ctypes.c_uint8),
        ("command", ctypes.c_uint8),
        ("size", ctypes.c_uint32),
        ("data", ctypes.POINTER(_Word)),
    ]


class KernelBus:
    """Bus number N of this machine; opened for each look, since looks are minutes apart.

    Args:
        number: N of ``/dev/i2c-N``.
        ioctl: the system call.
    """

    def __init__(self, number: int, ioctl: Callable[..., Any] = fcntl.ioctl) -> None:
        self._path = f"/dev/i2c-{number}"
        self._ioctl = ioctl

    def read_word(self, address: int, register: int) -> int:
        """Give a register's 16 bits.

        Raises:
            PowerReadError: with the bus, the chip's address, and what to do.
        """
        try:
            bus = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                return self._ask(bus, address, register)
            finally:
                os.close(bus)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "check the bus and the address")
            raise PowerReadError(
                f"{self._path}, chip 0x{address:02x}: {error.strerror}; {remedy}"
            ) from error

    def _ask(self, bus: int, address: int, register: int) -> int:
        self._ioctl(bus, _I2C_SLAVE, address)
        word = _Word()
        self._ioctl(bus, _I2C_SMBUS, _Request(_READ, register, _WORD_DATA, ctypes.pointer(word)))
        low_first = int(word.word)
        return (low_first & 0xFF) << 8 | low_first >> 8
