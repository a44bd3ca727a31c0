"""Ways in which a disk itself forgets everything: the commands of NVMe and ATA, and discarding. Each raises OSError or
LookupError where a disk does not know it, or where it would erase more than this disk."""

from __future__ import annotations

import array
import fcntl
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from rackwright.agent import writing
from rackwright.agent.disks import Disk

Way = Callable[[Disk], None]

LONGEST = 12 * 3600.0
"""Seconds that sanitizing may take; the standard knows no limit."""
LOOK = 1.0
_ADMIN = 0xC0484E41
"""NVME_IOCTL_ADMIN_CMD of linux/nvme_ioctl.h."""
_ID = 0x4E40
"""NVME_IOCTL_ID: it gives the number of the namespace."""
_MILLISECONDS = 600_000
_LOG_PAGE, _IDENTIFY, _FORMAT, _SANITIZE = 0x02, 0x06, 0x80, 0x84
"""Admin commands of the NVM Express base specification 2.0, chapter 5."""
_NAMESPACE, _CONTROLLER, _NAMESPACES = 0, 1, 2
"""What Identify tells of."""
_FLBAS = 26
"""Of a namespace: the byte that says how its sectors are formed."""
_SANICAP, _FNA = 328, 524
"""Of a controller: what it can sanitize, and whether formatting concerns all of its namespaces."""
_USER_DATA = 1 << 9
"""Secure Erase Settings of Format NVM: user data."""
_BLOCK_ERASE, _CRYPTO_ERASE = 2, 4
"""Actions of Sanitize."""
_SANITIZE_STATUS = 0x81
"""Page of the log; its third byte says in three bits how the last one went."""
_DONE, _GOES_ON = (1, 4), 2


class _Controller(NamedTuple):
    """What matters of the controller of a namespace."""

    sanitizes: int
    formats_all: bool
    namespaces: int


def sanitize_nvme(disk: Disk) -> None:
    """Sanitize: all that the disk ever held, its caches and spare blocks too. By new keys where it is encrypted, else
    block by block."""
    with _nvme(disk) as file:
        known = _controller(file)
        _alone(known.namespaces)
        actions = [action for bit, action in ((1, _CRYPTO_ERASE), (2, _BLOCK_ERASE)) if known.sanitizes & bit]
        if not actions:
            raise LookupError("the disk cannot sanitize")
        _admin(file, _SANITIZE, 0, actions[0], None)
        until = time.monotonic() + LONGEST
        while (state := _sanitized(file)) == _GOES_ON and time.monotonic() < until:
            time.sleep(LOOK)
        if state not in _DONE:
            raise LookupError(f"sanitizing ended in the state {state}")


def format_nvme(disk: Disk) -> None:
    """Format the namespace, with its user data erased."""
    with _nvme(disk) as file:
        known = _controller(file)
        if known.formats_all:
            _alone(known.namespaces)
        namespace = fcntl.ioctl(file, _ID)
        form = _identified(file, namespace, _NAMESPACE)[_FLBAS] & 0x0F
        _admin(file, _FORMAT, namespace, _USER_DATA | form, None)


def discard(disk: Disk) -> None:
    """Discard all of it in the secure way."""
    writing.discard(disk.path, 0, disk.bytes, secure=True)


_UNTIL_ERASED = "rackwright"
"""The password that a disk has for as long as it erases itself."""


def erase_ata(disk: Disk) -> None:
    """With a password that holds until the disk has erased itself (ATA/ATAPI Command Set, security feature set)."""
    program = shutil.which("hdparm")
    if program is None:
        raise LookupError("there is no program hdparm here")
    with suppress(LookupError):
        # One that was left locked by a try before.
        _secured(program, "--security-unlock", disk)
    _secured(program, "--security-set-pass", disk)
    try:
        _secured(program, "--security-erase", disk)
    except LookupError as error:
        try:
            _secured(program, "--security-disable", disk)
        except LookupError as locked:
            raise LookupError(f"{error}; it may be locked with the password {_UNTIL_ERASED}: {locked}") from error
        raise


def _secured(program: str, what: str, disk: Disk) -> None:
    words = [program, "--user-master", "u", what, _UNTIL_ERASED, disk.path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LookupError(done.stderr.strip() or f"hdparm gave {done.returncode}")


WAYS: dict[str, Way] = {
    "nvme sanitize": sanitize_nvme,
    "nvme format": format_nvme,
    "secure discard": discard,
    "ata secure erase": erase_ata,
}
"""The strongest first."""


def _nvme(disk: Disk) -> BinaryIO:
    if not disk.name.startswith("nvme"):
        raise LookupError("it is no NVMe disk")
    return open(disk.path, "rb", buffering=0)


def _controller(file: BinaryIO) -> _Controller:
    about, there = _identified(file, 0, _CONTROLLER), _identified(file, 0, _NAMESPACES)
    count = sum(1 for (number,) in struct.iter_unpack("<I", there) if number)
    return _Controller(about[_SANICAP] & 3, bool(about[_FNA] & 3), count)


def _alone(namespaces: int) -> None:
    if namespaces > 1:
        raise LookupError(f"it would erase {namespaces} namespaces at once")


def _identified(file: BinaryIO, namespace: int, what: int) -> bytes:
    about = array.array("B", bytes(4096))
    _admin(file, _IDENTIFY, namespace, what, about)
    return about.tobytes()


def _sanitized(file: BinaryIO) -> int:
    page = array.array("B", bytes(512))
    _admin(file, _LOG_PAGE, 0xFFFFFFFF, (len(page) // 4 - 1) << 16 | _SANITIZE_STATUS, page)
    return page[2] & 7


def _admin(file: BinaryIO, opcode: int, namespace: int, word: int, into: array.array[int] | None) -> None:
    """One admin command (struct nvme_admin_cmd of linux/nvme_ioctl.h); ``word`` is its tenth."""
    address, length = (into.buffer_info()[0], len(into)) if into is not None else (0, 0)
    command = bytearray(struct.pack("=BBHI16xQII", opcode, 0, 0, namespace, address, 0, length))
    command += struct.pack("=8I", word, 0, 0, 0, 0, 0, _MILLISECONDS, 0)
    status = fcntl.ioctl(file, _ADMIN, command, True)
    if status:
        raise LookupError(f"the disk refused command {opcode:#x} with status {status:#x}")
