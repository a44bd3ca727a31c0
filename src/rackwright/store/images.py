"""The region's images: files under their SHA-256, manifests under their digest, in one folder of the data folder.

Nothing appears there before it is whole and its digest was checked. Several processes may use one folder at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec

from rackwright.core.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from rackwright.core.images import Manifest

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class ImageFolder:
    """Images in one folder, which is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self._files, self._manifests = folder / "files", folder / "manifests"

    def all(self) -> list[Manifest]:
        """Every image, the one that was added last first."""
        with suppress(FileNotFoundError):
            found = [(path.stat().st_mtime_ns, path) for path in self._manifests.glob("*.json")]
            return [_read(path) for _, path in sorted(found, reverse=True)]
        return []

    def find(self, name: str) -> Manifest:
        """The image of this digest, or the one of this name that was added last. Raises NotFound."""
        if _DIGEST.fullmatch(name):
            with suppress(FileNotFoundError):
                return _read(self._manifests / f"{name}.json")
        found = next((image for image in self.all() if image.name == name), None)
        if found is None:
            known = ", ".join(sorted({image.name for image in self.all()})) or "none"
            mend = f"add it with `rackwright image import`; there are: {known}"
            raise NotFound(f"there is no image {name!r}", where="images", mend=mend)
        return found

    def path(self, sha256: str) -> Path:
        """Where a file is. Raises NotFound, or InvalidInput for what is no digest."""
        if not _DIGEST.fullmatch(sha256):
            raise InvalidInput(f"{sha256!r} is no SHA-256", where="images", mend="64 hexadecimal digits name a file")
        path = self._files / sha256
        if not path.is_file():
            raise NotFound(f"there is no image file {sha256}", where="images", mend="import the image again")
        return path

    async def receive(self, sha256: str, pieces: AsyncIterator[bytes]) -> int:
        """Take a file as it comes; gives its length. It is there once all of it is and its digest is ``sha256``. Raises
        InvalidInput for another digest, StoreUnavailable when the disk does not take it."""
        if not _DIGEST.fullmatch(sha256):
            raise InvalidInput(f"{sha256!r} is no SHA-256", where="images", mend="64 hexadecimal digits name a file")
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._files / f".{sha256}.{secrets.token_hex(4)}"
        try:
            total, size = hashlib.sha256(), 0
            with draft.open("wb") as file:
                async for piece in pieces:
                    total.update(piece)
                    size += len(piece)
                    await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if total.hexdigest() != sha256:
                what = f"the {size} bytes have the SHA-256 {total.hexdigest()}, not {sha256}"
                raise InvalidInput(what, where="images", mend="send the file again, all of it")
            draft.rename(self._files / sha256)
        except OSError as error:
            what = f"the image file cannot be kept: {error.strerror}"
            raise StoreUnavailable(what, where=str(self._files), mend="make room there") from error
        finally:
            draft.unlink(missing_ok=True)
        return size

    def add(self, manifest: Manifest) -> None:
        """Make an image known, once all its files are here. Its name means it from now on. Raises InvalidInput or
        Conflict."""
        if not _NAME.fullmatch(manifest.name) or _DIGEST.fullmatch(manifest.name):
            mend = "use small letters, digits, '.', '_' and '-'"
            raise InvalidInput(f"{manifest.name!r} is no name for an image", where="name", mend=mend)
        for file in manifest.files:
            try:
                size = self.path(file.sha256).stat().st_size
            except NotFound:
                mend = f"send it first, to images/files/{file.sha256}"
                raise Conflict(f"its file {file.name} is not here", where=manifest.name, mend=mend) from None
            if size != file.bytes:
                what = f"{file.name} has {size} bytes, the manifest says {file.bytes}"
                raise InvalidInput(what, where=manifest.name, mend="make the manifest again")
        self._manifests.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._manifests / f".{manifest.digest}.{secrets.token_hex(4)}"
        with draft.open("wb") as opened:
            opened.write(msgspec.json.encode(manifest))
            opened.flush()
            os.fsync(opened.fileno())
        draft.rename(self._manifests / f"{manifest.digest}.json")

    def remove(self, name: str) -> Manifest:
        """Forget an image, and its files that no other one has; gives what was removed. Raises NotFound."""
        gone = self.find(name)
        (self._manifests / f"{gone.digest}.json").unlink(missing_ok=True)
        kept = {file.sha256 for image in self.all() for file in image.files}
        for file in gone.files:
            if file.sha256 not in kept:
                (self._files / file.sha256).unlink(missing_ok=True)
        return gone

    def faults(self, manifest: Manifest) -> list[str]:
        """What is wrong with the files of an image; every byte is read."""
        return [said for file in manifest.files if (said := self._fault(file.name, file.sha256, file.bytes))]

    def _fault(self, name: str, sha256: str, size: int) -> str:
        try:
            with self.path(sha256).open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
                there = opened.tell()
        except NotFound:
            return f"{name} is missing"
        if found != sha256:
            return f"{name} is damaged: {there} bytes with the SHA-256 {found}, not {size} with {sha256}"
        return ""


def _read(path: Path) -> Manifest:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.MsgspecError as error:
        mend = "remove the file and import the image again"
        raise StoreUnavailable(f"the manifest is damaged: {error}", where=str(path), mend=mend) from None
