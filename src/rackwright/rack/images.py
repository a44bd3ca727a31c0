"""The rack's image cache: files named by their SHA-256, fetched from the region on first use.

However many machines ask for a file at once, it is fetched once. A fetch that is cut off goes on where it ended (Range,
RFC 9110 section 14). Nothing is given out before its digest was checked: after the fetch, and once more when this
process first uses a file, or when the file has changed on the disk. A disk that is full is told of; the cache leaves
some of it free for the others who need it, and goes on once there is room.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from typing import Any, BinaryIO, Protocol

import msgspec
import structlog

from rackwright.core.errors import InvalidInput, RackwrightError, Retryable
from rackwright.core.images import Manifest
from rackwright.core.jig import folder_name
from rackwright.rack import image_files
from rackwright.rack.bandwidth import Bandwidth
from rackwright.rack.image_room import MIB, Room
from rackwright.rack.together import Together

GIB = 1024**3

fresh_for = 15.0
"""Seconds for which a manifest is used without asking the region whether the name means another one by now."""

manifest_patience = 3.0
"""Seconds for the region to answer that; then the known one is used."""

ASKED_AT_ONCE = 1000
"""Machines whose question for a manifest is answered together."""

fetch_tries = 5
"""Tries to go on with a file, one after the other, before those who wait are told."""

full_pause = 15.0
"""Seconds after which one may ask again for a file for which the disk had no room."""

first_pause = 0.5
"""Seconds before the second try; each further pause is twice as long."""

GROWTH = 64 * MIB
"""Bytes by which a file grows between two looks whether all files are within the limit."""

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
    """Keeps images in ``folder``, in all at most ``limit`` bytes. ``from_region`` and ``to_machines`` are budgets of
    what is fetched and given out; ``changed`` is called when ``state`` gives something else."""

    def __init__(self, folder: str, source: ImageSource, limit: int = 50 * GIB) -> None:
        self.folder = folder
        self.source = source
        self.room = Room(folder, limit)
        self.from_region, self.to_machines = Bandwidth(), Bandwidth()
        self.changed: Callable[[], object] = lambda: None
        self._trouble = ""
        self._fetching: dict[str, asyncio.Task[str]] = {}
        self._checked: dict[str, tuple[int, int]] = {}
        self._questions = Together(self._told, ASKED_AT_ONCE)
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
                found = await self._questions.one(name)
        except (Retryable, TimeoutError) as error:
            if known is None:
                raise
            log.info("the region does not say what an image is; the known one is used", image=name, reason=str(error))
            return known
        if found != known:
            await self._keep(name, found)
        self._manifests[name] = found
        return found

    async def _told(self, names: Sequence[str]) -> list[Manifest | Exception]:
        """What the region says that these names mean; machines come in swarms, and ask for the same."""
        told: dict[str, Manifest | Exception] = {}
        for name in dict.fromkeys(names):
            try:
                told[name] = await self.source.manifest(name)
            except RackwrightError as error:
                told[name] = error
        return [told[name] for name in names]

    async def file(self, sha256: str) -> str:
        """The path of a file whose digest was checked. Raises ``NotFound``, or ``Retryable`` when it cannot be had now;
        what was fetched by then is kept."""
        if not _DIGEST.fullmatch(sha256):
            raise InvalidInput(f"{sha256!r} is no SHA-256", where="assets", mend="64 hexadecimal digits name a file")
        fetching = self._fetching.get(sha256)
        if fetching is None:
            path = self._path(sha256)
            if self._is_checked(sha256, path):
                image_files.used_now(path)
                return path
            fetching = asyncio.create_task(self._have(sha256, path))
            self._fetching[sha256] = fetching
            fetching.add_done_callback(lambda task: self._ended(sha256, task))
            self.changed()
        # One who no longer waits must not end the fetch for the others.
        return await asyncio.shield(fetching)

    def reading(self, sha256: str) -> AbstractContextManager[None]:
        """As long as it lasts this file is not removed to make room."""
        return self.room.reading(sha256)

    def state(self) -> dict[str, Any]:
        """What people read of it: files, bytes and limit; of each file that is being fetched the bytes that are there;
        the budgets in bytes a second; and what is wrong."""
        files, used = self.room.used()
        fetching = {sha256: image_files.size(f"{self._path(sha256)}.part") for sha256 in sorted(self._fetching)}
        rates = {"from_region": self.from_region.rate, "to_machines": self.to_machines.rate}
        said = {"files": files, "bytes": used, "limit": self.room.limit, "fetching": fetching, "trouble": self._trouble}
        return {name: value for name, value in {**said, **rates}.items() if value or name in ("files", "bytes")}

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
        self.changed()

    async def _have(self, sha256: str, path: str) -> str:
        if not await asyncio.to_thread(image_files.is_sound, path, sha256):
            await self._fetch(sha256, path)
        image_files.used_now(path)
        self._checked[sha256] = image_files.stamp(path)
        await self._make_room()
        return path

    async def _fetch(self, sha256: str, path: str) -> None:
        part, pause, attempt = f"{path}.part", first_pause, 1
        while True:
            try:
                await self._go_on(sha256, part)
                break
            except Retryable as error:
                if attempt == fetch_tries:
                    raise
                log.info("fetching an image file broke off", sha256=sha256, reason=str(error))
                await asyncio.sleep(error.after or pause)
                pause, attempt = pause * 2, attempt + 1
            except OSError as error:
                await self._find_room(error, part)
        os.replace(part, path)
        self._trouble = ""

    async def _go_on(self, sha256: str, part: str) -> None:
        """Fetch what is missing of a file, and check it."""
        began, grown = time.monotonic(), 0
        async with self.source.image_file(sha256, image_files.size(part)) as piece:
            with image_files.opened(part, piece.offset) as file:
                async for chunk in piece.chunks():
                    await self.from_region.take(len(chunk))
                    await asyncio.to_thread(self._write, file, chunk)
                    grown += len(chunk)
                    if grown > GROWTH:
                        await self._make_room()
                        grown = 0
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
        found = await asyncio.to_thread(image_files.digest_of, part)
        if found != sha256:
            os.unlink(part)
            what = f"the region gave other bytes: their SHA-256 is {found}"
            raise Retryable(what, where=f"image file {sha256}", mend="`rackwright image verify` checks the region's")
        took = round(time.monotonic() - began, 2)
        log.info("image file fetched", sha256=sha256, bytes=image_files.size(part), seconds=took)

    def _write(self, file: BinaryIO, chunk: bytes) -> None:
        if self.room.free() < len(chunk):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.folder)
        file.write(chunk)

    async def _make_room(self) -> None:
        await asyncio.to_thread(self.room.make, frozenset(self._fetching))

    async def _find_room(self, error: OSError, part: str) -> None:
        """Remove a file because the disk takes no more. Where none can go, what was fetched is given up, so that others
        can use the disk, and ``Retryable`` is raised."""
        full = image_files.is_full(error)
        if full and await asyncio.to_thread(self.room.make_some, frozenset(self._fetching)):
            return
        what = f"the rack's disk does not take the file: {error.strerror}"
        if full:
            with suppress(FileNotFoundError):
                os.unlink(part)
        mend = f"make room there: images leave {self.room.reserve // MIB} MiB free for the rack itself"
        trouble = Retryable(what, where=self.folder, mend=mend, after=full_pause)
        self._trouble = str(trouble)
        raise trouble from error

    async def _keep(self, name: str, image: Manifest) -> None:
        """Keep what a name means now. A disk that is full keeps nobody from booting."""
        try:
            await asyncio.to_thread(image_files.write_whole, self._manifest_path(name), msgspec.json.encode(image))
        except OSError as error:
            log.warning("what an image is cannot be kept on the rack's disk", image=name, reason=error.strerror)

    def _known(self, name: str) -> Manifest | None:
        with suppress(OSError, msgspec.MsgspecError), open(self._manifest_path(name), "rb") as file:
            return msgspec.json.decode(file.read(), type=Manifest)
        return None

    def _is_checked(self, sha256: str, path: str) -> bool:
        return sha256 in self._checked and self._checked[sha256] == image_files.stamp(path)

    def _path(self, sha256: str) -> str:
        return os.path.join(self.folder, sha256)

    def _manifest_path(self, name: str) -> str:
        return os.path.join(self.folder, "manifests", f"{folder_name(name)}.json")
