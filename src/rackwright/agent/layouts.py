"""Disks for a system that does not lie flat on one: its root stands on a logical volume (LVM) or on a mirror (RAID 1).

All that comes before the root in the image (its boot partition) is copied to each disk, so that a machine starts from
whichever disk is left. The table of each disk is the image's, with a root partition that reaches the end of the disk.
The programs are those of Linux: mdadm and lvm. They come in a ramdisk of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

from rackwright.agent import disks, partitions, writing
from rackwright.agent.disks import Disk
from rackwright.agent.partitions import Span

KINDS = {"lvm": partitions.LVM, "raid1": partitions.RAID}
"""Layouts, with the type of the partition on which the root stands."""
GROUP = "system"
"""Name of the volume group; its volumes are ``root`` and ``swap``."""
HEAD = 1 << 20
"""Bytes at the beginning of an image in which its partition table lies; no partition begins before."""
BOOT_CODE = 440
"""Bytes of the first sector that a BIOS starts."""
_EDGE = 1 << 20


class Unmade(Exception):
    """The layout cannot be made; the text says why."""


class Layout(NamedTuple):
    """What is wanted: ``lvm`` on one disk or ``raid1`` over two, and bytes of swap."""

    kind: str
    swap_bytes: int = 0


class Laid:
    """Disks that have been laid out, to which an image is written in its own order. It has the form of
    ``writing.Writer``: until ``finish`` no disk of it boots."""

    def __init__(self, layout: Layout, targets: Sequence[Disk], root: int) -> None:
        self._layout, self._targets, self._number = layout, targets, root
        self._head, self._held = bytearray(), bytearray()
        self._span = Span(0, 0)
        self._copies: list[int] = []
        self._root = -1
        self.written = 0
        self.device = ""
        """On what the root file system is; empty until the table has been read."""
        self.swap = ""
        """On what the swap is; empty: there is none."""

    def write(self, data: bytes) -> None:
        """The next bytes of the image. Raises OSError when a disk fails, Unfit or Unmade."""
        missing = HEAD - len(self._head)
        if missing > 0:
            self._head += data[:missing]
            self.written += len(data[:missing])
            data = data[missing:]
            if len(self._head) == HEAD:
                self._lay_out()
        if data:
            self._go_on(memoryview(data))

    def finish(self) -> None:
        """All was right: let the disks boot, and have everything on them."""
        if self._root < 0:
            raise Unmade("the image ends before its partition table")
        os.fsync(self._root)
        for copy in self._copies:
            os.pwrite(copy, self._held, HEAD)
            os.pwrite(copy, self._head[:BOOT_CODE], 0)
            os.fsync(copy)

    def close(self) -> None:
        """Let the disks go; the root stays in place until ``release``."""
        for file in [*self._copies, *([self._root] if self._root >= 0 else [])]:
            os.close(file)
        self._copies, self._root = [], -1

    def _lay_out(self) -> None:
        self._span = partitions.span(BytesIO(self._head), self._number)
        for target in self._targets:
            _table(target, bytes(self._head), self._number, KINDS[self._layout.kind])
        parts = [disks.partition_path(target.path, self._number) for target in self._targets]
        make = _volumes if self._layout.kind == "lvm" else _mirror
        self.device, self.swap = make(parts, self._layout.swap_bytes)
        if writing.size_of(self.device) < self._span.bytes:
            raise Unmade(f"{self.device} is too small for the {self._span.bytes} bytes of the image's root")
        self._copies = [os.open(target.path, os.O_RDWR) for target in self._targets]
        self._root = os.open(self.device, os.O_RDWR)

    def _go_on(self, view: memoryview) -> None:
        """Each stretch goes to its place: before the root to each disk, the root to its device. What is behind it is
        the table's second copy, which each disk has of its own."""
        while view:
            at, start, end = self.written, self._span.start, self._span.start + self._span.bytes
            if at >= end:
                self.written += len(view)
                return
            count = min(len(view), (start if at < start else end) - at)
            if at < start:
                self._copy(view[:count])
            else:
                _put(self._root, view[:count], at - start)
            self.written += count
            view = view[count:]

    def _copy(self, view: memoryview) -> None:
        """The first MiB behind the head is held back: without it firmware finds nothing to start."""
        missing = _EDGE - len(self._held)
        if missing > 0:
            self._held += view[:missing]
        for copy in self._copies:
            _put(copy, view[missing:] if missing > 0 else view, self.written + max(missing, 0))


