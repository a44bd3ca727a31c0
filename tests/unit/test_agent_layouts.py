"""An image on a volume or a mirror: each stretch goes to its place, and nothing boots before all of it was right."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwright.agent import disks, layouts, partitions, writing
from rackwright.agent.disks import Disk
from rackwright.agent.layouts import BOOT_CODE, Laid, Layout, Unmade
from tests.unit.test_agent_partitions import MIB, gpt_disk

BOOT, ROOT = (2048, 6143), (6144, 10239)
"""Partitions of the image, in sectors: two MiB each."""


def image() -> bytes:
    """A disk of 6 MiB with a boot partition full of b and a root full of r."""
    raw = bytearray(gpt_disk(6 * MIB, [BOOT, ROOT]).getvalue())
    raw[:BOOT_CODE] = b"c" * BOOT_CODE
    raw[MIB : 3 * MIB] = b"b" * (2 * MIB)
    raw[3 * MIB : 5 * MIB] = b"r" * (2 * MIB)
    return bytes(raw)


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Disk]:
    """Two disks, and a device for the root instead of a mirror."""
    device = tmp_path / "md0"
    device.write_bytes(bytes(4 * MIB))
    monkeypatch.setattr(layouts, "_mirror", lambda parts, swap: (str(device), ""))
    monkeypatch.setattr(disks, "partition_path", lambda path, number: path)
    monkeypatch.setattr(writing, "reread", lambda path: None)
    made = []
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"\xff" * (8 * MIB))
        made.append(Disk(name, str(tmp_path / name), name.upper(), 8 * MIB))
    return made


def laid(targets: list[Disk], data: bytes, piece: int, *, whole: bool = True) -> Laid:
    writer = Laid(Layout("raid1"), targets, root=2)
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
    if whole:
        writer.finish()
    writer.close()
    return writer


@pytest.mark.parametrize("piece", [MIB, 700_001, 5 * MIB])
def test_each_stretch_of_an_image_goes_to_its_place(targets: list[Disk], piece: int) -> None:
    written = laid(targets, image(), piece)
    assert written.written == 6 * MIB
    assert Path(written.device).read_bytes() == b"r" * (2 * MIB) + bytes(2 * MIB)
    for target in targets:
        raw = Path(target.path).read_bytes()
        assert raw[:BOOT_CODE] == b"c" * BOOT_CODE
        assert raw[MIB : 3 * MIB] == b"b" * (2 * MIB)
        with open(target.path, "rb") as file:
            assert partitions.span(file, 2) == (3 * MIB, 4 * MIB)


def test_a_disk_of_it_boots_only_once_all_was_right(targets: list[Disk]) -> None:
    laid(targets, image(), MIB, whole=False)
    for target in targets:
        raw = Path(target.path).read_bytes()
        assert raw[:BOOT_CODE] == bytes(BOOT_CODE)
        assert raw[MIB : 2 * MIB] == bytes(MIB)


def test_a_root_that_does_not_fit_is_refused(targets: list[Disk], monkeypatch: pytest.MonkeyPatch) -> None:
    small = Path(targets[0].path).with_name("small")
    small.write_bytes(bytes(MIB))
    monkeypatch.setattr(layouts, "_mirror", lambda parts, swap: (str(small), ""))
    with pytest.raises(Unmade, match="too small"):
        laid(targets, image(), MIB)


def test_an_image_that_ends_in_its_table_is_not_finished(targets: list[Disk]) -> None:
    with pytest.raises(Unmade, match="ends before"):
        laid(targets, image()[:1000], MIB)


@pytest.mark.parametrize(
    ("layout", "count", "reason"),
    [("raid6", 2, "no layout 'raid6'"), ("raid1", 1, "takes 2 disks"), ("lvm", 2, "takes 1 disks")],
)
def test_a_layout_takes_the_disks_that_it_takes(targets: list[Disk], layout: str, count: int, reason: str) -> None:
    with pytest.raises(Unmade, match=reason):
        layouts.check(Layout(layout), targets[:count])
