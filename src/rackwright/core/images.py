"""What can be booted or installed: an image is a manifest and the files that it names by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

ImageKind = Literal["discovery", "disk", "installer", "memory"]
Part = Literal["kernel", "ramdisk", "rescue", "storage", "disk", "other"]
"""``rescue`` and ``storage`` are second ramdisks, unpacked over the first: in the rescue system only, and where
an image is to be written to a volume or a mirror."""
Compression = Literal["none", "gzip", "zstd"]


class ImageFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an image. It is kept and served under its digest."""

    name: str
    part: Part
    bytes: int
    sha256: str
    """Hexadecimal, of the file as it is."""
    compression: Compression = "none"
    raw_bytes: int = 0
    """Of a disk: its size once unpacked."""
    raw_sha256: str = ""
    """Of a disk: of what is written."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is. Its digest names it; ``signature`` is Ed25519 over the digest by the key in ``key``."""

    name: str
    """Like ``debian-12`` or ``discovery``."""
    version: str
    kind: ImageKind
    arch: str = "x86_64"
    firmware: tuple[str, ...] = ("bios", "uefi")
    files: tuple[ImageFile, ...] = ()
    arguments: str = ""
    """Kernel arguments that it needs."""
    properties: dict[str, Any] = {}
    """``cloud_init``: true or false; ``root``: number of the root partition; ``layouts``: where besides flat
    its root can stand; ``os``: id and version; ``user``; ..."""
    made_at: float = 0.0
    key: str = ""
    """Public key, base64; empty: unsigned."""
    signature: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all but the signature, as canonical JSON."""
        said = msgspec.structs.replace(self, key="", signature="")
        return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()

    def file(self, part: Part) -> ImageFile | None:
        """The first file of this part."""
        return next((file for file in self.files if file.part == part), None)
