"""What an NVMe disk is asked and told: admin commands of the NVM Express base specification 2.0, chapter 5."""

from __future__ import annotations

import array
import fcntl
import struct
from typing import BinaryIO, NamedTuple

from rackwright.agent.disks import Disk

NEVER, DONE, GOES_ON, FAILED, DONE_BUT_KEPT = range(5)
"""States of the newest sanitizing (figure 253 of the specification)."""
EXIT_FAILURE, BLOCK_ERASE, CRYPTO_ERASE = 1, 2, 4
"""Actions of Sanitize."""
_UNRESTRICTED = 1 << 3
"""Of Sanitize: a disk on which it fails may be let out of that state."""
_ADMIN = 0xC0484E41
"""NVME_IOCTL_ADMIN_CMD of linux/nvme_ioctl.h."""
_ID = 0x4E40
"""NVME_IOCTL_ID: it gives the number of the namespace."""
_MILLISECONDS = 600_000
_LOG_PAGE, _IDENTIFY, _FORMAT, _SANITIZE = 0x02, 0x06, 0x80, 0x84
_NAMESPACE, _CONTROLLER, _NAMESPACES = 0, 1, 2
"""What Identify tells of."""
_FLBAS = 26
"""Of a namespace: the byte that says how its sectors are formed."""
_SANICAP, _FNA = 328, 524
"""Of a controller: what it can sanitize, and whether formatting concerns all of its namespaces."""
_USER_DATA = 1 << 9
"""Secure Erase Settings of Format NVM: user data."""
_SANITIZE_STATUS = 0x81
"""Page of the log."""
_NO_ESTIMATE = 0xFFFFFFFF


class Controller(NamedTuple):
    """What matters of the controller of a namespace."""

    actions: tuple[int, ...]
    """By which it can sanitize, the quickest first."""
    formats_all: bool
    namespaces: int


class Sanitizing(NamedTuple):
    """How far sanitizing has come: its state, which part of it is done (0 to 1), and how many seconds the whole of it
    takes, as the disk thinks (0: it does not say)."""

    state: int
    part: float
    seconds: int


def opened(disk: Disk) -> BinaryIO:
    """The namespace, to be asked. Raises LookupError for another kind of disk."""
    if not disk.name.startswith("nvme"):
        raise LookupError("it is no NVMe disk")
    return open(disk.path, "rb", buffering=0)


def controller(file: BinaryIO) -> Controller:
    """The controller of a namespace."""
    about, there = _identified(file, 0, _CONTROLLER), _identified(file, 0, _NAMESPACES)
    count = sum(1 for (number,) in struct.iter_unpack("<I", there) if number)
    actions = tuple(action for bit, action in ((1, CRYPTO_ERASE), (2, BLOCK_ERASE)) if about[_SANICAP] & bit)
    return Controller(actions, bool(about[_FNA] & 3), count)


def sanitize(file: BinaryIO, action: int) -> None:
    """Let the disk begin to sanitize; it goes on by itself, also after its power was away."""
    _admin(file, _SANITIZE, 0, action | (_UNRESTRICTED if action != EXIT_FAILURE else 0), None)


def sanitizing(file: BinaryIO) -> Sanitizing:
    """How far it has come, as the log of the disk says (Sanitize Status, log page 0x81)."""
    page = array.array("B", bytes(512))
    _admin(file, _LOG_PAGE, 0xFFFFFFFF, (len(page) // 4 - 1) << 16 | _SANITIZE_STATUS, page)
    done, status, asked, _, by_block, by_keys = struct.unpack_from("<HHIIII", page)
    seconds = {BLOCK_ERASE: by_block, CRYPTO_ERASE: by_keys}.get(asked & 7, 0)
    return Sanitizing(status & 7, done / 65536, 0 if seconds == _NO_ESTIMATE else seconds)


def format_whole(file: BinaryIO) -> None:
    """Format the namespace as it is formed now, with its user data erased."""
    namespace = fcntl.ioctl(file, _ID)
    form = _identified(file, namespace, _NAMESPACE)[_FLBAS] & 0x0F
    _admin(file, _FORMAT, namespace, _USER_DATA | form, None)


def _identified(file: BinaryIO, namespace: int, what: int) -> bytes:
    about = array.array("B", bytes(4096))
    _admin(file, _IDENTIFY, namespace, what, about)
    return about.tobytes()


def _admin(file: BinaryIO, opcode: int, namespace: int, word: int, into: array.array[int] | None) -> None:
    """One admin command (struct nvme_admin_cmd of linux/nvme_ioctl.h); ``word`` is its tenth."""
    address, length = (into.buffer_info()[0], len(into)) if into is not None else (0, 0)
    command = bytearray(struct.pack("=BBHI16xQII", opcode, 0, 0, namespace, address, 0, length))
    command += struct.pack("=8I", word, 0, 0, 0, 0, 0, _MILLISECONDS, 0)
    status = fcntl.ioctl(file, _ADMIN, command, True)
    if status:
        raise LookupError(f"the disk refused command {opcode:#x} with status {status:#x}")
