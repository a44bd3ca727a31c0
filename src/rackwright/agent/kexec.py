"""Start the kernel of another system without the firmware: kexec_file_load(2) and reboot(2), on x86-64."""

from __future__ import annotations

import ctypes
import os

_FILE_LOAD, _REBOOT = 320, 169
"""Numbers of the system calls (arch/x86/entry/syscalls/syscall_64.tbl)."""
_MAGIC, _MAGIC2, _KEXEC = 0xFEE1DEAD, 0x28121969, 0x45584543
"""LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2 and LINUX_REBOOT_CMD_KEXEC of linux/reboot.h."""


def load(kernel: str, ramdisk: str, arguments: str) -> None:
    """Have a kernel ready in memory, with its ramdisk and arguments. Raises OSError where the running one refuses."""
    line = arguments.encode() + b"\0"
    with open(kernel, "rb") as image, open(ramdisk, "rb") as initial:
        _call(_FILE_LOAD, image.fileno(), initial.fileno(), len(line), line, 0)


def start() -> None:
    """Start what was loaded; the running system is gone. Raises OSError when nothing was loaded."""
    os.sync()
    _call(_REBOOT, _MAGIC, _MAGIC2, _KEXEC, None)


def _call(number: int, *words: int | bytes | None) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) for word in words]
    if library.syscall(ctypes.c_long(number), *given) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
