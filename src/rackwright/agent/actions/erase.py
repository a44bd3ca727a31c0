"""Erase disks, each named by its serial: nothing is guessed, and what is in use is refused."""

from __future__ import annotations

import array
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from rackwright.agent import disks, partitions, writing
from rackwright.agent.disks import Disk
from rackwright.agent.job import Failed, Job

EDGE = 1 << 20
"""Bytes at both ends of a disk and of each partition: that is where tables and signatures are."""
PIECE = 64 << 20
_NVME_ADMIN = 0xC0484E41
"""NVME_IOCTL_ADMIN_CMD of linux/nvme_ioctl.h."""
_NVME_ID = 0x4E40
"""NVME_IOCTL_ID: it gives the number of the namespace."""
_NVME_MILLISECONDS = 600_000
_IDENTIFY, _FLBAS = 0x06, 26
"""Identify Namespace of the NVM Express specification; the byte that says how its sectors are formed."""
_FORMAT, _USER_DATA = 0x80, 1 << 9
"""Format NVM, with Secure Erase Settings 1: user data."""


def erase(job: Job) -> dict[str, Any]:
    """Erase the disks of ``disks``, one after the other: ``quick`` takes tables and signatures, ``zero`` writes over
    all of it, ``secure`` has the disk itself forget everything."""
    mode, wanted = job.text("mode", "quick"), job.parameters.get("disks") or []
    ways: dict[str, Callable[[Job, Disk], str]] = {"quick": _quick, "zero": _zero, "secure": _secure}
    if mode not in ways:
        raise Failed(f"there is no mode {mode!r} (it is one of {', '.join(ways)})")
    if not wanted:
        raise Failed("no disk is named (give the serials in `disks`)")
    chosen = [_free(str(serial)) for serial in wanted]
    erased = []
    for disk in chosen:
        began = time.monotonic()
        job.say(f"erasing {disk.path} (serial {disk.serial}, {disk.bytes} bytes): {mode}\n")
        try:
            how = ways[mode](job, disk)
            _check(disk)
        except OSError as error:
            raise Failed(f"{disk.path} could not be erased: {error.strerror or error}") from None
        seconds = round(time.monotonic() - began, 1)
        job.say(f"{disk.path} erased by {how} in {seconds} s\n")
        erased.append({"serial": disk.serial, "path": disk.path, "mode": mode, "how": how, "seconds": seconds})
    return {"disks.erased": erased}


def _free(serial: str) -> Disk:
    try:
        disk = disks.choose(disks.disks(), {"serial": serial})
    except LookupError as error:
        raise Failed(str(error)) from None
    if not serial:
        raise Failed("a disk is named by an empty serial")
    if used := disks.users(disk):
        raise Failed(f"{disk.path} is in use: {'; '.join(used)}")
    return disk


def _quick(job: Job, disk: Disk) -> str:
    """Partitions first: once the table is gone nobody finds them."""
    with open(disk.path, "r+b", buffering=0) as file:
        for number in range(1, 129):
            try:
                span = partitions.span(file, number)
            except partitions.Unfit:
                continue
            if span.start + span.bytes <= disk.bytes:
                _edges(file.fileno(), span.start, span.bytes)
        _edges(file.fileno(), 0, disk.bytes)
        os.fsync(file.fileno())
    _reread(disk)
    return "signatures"


def _zero(job: Job, disk: Disk) -> str:
    with open(disk.path, "r+b", buffering=0) as file:
        for start in range(0, disk.bytes, PIECE):
            job.check()
            writing.zero(file.fileno(), start, min(PIECE, disk.bytes - start))
            os.fdatasync(file.fileno())
            if start % (16 * PIECE) == 0:
                job.say(f"{start >> 20} of {disk.bytes >> 20} MiB\n")
    _reread(disk)
    return "zeroes"


def _secure(job: Job, disk: Disk) -> str:
    """The strongest way that the disk knows. Nothing weaker is taken for it without a word."""
    faults = []
    for name, way in (("nvme format", _format_nvme), ("secure discard", _forget), ("ata secure erase", _erase_ata)):
        try:
            way(disk)
        except (OSError, LookupError) as error:
            faults.append(f"{name}: {error}")
        else:
            _quick(job, disk)
            return name
    raise Failed(f"{disk.path} knows no secure erase ({'; '.join(faults)}); use the mode zero")


def _format_nvme(disk: Disk) -> None:
    if not disk.name.startswith("nvme"):
        raise LookupError("it is no NVMe disk")
    with open(disk.path, "rb") as file:
        namespace = fcntl.ioctl(file, _NVME_ID)
        about = array.array("B", bytes(4096))
        _admin(file, _IDENTIFY, namespace, 0, about)
        form = about[_FLBAS] & 0x0F
        _admin(file, _FORMAT, namespace, _USER_DATA | form, None)


def _admin(file: BinaryIO, opcode: int, namespace: int, word: int, into: array.array[int] | None) -> None:
    """One admin command (struct nvme_admin_cmd of linux/nvme_ioctl.h); ``word`` is its tenth."""
    address, length = (into.buffer_info()[0], len(into)) if into is not None else (0, 0)
    command = bytearray(struct.pack("=BBHI16xQII", opcode, 0, 0, namespace, address, 0, length))
    command += struct.pack("=8I", word, 0, 0, 0, 0, 0, _NVME_MILLISECONDS, 0)
    status = fcntl.ioctl(file, _NVME_ADMIN, command, True)
    if status:
        raise LookupError(f"the disk refused command {opcode:#x} with status {status:#x}")


def _forget(disk: Disk) -> None:
    writing.discard(disk.path, 0, disk.bytes, secure=True)


def _erase_ata(disk: Disk) -> None:
    """With a password that holds until the disk has erased itself (ATA/ATAPI Command Set, security feature set)."""
    program = shutil.which("hdparm")
    if program is None:
        raise LookupError("there is no program hdparm here")
    for words in (["--security-set-pass", "rackwright"], ["--security-erase", "rackwright"]):
        done = subprocess.run(
            [program, "--user-master", "u", *words, disk.path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LookupError(done.stderr.strip() or f"hdparm gave {done.returncode}")


def _edges(file: int, start: int, length: int) -> None:
    edge = min(EDGE, length)
    writing.zero(file, start, edge)
    writing.zero(file, start + length - edge, edge)


def _check(disk: Disk) -> None:
    """Read both ends again, from the disk itself."""
    with open(disk.path, "rb", buffering=0) as file:
        writing.forget_cache(file.fileno())
        for place in (0, max(0, disk.bytes - EDGE)):
            file.seek(place)
            if any(file.read(min(EDGE, disk.bytes))):
                raise Failed(f"{disk.path} still holds something at byte {place} after it was erased")


def _reread(disk: Disk) -> None:
    try:
        writing.reread(disk.path)
    except OSError:
        # The kernel drops what it knows of the partitions at the next start.
        return
