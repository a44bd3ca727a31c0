"""Bring an image onto a disk: streamed, resumed where it breaks off, checked while it is written.

The order is what makes it safe. The disk is identified first. Its beginning is cleared, so that it does not boot. The
stream is checked by length and SHA-256, packed and unpacked. Only then the beginning is written, the root partition
grown and seeded. ``os.written`` is said at the very end: a machine that loses its power before has written nothing.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from rackwright.agent import disks, partitions, rootfs, unpacking, writing
from rackwright.agent.disks import Disk
from rackwright.agent.door import Away, Changed
from rackwright.agent.job import Failed, Job, Retry

TRIES = 20
"""Times that a stream which breaks off is taken up again without any progress."""
REPORT_EVERY = 64 << 20
"""Bytes between lines of the log."""


class Source:
    """An image's file as it comes over the network: bytes, their number and their SHA-256."""

    def __init__(self, job: Job, url: str) -> None:
        self._job, self._url = job, url
        self.got = 0
        self._mark, self._total = "", -1
        self._sum = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all that has come."""
        return self._sum.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """The file from its beginning to its end. Raises Retry when it cannot be got, Failed when it was changed."""
        failures = 0
        while True:
            before = self.got
            try:
                yield from self._on()
            except Away as error:
                failures = 1 if self.got > before else failures + 1
                if failures > TRIES:
                    raise Retry(f"the image cannot be got: {error}") from None
                self._job.say(f"{error}; going on from byte {self.got}\n")
                if self._job.cancelled.wait(min(10.0, 0.2 * 2**failures)):
                    self._job.check()
            else:
                return

    def _on(self) -> Iterator[bytes]:
        try:
            for piece, total, mark in self._job.door.download(self._url, self.got, self._mark):
                self._job.check()
                self._same(total, mark)
                self._sum.update(piece)
                self.got += len(piece)
                yield piece
        except Changed as error:
            raise Failed(f"the image was changed under way: {error}") from None

    def _same(self, total: int | None, mark: str) -> None:
        if total is not None:
            if self._total not in (-1, total):
                raise Failed(f"the image was changed under way: it had {self._total} bytes and now has {total}")
            self._total = total
        self._mark = mark or self._mark


def write(job: Job) -> dict[str, Any]:
    """Write an image to the one disk that is meant, grow and seed its root, and say so."""
    began = time.monotonic()
    raw_bytes = int(job.seconds("raw_bytes"))
    disk = the_disk(job, raw_bytes)
    job.say(f"writing {job.text('url')} to {disk.path} (serial {disk.serial or 'unknown'}, {disk.bytes} bytes)\n")
    source = Source(job, job.text("url"))
    written = _copied(job, source, disk, raw_bytes)
    root = int(job.seconds("root"))
    if root and (job.parameters.get("grow", True) or job.parameters.get("seed")):
        _finish_root(job, disk, root)
    took = time.monotonic() - began
    job.say(f"{written} bytes written in {took:.1f} s\n")
    return {
        "os.written": {
            "request": job.text("request"),
            "disk": {"path": disk.path, "serial": disk.serial, "bytes": disk.bytes},
            "sha256": source.sha256,
            "bytes": written,
            "seconds": round(took, 1),
        }
    }


def verify(job: Job) -> dict[str, Any]:
    """Read an image's file to its end and compare it; no disk is touched."""
    source = Source(job, job.text("url"))
    for _ in source.pieces():
        job.check()
    _check_packed(job, source)
    return {"image.verified": {"sha256": source.sha256, "bytes": source.got}}


def the_disk(job: Job, needed: int = 0) -> Disk:
    """The disk that the job names, known to be free. Raises Failed."""
    wanted = job.parameters.get("disk") or {}
    try:
        disk = disks.choose(disks.disks(), wanted, needed)
    except LookupError as error:
        raise Failed(str(error)) from None
    if used := disks.users(disk):
        raise Failed(f"{disk.path} is in use: {'; '.join(used)}")
    return disk


