"""Bring an image onto a disk: streamed, resumed where it breaks off, checked while it is written.

The order is what makes it safe. The disks are identified first. Their beginning is cleared, so that they do not boot.
The stream is checked by length and SHA-256. Only then the beginning is written, the root grown and seeded.
``os.written`` is said at the very end: a machine that loses its power before has written nothing.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from rackwright.agent import disks, layouts, partitions, rootfs, unpacking, writing
from rackwright.agent.disks import Disk
from rackwright.agent.job import Failed, Job
from rackwright.agent.layouts import Laid, Layout
from rackwright.agent.source import Source

REPORT_EVERY = 64 << 20
"""Bytes between lines of the log."""


class Writer(Protocol):
    """What takes the bytes of an image in their order; nothing of it boots before ``finish``."""

    written: int

    def write(self, data: bytes) -> None:
        """The next bytes."""

    def finish(self) -> None:
        """All was right."""

    def close(self) -> None:
        """Let the disks go."""


class Root(NamedTuple):
    """Where the root file system of an image stands once it is written."""

    device: str
    swap: str = ""
    partition: int = 0
    """The partition that is to be grown before; 0: the device has its size already."""


def write(job: Job) -> dict[str, Any]:
    """Write an image to the disks that are meant, grow and seed its root, and say so."""
    began = time.monotonic()
    raw_bytes, layout = int(job.seconds("raw_bytes")), _layout(job)
    targets = _targets(job, raw_bytes, layout)
    for disk in targets:
        job.say(f"writing {job.text('url')} to {disk.path} (serial {disk.serial or 'unknown'}, {disk.bytes} bytes)\n")
    source = Source(job, job.text("url"))
    with ExitStack() as held:
        if layout:
            held.callback(layouts.release, layout)
            written = _laid(job, source, targets, raw_bytes, layout)
        else:
            written = _flat(job, source, targets[0], raw_bytes)
    took = time.monotonic() - began
    job.say(f"{written} bytes written in {took:.1f} s\n")
    said: dict[str, Any] = {
        "request": job.text("request"),
        "disk": _told(targets[0]),
        "sha256": source.sha256,
        "bytes": written,
        "seconds": round(took, 1),
    }
    if layout:
        said |= {"layout": layout.kind, "disks": [_told(disk) for disk in targets]}
    return {"os.written": said}


def verify(job: Job) -> dict[str, Any]:
    """Read an image's file to its end and compare it; no disk is touched."""
    source = Source(job, job.text("url"))
    for _ in source.pieces():
        job.check()
    _check_packed(job, source)
    return {"image.verified": {"sha256": source.sha256, "bytes": source.got}}


def the_disk(job: Job, wanted: dict[str, Any], needed: int = 0) -> Disk:
    """The disk that is wanted, known to be free. Raises Failed."""
    try:
        disk = disks.choose(disks.disks(), wanted, needed)
    except LookupError as error:
        raise Failed(str(error)) from None
    if used := disks.users(disk):
        raise Failed(f"{disk.path} is in use: {'; '.join(used)}")
    return disk


def _layout(job: Job) -> Layout | None:
    """None: the image lies flat on one disk."""
    said = job.parameters.get("layout") or {}
    kind = str(said.get("layout") or "flat")
    return None if kind == "flat" else Layout(kind, int(said.get("swap_bytes") or 0))


def _targets(job: Job, needed: int, layout: Layout | None) -> list[Disk]:
    """The disks that the job names. Raises Failed for one that is not there or not free."""
    if layout:
        layouts.release(layout)
    wanted = [job.parameters.get("disk") or {}, *(job.parameters.get("mirror") or [] if layout else [])]
    found = [the_disk(job, each, needed) for each in wanted]
    if layout:
        with _words():
            layouts.check(layout, found)
    return found


def _flat(job: Job, source: Source, disk: Disk, raw_bytes: int) -> int:
    """The image as it is, on one disk."""
    try:
        writer = writing.Writer(disk.path)
    except OSError as error:
        raise Failed(f"{disk.path} cannot be opened for writing: {error.strerror}") from None
    written = _copied(job, source, writer, disk, raw_bytes)
    if number := int(job.seconds("root")):
        _finish_root(job, disk, Root(disks.partition_path(disk.path, number), partition=number))
    return written


