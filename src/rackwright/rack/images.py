"""The rack's image cache: files named by their SHA-256, fetched from the region on first use.

However many machines ask for a file at once, it is fetched once. A fetch that is cut off goes on where it ended (Range,
RFC 9110 section 14). Nothing is given out before its digest was checked: after the fetch, and once more when this
process first uses a file, or when the file has changed on the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import BinaryIO, Protocol

import msgspec
import structlog

from rackwright.core.errors import InvalidInput, Retryable
from rackwright.core.images import Manifest
from rackwright.core.jig import folder_name

GIB = 1024**3

fresh_for = 15.0
"""Seconds for which a manifest is used without asking the region whether the name means another one by now."""

manifest_patience = 3.0
"""Seconds for the region to answer that; then the known one is used."""

fetch_tries = 5
"""Tries to go on with a file, one after the other, before those who wait are told."""

first_pause = 0.5
"""Seconds before the second try; each further pause is twice as long."""

MINUTE_NS = 60 * 10**9

_DIGEST = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger()


class ImageSource(Protocol):
    """Where images come from: the region."""

    async def manifest(self, name: str) -> Manifest:
        """The newest image of this name, or the one with this digest. Raises ``NotFound`` or ``Retryable``."""

    def image_file(self, sha256: str, offset: int) -> AbstractAsyncContextManager[Piece]:
        """A file from ``offset`` on, or from its beginning where the source cannot do that."""


class Piece(Protocol):
    """What a source gives of a file."""

    @property
    def offset(self) -> int:
        """Where the bytes begin."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes to the end of the file. Raises ``Retryable`` when they break off."""