def check(layout: Layout, targets: Sequence[Disk]) -> None:
    """Raise Unmade when this system cannot make the layout on these disks."""
    wanted = {"lvm": 1, "raid1": 2}
    if layout.kind not in wanted:
        raise Unmade(f"there is no layout {layout.kind!r} (it is one of {', '.join(wanted)})")
    if len({target.path for target in targets}) != wanted[layout.kind]:
        raise Unmade(f"the layout {layout.kind} takes {wanted[layout.kind]} disks, not {len(targets)}")
    _program("lvm" if layout.kind == "lvm" else "mdadm")


def release(layout: Layout) -> None:
    """Take apart what was put together, so that the disks are free; what is not there is no fault."""
    for words in (["lvm", "vgchange", "-an", GROUP], ["mdadm", "--stop", "--scan"]):
        if shutil.which(words[0]) and (words[0] == "lvm") is (layout.kind == "lvm"):
            subprocess.run(words, env=_environment(), capture_output=True, check=False)


def _table(target: Disk, head: bytes, number: int, kind: bytes) -> None:
    """The image's partition table, fitted to this disk; the disk does not boot yet."""
    with open(target.path, "r+b", buffering=0) as file:
        writing.zero(file.fileno(), 0, min(2 * HEAD, target.bytes))
        file.seek(0)
        file.write(bytes(BOOT_CODE) + head[BOOT_CODE:])
        span = partitions.take_over(file, target.bytes, number, kind)
        for start in (span.start, span.start + span.bytes - _EDGE):
            writing.zero(file.fileno(), start, _EDGE)
        os.fsync(file.fileno())
    writing.settled(lambda: writing.reread(target.path))
    writing.appear(disks.partition_path(target.path, number))


def _volumes(parts: Sequence[str], swap_bytes: int) -> tuple[str, str]:
    """A volume group on the one partition. No other disk is looked at, whatever names are used there."""
    only = ["--devices", parts[0]]
    _run("lvm", "pvcreate", "-ff", "-y", *only, parts[0])
    _run("lvm", "vgcreate", *only, GROUP, parts[0])
    swap = ""
    if swap_bytes:
        _run("lvm", "lvcreate", "-y", "-Wn", *only, "-L", f"{swap_bytes}b", "-n", "swap", GROUP)
        swap = f"/dev/mapper/{GROUP}-swap"
    _run("lvm", "lvcreate", "-y", "-Wn", *only, "-l", "100%FREE", "-n", "root", GROUP)
    return f"/dev/mapper/{GROUP}-root", swap


def _mirror(parts: Sequence[str], swap_bytes: int) -> tuple[str, str]:
    """A mirror of the partitions. Its halves are made alike while it is used, and that goes on after a restart."""
    if swap_bytes:
        raise Unmade("a mirrored system of an image swaps to no partition (make a swap file in the installed system)")
    words = ["--level=1", f"--raid-devices={len(parts)}", "--metadata=1.2", "--bitmap=internal", "--homehost=any"]
    _run("mdadm", "--create", "/dev/md0", "--run", "--name=root", *words, *parts)
    writing.appear("/dev/md0")
    return "/dev/md0", ""


def _put(file: int, view: memoryview, at: int) -> None:
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Unmade(f"there is no program {name} here (build and import the discovery image again)")
    return found


def _environment() -> dict[str, str]:
    """There is no udev in the ramdisk that lvm could wait for."""
    return {**os.environ, "DM_DISABLE_UDEV": "1", "LVM_SUPPRESS_FD_WARNINGS": "1"}


def _run(name: str, *words: str) -> None:
    done = subprocess.run(
        [_program(name), *words], env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise Unmade(f"{name} {' '.join(words)}: {said or f'exit code {done.returncode}'}")
