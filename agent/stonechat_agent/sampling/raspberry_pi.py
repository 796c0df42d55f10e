"""Throttling of a Raspberry Pi: the firmware's word of flags, from whichever place gives it.

1. ``/dev/vcio``: the firmware's mailbox (Linux of the Raspberry Pi: drivers/char/broadcom/vcio.c). The property
   0x00030046 (GET_THROTTLED) is read; nothing is set. Its group is ``video``. It takes up to a second when the firmware
   is busy.
2. ``soc:firmware/get_throttled`` in sysfs (drivers/firmware/raspberrypi.c): the word in hexadecimal, as the kernel had
   it at its own last question, at most two seconds ago. The first reader makes the kernel log a warning with a
   call trace, so this comes second, and never where a warning is a panic.
3. hwmon's ``rpi_volt`` (drivers/hwmon/raspberrypi-hwmon.c), everywhere, and only under-voltage.

Bits 0 to 3 are what is in force now; bits 16 to 19 the same since they were last cleared, which the kernel does every
two seconds when it asks for the word itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection

from .files import File, names, read_int, read_text, whole

FLAGS = ((0x1, "under_voltage"), (0x2, "frequency_cap"), (0x4, "firmware"), (0x8, "soft_temperature_limit"))

GET_THROTTLED = 0x00030046
_SUCCESS = 0x80000000
_WORDS = struct.Struct("=7I")
# _IOWR(100, 0, char *)
_PROPERTY = 3 << 30 | struct.calcsize("P") << 16 | 100 << 8


def _ioctl(fd: int, request: int, buffer: bytearray) -> None:
    import fcntl  # not on Windows

    fcntl.ioctl(fd, request, buffer, True)


class RaspberryPi:
    """A probe of ``Throttle``."""

    def __init__(
        self, proc: str, sys: str, dev: str, ioctl: Callable[[int, int, bytearray], None] = _ioctl
    ) -> None:
        self._proc = proc
        self._sys = sys
        self._dev = dev
        self._ioctl = ioctl
        self._mailbox = -1
        self._file: File | None = None
        self._parse: Callable[[bytes], int | None] = whole

    def open(self) -> bool:
        self.close()
        if "raspberrypi," not in (read_text(f"{self._proc}/device-tree/compatible") or ""):
            return False
        try:
            self._mailbox = os.open(f"{self._dev}/vcio", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self._ask()
        except (OSError, ValueError):
            self.close()
        else:
            return True
        self._file = self._word_file() or self._alarm()
        return self._file is not None

    def _word_file(self) -> File | None:
        if read_int(f"{self._proc}/sys/kernel/panic_on_warn"):
            return None
        root = f"{self._sys}/devices/platform"
        # soc/soc:firmware up to the Raspberry Pi 4, soc@107c000000/soc@107c000000:firmware since the 5.
        for soc in names(root):
            path = f"{root}/{soc}/{soc}:firmware/get_throttled"
            if soc.startswith("soc") and os.path.exists(path):
                self._parse = _hexadecimal
                return File(path, head=32)
        return None

    def _alarm(self) -> File | None:
        root = f"{self._sys}/class/hwmon"
        for chip in names(root):
            path = f"{root}/{chip}/in0_lcrit_alarm"
            if read_text(f"{root}/{chip}/name") == "rpi_volt" and os.path.exists(path):
                self._parse = whole
                return File(path, head=32)
        return None

    def _ask(self) -> int:
        """Return the firmware's word. Raises OSError, and ValueError for another answer than one to the question."""
        # Size, request, property, size of its value, nothing, the bits to clear (none), the end.
        buffer = bytearray(_WORDS.pack(_WORDS.size, 0, GET_THROTTLED, 4, 0, 0, 0))
        self._ioctl(self._mailbox, _PROPERTY, buffer)
        _, status, answered, _, _, word, _ = _WORDS.unpack(buffer)
        if status != _SUCCESS or answered != GET_THROTTLED:
            raise ValueError(f"{self._dev}/vcio: status {status:#x}; expected {_SUCCESS:#x}")
        return int(word)

    def read(self) -> Collection[str] | None:
        if self._mailbox >= 0:
            word: int | None = self._ask()
        elif self._file is not None:
            word = self._parse(self._file.read())
        else:
            return None
        if word is None or word < 0:
            return None
        return [reason for bit, reason in FLAGS if word & bit]

    def close(self) -> None:
        if self._mailbox >= 0:
            os.close(self._mailbox)
            self._mailbox = -1
        if self._file is not None:
            self._file.close()
            self._file = None


def _hexadecimal(data: bytes) -> int | None:
    """Return the flags in force at the kernel's last question or since the one before."""
    try:
        word = int(data.strip(), 16) if len(data) <= 16 else -1
    except ValueError:
        return None
    return None if word < 0 else (word | word >> 16) & 0xF