def _copied(job: Job, source: Source, disk: Disk, raw_bytes: int) -> int:
    """Write all of the image, then its beginning; gives the number of bytes."""
    wanted, total = job.text("raw_sha256").lower(), hashlib.sha256()
    told = 0
    try:
        writer = writing.Writer(disk.path)
    except OSError as error:
        raise Failed(f"{disk.path} cannot be opened for writing: {error.strerror}") from None
    try:
        for piece in unpacking.unpacked(source.pieces(), job.text("compression", "none")):
            if writer.written + len(piece) > disk.bytes:
                raise Failed(f"the image is larger than {disk.path} with its {disk.bytes} bytes")
            total.update(piece)
            writer.write(piece)
            if writer.written - told >= REPORT_EVERY:
                told = writer.written
                job.say(f"{told >> 20} MiB{f' of {raw_bytes >> 20}' if raw_bytes else ''}\n")
        _check_packed(job, source)
        _compare("unpacked image's length", raw_bytes or writer.written, writer.written)
        _compare("unpacked image's SHA-256", wanted or total.hexdigest(), total.hexdigest())
        writer.finish()
    except unpacking.Damaged as error:
        raise Failed(f"{error} (was the image imported whole? see `rackwright image verify`)") from None
    except OSError as error:
        raise Failed(f"{disk.path} failed after {writer.written} bytes: {error.strerror}") from None
    finally:
        writer.close()
    return writer.written


def _check_packed(job: Job, source: Source) -> None:
    bytes_ = int(job.seconds("bytes")) or source.got
    _compare("image's length", bytes_, source.got)
    _compare("image's SHA-256", job.text("sha256").lower() or source.sha256, source.sha256)


def _compare(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise Failed(f"the {what} is {found}, not {wanted}; the disk was left unbootable (import the image again)")


def _finish_root(job: Job, disk: Disk, root: int) -> None:
    """Grow the root partition and what is in it, then put the first files there."""
    grow = bool(job.parameters.get("grow", True))
    try:
        if grow:
            with open(disk.path, "r+b") as file:
                size = partitions.grow(file, disk.bytes, root).bytes
                file.flush()
                os.fsync(file.fileno())
            job.say(f"partition {root} has {size} bytes now\n")
        _settled(lambda: writing.reread(disk.path))
        device = disks.partition_path(disk.path, root)
        with rootfs.mounted(device, os.path.join(job.folder, "root")) as folder:
            if grow and rootfs.is_ext(device):
                job.say(f"its file system has {rootfs.grow(device, folder)} bytes now\n")
            elif grow:
                job.say("its file system is not ext4: it is left to the installed system to grow it\n")
            for seed in job.parameters.get("seed") or ():
                job.say(f"seeded {rootfs.plant(folder, _filled(job, seed))}\n")
    except (partitions.Unfit, rootfs.Stuck) as error:
        raise Failed(f"{disk.path}, partition {root}: {error}") from None
    except OSError as error:
        raise Failed(f"{disk.path}, partition {root}: {error.strerror or error}") from None


def _filled(job: Job, seed: dict[str, Any]) -> dict[str, Any]:
    """A first file with the places ``${DOOR}``, ``${TOKEN}`` and ``${REQUEST}`` in it filled: by these the installed
    system finds its rack, and no fact holds the token."""
    content = str(seed.get("content", ""))
    for name, value in (("DOOR", job.door.url), ("TOKEN", job.door.token), ("REQUEST", job.text("request"))):
        content = content.replace(f"${{{name}}}", value)
    return {**seed, "content": content}


def _settled(act: Callable[[], None], tries: int = 20) -> None:
    """Others may look at a disk for a moment after it was written: the kernel refuses until they are done."""
    for last in [False] * (tries - 1) + [True]:
        try:
            act()
        except OSError:
            if last:
                raise
            time.sleep(0.25)
        else:
            return
