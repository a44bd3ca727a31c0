"""Partition tables: where a partition lies, and how the last one is made to reach the end of the disk.

GUID partition tables are those of the UEFI specification 2.10, chapter 5.3; the older ones those of its chapter 5.2.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import BinaryIO, NamedTuple

SECTOR = 512
ALIGNMENT = 2048
"""Sectors: partitions end where the next could begin."""
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY_LBAS = struct.Struct("<QQ")
_PROTECTIVE = 0xEE
LVM = bytes.fromhex("79d3d6e607f5c244a23c238f2a3df928")
RAID = bytes.fromhex("0f889da1fc053b4da006743f0f84911e")
"""Types of partitions, as they stand in the table (Discoverable Partitions Specification; Linux LVM, Linux RAID)."""


class Unfit(Exception):
    """The table cannot be used for what was asked."""


class Span(NamedTuple):
    """Where a partition lies, in bytes."""

    start: int
    bytes: int


class _Gpt(NamedTuple):
    header: bytes
    entries: bytearray
    entry_size: int
    slots: int


def span(disk: BinaryIO, number: int) -> Span:
    """Where partition ``number`` (from 1 on) lies. Raises Unfit when there is none."""
    gpt = _gpt(disk)
    if gpt is None:
        _, start, sectors = _mbr_entry(_boot_sector(disk), number)
        return Span(start * SECTOR, sectors * SECTOR)
    first, last = _lbas(gpt, number)
    return Span(first * SECTOR, (last - first + 1) * SECTOR)


def grow(disk: BinaryIO, size: int, number: int) -> Span:
    """Make partition ``number`` reach the end of a disk of ``size`` bytes, and put the table's second copy there. All
    else stays as it is: numbers, types, GUIDs. Raises Unfit when another partition lies behind it."""
    gpt = _gpt(disk)
    return _grow_mbr(disk, size, number) if gpt is None else _grow_gpt(disk, gpt, size, number)


def take_over(disk: BinaryIO, size: int, number: int, kind: bytes) -> Span:
    """As ``grow``, on one of several disks that have the same table: partition ``number`` is of another kind (LVM,
    RAID) from now on, and the disk and all of its partitions get identities of their own. Raises Unfit for a table
    that knows no identities."""
    gpt = _gpt(disk)
    if gpt is None:
        raise Unfit("the image has no GUID partition table")
    for other in range(1, gpt.slots + 1):
        at = (other - 1) * gpt.entry_size
        if _lbas(gpt, other, needed=False) != (0, 0):
            gpt.entries[at + 16 : at + 32] = _identity()
    at = (number - 1) * gpt.entry_size
    gpt.entries[at : at + 16] = kind
    return _grow_gpt(disk, gpt, size, number, _identity())


def _identity() -> bytes:
    """A random GUID (RFC 9562, version 4), as it stands in the table."""
    made = bytearray(os.urandom(16))
    made[7] = made[7] & 0x0F | 0x40
    made[8] = made[8] & 0x3F | 0x80
    return bytes(made)


def _grow_gpt(disk: BinaryIO, gpt: _Gpt, size: int, number: int, identity: bytes = b"") -> Span:
    fields = list(_HEADER.unpack_from(gpt.header))
    fields[9] = identity or fields[9]
    table = -(-len(gpt.entries) // SECTOR)
    last_sector = size // SECTOR - 1
    usable = last_sector - table - 1
    first, last = _lbas(gpt, number)
    for other in range(1, gpt.slots + 1):
        begin = _lbas(gpt, other, needed=False)[0]
        if begin > last:
            raise Unfit(f"partition {other} lies behind partition {number}, which therefore cannot grow")
    end = max(last, (usable + 1) // ALIGNMENT * ALIGNMENT - 1)
    _ENTRY_LBAS.pack_into(gpt.entries, (number - 1) * gpt.entry_size + 32, first, end)
    fields[8] = usable
    fields[13] = zlib.crc32(gpt.entries)
    fields[5], fields[6], fields[10] = last_sector, 1, last_sector - table
    _put(disk, (last_sector - table) * SECTOR, bytes(gpt.entries))
    _put(disk, last_sector * SECTOR, _sealed(fields, gpt.header))
    fields[5], fields[6], fields[10] = 1, last_sector, 2
    _put(disk, 2 * SECTOR, bytes(gpt.entries))
    _put(disk, SECTOR, _sealed(fields, gpt.header))
    _protect(disk, last_sector)
    return Span(first * SECTOR, (end - first + 1) * SECTOR)


def _grow_mbr(disk: BinaryIO, size: int, number: int) -> Span:
    sector = bytearray(_boot_sector(disk))
    place, start, sectors = _mbr_entry(bytes(sector), number)
    for other in range(1, 5):
        begin = struct.unpack_from("<I", sector, 446 + 16 * (other - 1) + 8)[0]
        if begin > start:
            raise Unfit(f"partition {other} lies behind partition {number}, which therefore cannot grow")
    end = min(size // SECTOR // ALIGNMENT * ALIGNMENT, 0xFFFFFFFF)
    sectors = max(sectors, end - start)
    struct.pack_into("<I", sector, place + 12, sectors)
    _put(disk, 0, bytes(sector))
    return Span(start * SECTOR, sectors * SECTOR)


def _gpt(disk: BinaryIO) -> _Gpt | None:
    """The first copy of a disk's table; None when it has an older one."""
    header = _get(disk, SECTOR, SECTOR)
    if header[:8] != b"EFI PART":
        return None
    fields = _HEADER.unpack_from(header)
    length = fields[2]
    if not _HEADER.size <= length <= SECTOR or _checked(header, length) != fields[3]:
        raise Unfit("the header of the GUID partition table is damaged")
    count, entry_size = fields[11], fields[12]
    if fields[10] != 2 or not 128 <= entry_size <= 4096 or not 1 <= count <= 1024:
        raise Unfit("the GUID partition table has an unusual form")
    entries = bytearray(_get(disk, 2 * SECTOR, count * entry_size))
    if zlib.crc32(entries) != fields[13]:
        raise Unfit("the entries of the GUID partition table are damaged")
    return _Gpt(header, entries, entry_size, count)


