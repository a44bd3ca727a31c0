"""What an image is brought in from: a folder with a manifest, as builds leave it, or a file of a disk as it was
published."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import zstandard

from rackwright.core.errors import InvalidInput, StoreUnavailable
from rackwright.core.images import Compression, ImageFile, ImageKind, Manifest, Part

MANIFEST = "manifest.json"
PIECE = 1 << 20
_MAGIC: Mapping[bytes, str] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"QFI\xfb": "qcow2"}


class Given(NamedTuple):
    """What people say of files that come without a manifest."""

    name: str
    version: str
    kind: ImageKind
    properties: dict[str, Any]
    arguments: str = ""


def pieces(file: Path) -> Iterator[bytes]:
    """A file, piece by piece."""
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece


def of_folder(folder: Path) -> tuple[Manifest, dict[str, Path]]:
    """The image that a folder holds: its manifest, and its files by digest. Raises InvalidInput."""
    file = folder / MANIFEST if folder.is_dir() else folder
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        mend = "name a folder that `rackwright image build` wrote, or a file with --name"
        raise InvalidInput(f"there is no manifest: {error}", where=str(file), mend=mend) from None
    files = {said.sha256: file.parent / said.name for said in manifest.files}
    for said in manifest.files:
        found = described(file.parent / said.name, said.part).sha256
        if found != said.sha256:
            what = f"{said.name} has the SHA-256 {found}, the manifest says {said.sha256}"
            raise InvalidInput(what, where=str(folder), mend="build the image again, or copy it again")
    return manifest, files


def of_files(given: Given, parts: Mapping[Part, Path]) -> tuple[Manifest, dict[str, Path]]:
    """An image of single files: a disk, or a kernel and its ramdisk. Raises InvalidInput."""
    described_files = [described(path, part) for part, path in parts.items()]
    manifest = Manifest(
        name=given.name,
        version=given.version,
        kind=given.kind,
        files=tuple(described_files),
        arguments=given.arguments,
        properties=given.properties,
    )
    paths = zip(described_files, parts.values(), strict=True)
    return manifest, {said.sha256: path for said, path in paths}


def described(path: Path, part: Part) -> ImageFile:
    """What a manifest says of a file; of a disk also what it is once unpacked. Raises InvalidInput."""
    try:
        packed = hashlib.sha256()
        for piece in pieces(path):
            packed.update(piece)
        size = path.stat().st_size
        if part != "disk":
            return ImageFile(name=path.name, part=part, bytes=size, sha256=packed.hexdigest())
        compression, raw, length = _unpacked(path)
    except (OSError, zlib.error, zstandard.ZstdError) as error:
        raise InvalidInput(f"it cannot be read: {error}", where=str(path), mend="get the file again") from None
    return ImageFile(
        name=path.name, part=part, bytes=size, sha256=packed.hexdigest(),
        compression=compression, raw_bytes=length, raw_sha256=raw,
    )  # fmt: skip


@contextmanager
def at_hand(source: str, work: Path, sha256: str = "") -> Iterator[Path]:
    """The file that a path or URL names: fetched if need be, its digest compared if it is given, and a disk in the form
    qcow2 turned into a raw one (by qemu-img), packed by zstd. Raises InvalidInput or StoreUnavailable."""
    file = _fetched(source, work) if "://" in source else Path(source)
    if not file.is_file():
        raise InvalidInput("there is no such file", where=source)
    if sha256:
        found = described(file, "other").sha256
        if found != sha256.lower():
            raise InvalidInput(f"its SHA-256 is {found}, not {sha256}", where=source, mend="get the file again")
    yield _raw(file, work) if _form(file) == "qcow2" else file


def _form(file: Path) -> str:
    with file.open("rb") as opened:
        start = opened.read(4)
    return next((form for magic, form in _MAGIC.items() if start.startswith(magic)), "none")


def _unpacked(path: Path) -> tuple[Compression, str, int]:
    """How a disk is packed; the SHA-256 and the length of what is in it."""
    form, total, length = _form(path), hashlib.sha256(), 0
    with path.open("rb") as opened:
        if form == "zstd":
            stream: Iterator[bytes] = iter(zstandard.ZstdDecompressor().read_to_iter(opened))
        else:
            stream = _gunzipped(path) if form == "gzip" else pieces(path)
        for piece in stream:
            total.update(piece)
            length += len(piece)
    compression: Compression = "zstd" if form == "zstd" else "gzip" if form == "gzip" else "none"
    return compression, total.hexdigest(), length


def _gunzipped(path: Path) -> Iterator[bytes]:
    stream = zlib.decompressobj(31)
    for piece in pieces(path):
        rest = piece
        while rest:
            if stream.eof:
                stream = zlib.decompressobj(31)
            yield stream.decompress(rest, PIECE)
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
        while not stream.eof and (data := stream.decompress(b"", PIECE)):
            yield data
    if not stream.eof:
        raise zlib.error("the gzip stream ends too early")


def _fetched(url: str, work: Path) -> Path:
    file = work / (url.rpartition("/")[2] or "image")
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60.0) as response, file.open("wb") as into:
            response.raise_for_status()
            for piece in response.iter_bytes(PIECE):
                into.write(piece)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreUnavailable(f"it cannot be fetched: {error}", where=url, mend="check the address") from None
    return file


def _raw(file: Path, work: Path) -> Path:
    program = shutil.which("qemu-img")
    if program is None:
        raise InvalidInput("disks in the form qcow2 need the program qemu-img", where=str(file), mend="install it")
    raw, packed = work / "disk.raw", work / f"{file.stem}.raw.zst"
    done = subprocess.run(
        [program, "convert", "-f", "qcow2", "-O", "raw", str(file), str(raw)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InvalidInput(f"qemu-img: {done.stderr.strip()}", where=str(file), mend="get the file again")
    with raw.open("rb") as opened, packed.open("wb") as into:
        zstandard.ZstdCompressor(level=6, threads=-1).copy_stream(opened, into)
    raw.unlink()
    return packed
