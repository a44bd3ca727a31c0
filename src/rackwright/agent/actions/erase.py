"""Erase disks, each named by its serial: nothing is guessed, and what is in use is refused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from rackwright.agent import disks, forgetting, partitions, writing
from rackwright.agent.disks import Disk
from rackwright.agent.job import Failed, Job

EDGE = 1 << 20
"""Bytes at both ends of a disk and of each partition: that is where tables and signatures are."""
PIECE = 64 << 20
SAMPLES = 64
"""Places all over a disk that are looked at before and after."""
SAMPLE = 4096
"""Bytes of each."""
_Marks = dict[int, bytes]


def erase(job: Job) -> dict[str, Any]:
    """Erase the disks of ``disks``, one after the other: ``quick`` takes tables and signatures, ``zero`` writes over
    all of it, ``secure`` has the disk itself forget everything. With ``fallback`` zero, zeroes will do where a disk
    cannot."""
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
            forgetting.wait(job, disk)
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
    if left := _marks(disk):
        raise Failed(f"{disk.path} still holds something at byte {min(left)} after zeroes were written")
    _reread(disk)
    return "zeroes"


def _secure(job: Job, disk: Disk) -> str:
    """The strongest way that the disk knows, and that changes what can be read. Nothing weaker is taken for it, unless
    the job says that it may be."""
    marks, faults = _marks(disk), []
    for name, way in forgetting.WAYS.items():
        try:
            way(job, disk)
            _forgotten(disk, marks)
        except (OSError, LookupError) as error:
            faults.append(f"{name}: {error}")
        else:
            _quick(job, disk)
            return name
    told = f"{disk.path} knows no secure erase ({'; '.join(faults)})"
    if job.text("fallback") != "zero":
        raise Failed(f"{told}; use the mode zero, or allow it with `fallback`")
    job.say(f"{told}; zeroes are written instead, as `fallback` allows\n")
    return _zero(job, disk)


def _marks(disk: Disk) -> _Marks:
    """What stands at places all over the disk; empty ones tell nothing."""
    found = {}
    with open(disk.path, "rb", buffering=0) as file:
        writing.forget_cache(file.fileno())
        for place in _places(disk):
            file.seek(place)
            found[place] = file.read(SAMPLE)
    return {place: data for place, data in found.items() if any(data)}


def _places(disk: Disk) -> list[int]:
    return [disk.bytes * number // SAMPLES // SAMPLE * SAMPLE for number in range(SAMPLES)]


def _forgotten(disk: Disk, before: _Marks) -> None:
    """Raise LookupError where something stands as before."""
    now = _marks(disk)
    if kept := [place for place, data in before.items() if now.get(place) == data]:
        raise LookupError(f"what stands at byte {kept[0]} is still there")


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