def _laid(job: Job, source: Source, targets: list[Disk], raw_bytes: int, layout: Layout) -> int:
    """The root of the image on a volume or a mirror."""
    laid = Laid(layout, targets, int(job.seconds("root")))
    written = _copied(job, source, laid, targets[0], raw_bytes)
    job.say(f"the root stands on {laid.device} ({layout.kind})\n")
    _finish_root(job, targets[0], Root(laid.device, laid.swap))
    return written


def _copied(job: Job, source: Source, writer: Writer, disk: Disk, raw_bytes: int) -> int:
    """Write all of the image, then its beginning; gives the number of bytes."""
    compression, told = job.text("compression", "none"), 0
    # Summing up takes longer than writing on a slow machine. What is packed was summed up already, and unpacking has
    # checksums of its own.
    total = hashlib.sha256() if compression != "none" and not job.text("sha256") else None
    try:
        with _words():
            for piece in unpacking.unpacked(source.pieces(), compression):
                if writer.written + len(piece) > disk.bytes:
                    raise Failed(f"the image is larger than {disk.path} with its {disk.bytes} bytes")
                if total is not None:
                    total.update(piece)
                writer.write(piece)
                if writer.written - told >= REPORT_EVERY:
                    told = writer.written
                    job.say(f"{told >> 20} MiB{f' of {raw_bytes >> 20}' if raw_bytes else ''}\n")
            _check_packed(job, source)
            _compare("unpacked image's length", raw_bytes or writer.written, writer.written)
            if compression == "none" or total is not None:
                found = source.sha256 if total is None else total.hexdigest()
                _compare("unpacked image's SHA-256", job.text("raw_sha256").lower() or found, found)
            writer.finish()
    except OSError as error:
        raise Failed(f"{disk.path} failed after {writer.written} bytes: {error.strerror}") from None
    finally:
        writer.close()
    return writer.written


@contextmanager
def _words() -> Iterator[None]:
    """What is wrong with an image or a layout, as the end of the attempt."""
    try:
        yield
    except unpacking.Damaged as error:
        raise Failed(f"{error} (was the image imported whole? see `rackwright image verify`)") from None
    except (layouts.Unmade, partitions.Unfit) as error:
        raise Failed(str(error)) from None


def _told(disk: Disk) -> dict[str, Any]:
    return {"path": disk.path, "serial": disk.serial, "bytes": disk.bytes}


def _check_packed(job: Job, source: Source) -> None:
    bytes_ = int(job.seconds("bytes")) or source.got
    _compare("image's length", bytes_, source.got)
    _compare("image's SHA-256", job.text("sha256").lower() or source.sha256, source.sha256)


def _compare(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise Failed(f"the {what} is {found}, not {wanted}; the disk was left unbootable (import the image again)")


def _finish_root(job: Job, disk: Disk, root: Root) -> None:
    """Grow the root and what is in it, then put the first files there."""
    grow = bool(job.parameters.get("grow", True))
    if not grow and not job.parameters.get("seed") and not root.swap:
        return
    try:
        if grow and root.partition:
            with open(disk.path, "r+b") as file:
                size = partitions.grow(file, disk.bytes, root.partition).bytes
                file.flush()
                os.fsync(file.fileno())
            job.say(f"partition {root.partition} has {size} bytes now\n")
        if root.partition:
            writing.settled(lambda: writing.reread(disk.path))
        with rootfs.mounted(root.device, os.path.join(job.folder, "root")) as folder:
            if grow and rootfs.is_ext(root.device):
                job.say(f"its file system has {rootfs.grow(root.device, folder)} bytes now\n")
            elif grow:
                job.say("its file system is not ext4: it is left to the installed system to grow it\n")
            if root.swap:
                rootfs.add_swap(folder, root.swap)
            for seed in job.parameters.get("seed") or ():
                job.say(f"seeded {rootfs.plant(folder, _filled(job, seed))}\n")
    except (partitions.Unfit, rootfs.Stuck) as error:
        raise Failed(f"{root.device}: {error}") from None
    except OSError as error:
        raise Failed(f"{root.device}: {error.strerror or error}") from None


def _filled(job: Job, seed: dict[str, Any]) -> dict[str, Any]:
    """A first file with the places ``${DOOR}``, ``${TOKEN}`` and ``${REQUEST}`` in it filled: by these the installed
    system finds its rack, and no fact holds the token."""
    content = str(seed.get("content", ""))
    for name, value in (("DOOR", job.door.url), ("TOKEN", job.door.token), ("REQUEST", job.text("request"))):
        content = content.replace(f"${{{name}}}", value)
    return {**seed, "content": content}