class ImageCache:
    """Keeps images in ``folder``, in all at most ``limit`` bytes: the files that were used least lately go first."""

    def __init__(self, folder: str, source: ImageSource, limit: int = 50 * GIB) -> None:
        self.folder = folder
        self.source = source
        self.limit = limit
        self._fetching: dict[str, asyncio.Task[str]] = {}
        self._checked: dict[str, tuple[int, int]] = {}
        self._asked: dict[str, float] = {}
        self._manifests: dict[str, Manifest] = {}
        os.makedirs(os.path.join(folder, "manifests"), mode=0o700, exist_ok=True)

    async def manifest(self, name: str) -> Manifest:
        """What image a name or digest means now; with the region away, what it meant when it was last asked. Raises
        ``NotFound`` or ``Retryable`` for one that this rack never had."""
        known = self._manifests.get(name) or self._known(name)
        if known:
            self._manifests[name] = known
        immutable = _DIGEST.fullmatch(name) is not None
        if known and (immutable or time.monotonic() - self._asked.get(name, -fresh_for) < fresh_for):
            return known
        self._asked[name] = time.monotonic()
        try:
            async with asyncio.timeout(manifest_patience if known else None):
                found = await self.source.manifest(name)
        except (Retryable, TimeoutError) as error:
            if known is None:
                raise
            log.info("the region does not say what an image is; the known one is used", image=name, reason=str(error))
            return known
        if found != known:
            await asyncio.to_thread(_write, self._manifest_path(name), msgspec.json.encode(found))
        self._manifests[name] = found
        return found

    async def file(self, sha256: str) -> str:
        """The path of a file whose digest was checked. Raises ``NotFound``, or ``Retryable`` when it cannot be had now;
        what was fetched by then is kept."""
        if not _DIGEST.fullmatch(sha256):
            raise InvalidInput(f"{sha256!r} is no SHA-256", where="assets", mend="64 hexadecimal digits name a file")
        fetching = self._fetching.get(sha256)
        if fetching is None:
            path = self._path(sha256)
            if self._is_checked(sha256, path):
                _used_now(path)
                return path
            fetching = asyncio.create_task(self._have(sha256, path))
            self._fetching[sha256] = fetching
            fetching.add_done_callback(lambda task: self._ended(sha256, task))
        # One who no longer waits must not end the fetch for the others.
        return await asyncio.shield(fetching)

    async def have(self, image: Manifest, *parts: str) -> None:
        """Have these parts of an image at hand before a machine asks for them. Raises as ``file`` does."""
        for file in (file for file in image.files if file.part in parts):
            await self.file(file.sha256)

    async def close(self) -> None:
        """End what is being fetched; its beginning is kept."""
        fetching = list(self._fetching.values())
        for task in fetching:
            task.cancel()
        if fetching:
            await asyncio.wait(fetching)

    def _ended(self, sha256: str, task: asyncio.Task[str]) -> None:
        self._fetching.pop(sha256, None)
        if not task.cancelled() and task.exception() is not None:
            log.warning("an image file cannot be had", sha256=sha256, reason=str(task.exception()))

    async def _have(self, sha256: str, path: str) -> str:
        if await asyncio.to_thread(_is_sound, path, sha256):
            self._note_checked(sha256, path)
            return path
        await self._fetch(sha256, path)
        self._note_checked(sha256, path)
        await asyncio.to_thread(self._make_room, sha256)
        return path

    async def _fetch(self, sha256: str, path: str) -> None:
        part, pause = f"{path}.part", first_pause
        for attempt in range(1, fetch_tries + 1):
            try:
                await self._go_on(sha256, part)
                break
            except Retryable as error:
                if attempt == fetch_tries:
                    raise
                log.info("fetching an image file broke off", sha256=sha256, reason=str(error), bytes=_size(part))
                await asyncio.sleep(error.after or pause)
                pause *= 2
            except OSError as error:
                raise Retryable(_disk_trouble(error), where=self.folder, mend="make room there") from error
        os.replace(part, path)

    async def _go_on(self, sha256: str, part: str) -> None:
        """Fetch what is missing of a file, and check it."""
        began = time.monotonic()
        async with self.source.image_file(sha256, _size(part)) as piece:
            with _opened(part, piece.offset) as file:
                async for chunk in piece.chunks():
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
        found = await asyncio.to_thread(_digest_of, part)
        if found != sha256:
            os.unlink(part)
            what = f"the region gave other bytes: their SHA-256 is {found}"
            raise Retryable(what, where=f"image file {sha256}", mend="`rackwright image verify` checks the region's")
        log.info("image file fetched", sha256=sha256, bytes=_size(part), seconds=round(time.monotonic() - began, 2))

    def _known(self, name: str) -> Manifest | None:
        with suppress(OSError, msgspec.MsgspecError), open(self._manifest_path(name), "rb") as file:
            return msgspec.json.decode(file.read(), type=Manifest)
        return None

    def _is_checked(self, sha256: str, path: str) -> bool:
        return sha256 in self._checked and self._checked[sha256] == _stamp(path)

    def _note_checked(self, sha256: str, path: str) -> None:
        _used_now(path)
        self._checked[sha256] = _stamp(path)

    def _make_room(self, keep: str) -> None:
        """Remove the files that were used least lately until the rest fits."""
        names = [name for name in os.listdir(self.folder) if _DIGEST.fullmatch(name) and name != keep]
        found = sorted((os.stat(self._path(name)).st_atime_ns, name) for name in names)
        room = self.limit - _size(self._path(keep)) - sum(_size(self._path(name)) for name in names)
        for _, name in found:
            if room >= 0:
                return
            room += _size(self._path(name))
            os.unlink(self._path(name))
            log.info("image file removed to make room", sha256=name)

    def _path(self, sha256: str) -> str:
        return os.path.join(self.folder, sha256)

    def _manifest_path(self, name: str) -> str:
        return os.path.join(self.folder, "manifests", f"{folder_name(name)}.json")


def _stamp(path: str) -> tuple[int, int]:
    """What changes when a file is written; (-1, -1) when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _used_now(path: str) -> None:
    """Note the use of a file in its access time, once a minute."""
    with suppress(OSError):
        found, now = os.stat(path), time.time_ns()
        if now - found.st_atime_ns > MINUTE_NS:
            os.utime(path, ns=(now, found.st_mtime_ns))


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


@contextmanager
def _opened(path: str, offset: int) -> Iterator[BinaryIO]:
    """The file, to go on at ``offset``; what it has beyond is dropped."""
    with open(path, "r+b" if offset else "wb") as file:
        file.truncate(offset)
        file.seek(offset)
        yield file


def _is_sound(path: str, sha256: str) -> bool:
    """Whether the file is there as it must be; one that is damaged is removed."""
    if not os.path.exists(path):
        return False
    if _digest_of(path) == sha256:
        return True
    log.error("a cached file was damaged and is fetched anew", path=path)
    os.unlink(path)
    return False


def _digest_of(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_trouble(error: OSError) -> str:
    return f"the rack's disk does not take the file: {error.strerror}"


def _write(path: str, data: bytes) -> None:
    """Write it, whole or not at all; several may do so at once."""
    draft = f"{path}.{secrets.token_hex(4)}.new"
    with open(draft, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