def _lbas(gpt: _Gpt, number: int, needed: bool = True) -> tuple[int, int]:
    if not 1 <= number <= gpt.slots:
        raise Unfit(f"there is no partition {number}")
    at = (number - 1) * gpt.entry_size
    if gpt.entries[at : at + 16] == bytes(16):
        if needed:
            raise Unfit(f"there is no partition {number}")
        return 0, 0
    first, last = _ENTRY_LBAS.unpack_from(gpt.entries, at + 32)
    return first, last


def _sealed(fields: list[int | bytes], old: bytes) -> bytes:
    """A header with its checksum, over as many bytes as it says that it has."""
    header = bytearray(old)
    fields[3] = 0
    _HEADER.pack_into(header, 0, *fields)
    struct.pack_into("<I", header, 16, _checked(bytes(header), int(fields[2])))
    return bytes(header)


def _checked(header: bytes, length: int) -> int:
    return zlib.crc32(header[:16] + bytes(4) + header[20:length])


def _protect(disk: BinaryIO, last_sector: int) -> None:
    """The protective entry covers the whole disk, as far as it can say."""
    sector = bytearray(_boot_sector(disk))
    for place in range(446, 510, 16):
        if sector[place + 4] == _PROTECTIVE:
            struct.pack_into("<I", sector, place + 12, min(last_sector, 0xFFFFFFFF))
    _put(disk, 0, bytes(sector))


def _boot_sector(disk: BinaryIO) -> bytes:
    sector = _get(disk, 0, SECTOR)
    if sector[510:] != b"\x55\xaa":
        raise Unfit("the disk has no partition table")
    return sector


def _mbr_entry(sector: bytes, number: int) -> tuple[int, int, int]:
    """Offset of the entry, first sector and number of sectors of a primary partition."""
    place = 446 + 16 * (number - 1)
    if not 1 <= number <= 4 or sector[place + 4] == 0:
        raise Unfit(f"there is no primary partition {number}")
    start, sectors = struct.unpack_from("<II", sector, place + 8)
    return place, start, sectors


def _get(disk: BinaryIO, offset: int, length: int) -> bytes:
    disk.seek(offset)
    data = disk.read(length)
    if len(data) < length:
        raise Unfit("the disk ends before its partition table")
    return data


def _put(disk: BinaryIO, offset: int, data: bytes) -> None:
    disk.seek(offset)
    disk.write(data)
