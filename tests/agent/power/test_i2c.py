"""The system calls of a register read, against a kernel of our own."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from whimbrel_agent.power.i2c import KernelBus
from whimbrel_agent.power.reading import PowerReadError


class Kernel:
    """i2c-dev with one chip; the word comes as SMBus has it, low byte first."""

    def __init__(self, registers: dict[int, bytes], error: int = 0) -> None:
        self.registers, self.error = registers, error
        self.address = 0

    def ioctl(self, _bus: int, request: int, argument: Any) -> int:
        if request == 0x0703:
            if self.error == errno.EBUSY:
                raise OSError(self.error, os.strerror(self.error))
            self.address = argument
            return 0
        assert request == 0x0720
        raw = ctypes.string_at(ctypes.addressof(argument), ctypes.sizeof(argument))
        assert raw[0] == 1  # read
        assert int.from_bytes(raw[4:8], "little") == 3  # a word
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        [pointer] = memoryview(raw[8:16]).cast("Q")
        ctypes.memmove(pointer, self.registers[raw[1]], 2)
        return 0


@pytest.fixture
def any_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "i2c").touch()
    opened = os.open
    monkeypatch.setattr(os, "open", lambda _path, flags: opened(tmp_path / "i2c", flags))


@pytest.mark.usefixtures("any_device")
def test_the_high_byte_comes_first() -> None:
    kernel = Kernel({0x02: b"\xc3\x50"})
    assert KernelBus(1, kernel.ioctl).read_word(0x36, 0x02) == 0xC350
    assert kernel.address == 0x36


@pytest.mark.usefixtures("any_device")
@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EREMOTEIO, "no chip answers there"),
        (errno.EBUSY, 'a kernel driver has this chip: set source = "sysfs"'),
        (errno.EIO, "check the bus and the address"),
    ],
)
def test_an_error_names_bus_chip_and_remedy(number: int, remedy: str) -> None:
    with pytest.raises(PowerReadError) as caught:
        KernelBus(1, Kernel({}, number).ioctl).read_word(0x36, 0x02)
    assert str(caught.value).startswith(f"/dev/i2c-1, chip 0x36: {os.strerror(number)}; {remedy}")


def test_a_machine_without_the_bus_says_how_to_have_it() -> None:
    with pytest.raises(PowerReadError, match="switch I2C on"):
        KernelBus(251).read_word(0x36, 0x02)
