"""Partition tables are grown in place; what else they hold stays as it is."""

from __future__ import annotations

import io
import struct
import uuid
import zlib

import pytest

from rackwright.agent import partitions
from rackwright.agent.partitions import SECTOR, Span, Unfit

MIB = 1 << 20
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le


def gpt_disk(size: int, parts: list[tuple[int, int]], room: int | None = None) -> io.BytesIO:
    """A disk of ``size`` bytes with a GUID partition table; ``room``: bytes of the disk that the table was made for."""
    last = (room or size) // SECTOR - 1
    entries = bytearray(128 * 128)
    for place, (first, end) in enumerate(parts):
        struct.pack_into(
            "<16s16sQQ", entries, place * 128, LINUX, uuid.uuid5(uuid.NAMESPACE_DNS, str(place)).bytes_le, first, end
        )
    fields = [b"EFI PART", 0x10000, 92, 0, 0, 1, last, 34, last - 33, b"d" * 16, 2, 128, 128, zlib.crc32(entries)]
    header = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", *fields))
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    disk = bytearray(size)
    disk[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, last)
    disk[510:512] = b"\x55\xaa"
    disk[SECTOR : SECTOR + 92] = header
    disk[2 * SECTOR : 2 * SECTOR + len(entries)] = entries
    return io.BytesIO(disk)


def test_the_last_partition_reaches_the_end_of_a_larger_disk() -> None:
    disk = gpt_disk(64 * MIB, [(2048, 4095), (4096, 16383)], room=10 * MIB)
    grown = partitions.grow(disk, 64 * MIB, 2)
    assert grown == Span(4096 * SECTOR, 63 * MIB - 4096 * SECTOR)
    assert partitions.span(disk, 2) == grown
    assert partitions.span(disk, 1) == Span(2048 * SECTOR, 2048 * SECTOR)


def test_both_copies_of_the_table_say_the_same_and_point_to_each_other() -> None:
    disk = gpt_disk(64 * MIB, [(2048, 4095), (4096, 16383)], room=10 * MIB)
    partitions.grow(disk, 64 * MIB, 2)
    raw = disk.getvalue()
    last = 64 * MIB // SECTOR - 1
    first, second = (struct.unpack_from("<8sIIIIQQQQ16sQIII", raw, lba * SECTOR) for lba in (1, last))
    assert (first[5], first[6], first[10]) == (1, last, 2)
    assert (second[5], second[6], second[10]) == (last, 1, last - 32)
    assert first[13] == second[13] == zlib.crc32(raw[1024 : 1024 + 16384])
    assert raw[1024 : 1024 + 16384] == raw[(last - 32) * SECTOR : last * SECTOR]
    for lba in (1, last):
        header = raw[lba * SECTOR : lba * SECTOR + 92]
        assert struct.unpack_from("<I", header, 16)[0] == zlib.crc32(header[:16] + bytes(4) + header[20:])
    assert struct.unpack_from("<I", raw, 446 + 12)[0] == last


def test_type_and_identity_of_a_partition_stay() -> None:
    disk = gpt_disk(64 * MIB, [(2048, 16383)], room=10 * MIB)
    before = disk.getvalue()[1024 : 1024 + 32]
    partitions.grow(disk, 64 * MIB, 1)
    assert disk.getvalue()[1024 : 1024 + 32] == before


def test_growing_again_changes_nothing() -> None:
    disk = gpt_disk(64 * MIB, [(2048, 16383)], room=10 * MIB)
    partitions.grow(disk, 64 * MIB, 1)
    once = disk.getvalue()
    partitions.grow(disk, 64 * MIB, 1)
    assert disk.getvalue() == once


def test_a_partition_with_another_behind_it_cannot_grow() -> None:
    disk = gpt_disk(64 * MIB, [(2048, 4095), (4096, 16383)])
    with pytest.raises(Unfit, match="partition 2 lies behind partition 1"):
        partitions.grow(disk, 64 * MIB, 1)


def test_a_damaged_table_is_left_alone() -> None:
    disk = gpt_disk(64 * MIB, [(2048, 16383)], room=10 * MIB)
    raw = bytearray(disk.getvalue())
    raw[1024 + 40] ^= 1
    with pytest.raises(Unfit, match="damaged"):
        partitions.grow(io.BytesIO(raw), 64 * MIB, 1)


@pytest.mark.parametrize("number", [0, 3, 129])
def test_a_partition_that_is_not_there_is_named(number: int) -> None:
    with pytest.raises(Unfit, match=f"no partition {number}"):
        partitions.span(gpt_disk(8 * MIB, [(2048, 4095), (4096, 8191)]), number)


def test_an_old_table_grows_too() -> None:
    raw = bytearray(64 * MIB)
    raw[446:462] = struct.pack("<BBBBBBBBII", 0x80, 0, 0, 0, 0x83, 0, 0, 0, 2048, 8192)
    raw[510:512] = b"\x55\xaa"
    disk = io.BytesIO(raw)
    assert partitions.grow(disk, 64 * MIB, 1) == Span(MIB, 63 * MIB)
    assert partitions.span(disk, 1) == Span(MIB, 63 * MIB)


def test_a_disk_without_a_table_has_no_partition_to_grow() -> None:
    with pytest.raises(Unfit, match="no partition table"):
        partitions.grow(io.BytesIO(bytes(4 * MIB)), 4 * MIB, 1)


def test_a_disk_that_takes_over_a_table_has_its_kind_and_its_size_and_identities_of_its_own() -> None:
    parts = [(2048, 4095), (4096, 16383)]
    disks = [gpt_disk(size, parts, room=10 * MIB) for size in (64 * MIB, 32 * MIB)]
    spans = [partitions.take_over(disk, len(disk.getvalue()), 2, partitions.RAID) for disk in disks]
    assert [span.bytes for span in spans] == [63 * MIB - 2 * MIB, 31 * MIB - 2 * MIB]
    told = [disk.getvalue()[1024 : 1024 + 256] for disk in disks]
    assert [entries[:16] for entries in told] == [LINUX, LINUX]
    assert [uuid.UUID(bytes_le=entries[128:144]) for entries in told] == [
        uuid.UUID("a19d880f-05fc-4d3b-a006-743f0f84911e")
    ] * 2
    identities = {entries[at : at + 16] for entries in told for at in (16, 144)}
    identities |= {disk.getvalue()[SECTOR + 56 : SECTOR + 72] for disk in disks}
    assert len(identities) == 6
    assert {uuid.UUID(bytes_le=identity).version for identity in identities} == {4}


def test_only_a_table_that_knows_identities_is_taken_over() -> None:
    disk = io.BytesIO(bytes(510) + b"\x55\xaa" + bytes(MIB))
    with pytest.raises(Unfit, match="no GUID partition table"):
        partitions.take_over(disk, MIB, 1, partitions.LVM)
