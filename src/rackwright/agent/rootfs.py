"""The root file system of a system that was just written: it is grown to its partition, and given its first files."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rackwright.agent import writing

_EXT4_RESIZE = 0x40086610
"""EXT4_IOC_RESIZE_FS of linux/fs/ext4/ext4.h: the new number of blocks, of a mounted file system."""
_EXT4_MAGIC_AT, _EXT4_MAGIC = 1024 + 56, b"\x53\xef"
_EXT4_UUID_AT = 1024 + 104


class Stuck(Exception):
    """A program or the kernel would not do it."""


@contextmanager
def mounted(device: str, folder: str, patience: float = 10.0) -> Iterator[str]:
    """Have a file system mounted while this lasts. The device may be a moment late: the kernel has just read the
    partition table. Raises Stuck."""
    writing.appear(device, patience)
    os.makedirs(folder, exist_ok=True)
    _run("mount", device, folder)
    try:
        yield folder
    finally:
        os.sync()
        _run("umount", folder)


def is_ext(device: str) -> bool:
    """Whether it holds ext2, 3 or 4."""
    with open(device, "rb") as file:
        file.seek(_EXT4_MAGIC_AT)
        return file.read(2) == _EXT4_MAGIC


def identity(device: str) -> str:
    """The UUID of an ext4. Raises LookupError for another file system."""
    if not is_ext(device):
        raise LookupError(f"{device} holds no ext4")
    with open(device, "rb") as file:
        file.seek(_EXT4_UUID_AT)
        text = file.read(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def grow(device: str, folder: str) -> int:
    """Make a mounted ext4 as large as its device; gives its new size in bytes. Raises OSError."""
    with open(device, "rb") as disk:
        size = disk.seek(0, os.SEEK_END)
    block = os.statvfs(folder).f_bsize
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(place, _EXT4_RESIZE, struct.pack("Q", size // block))
    finally:
        os.close(place)
    return os.statvfs(folder).f_blocks * block


def add_swap(root: str, device: str) -> None:
    """Make a device swap, and have the system below ``root`` use it from its next start on. Raises Stuck."""
    _run("mkswap", device)
    with open(os.path.join(root, "etc/fstab"), "a", encoding="utf-8") as table:
        table.write(f"{device} none swap sw 0 0\n")


def plant(root: str, seed: dict[str, Any]) -> str:
    """Write one file below ``root``: ``content`` (``encoding: base64`` for bytes) with ``mode`` (octal text or number),
    or a symbolic link to ``link``. Gives its path. Raises Stuck when it would lie outside of ``root``."""
    path = os.path.normpath("/" + str(seed["path"]))
    target = os.path.join(root, path.lstrip("/"))
    folder = os.path.dirname(target)
    _within(root, folder, path)
    os.makedirs(folder, exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    if seed.get("link"):
        os.symlink(str(seed["link"]), target)
        return path
    content = str(seed.get("content", ""))
    data = base64.b64decode(content) if seed.get("encoding") == "base64" else content.encode()
    said = seed.get("mode", 0o644)
    mode = int(said, 8) if isinstance(said, str) else int(said)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    return path


def _within(root: str, folder: str, path: str) -> None:
    """The image may hold links that lead out of it."""
    real, top = os.path.realpath(folder), os.path.realpath(root)
    if real != top and not real.startswith(top.rstrip("/") + "/"):
        raise Stuck(f"{path} would lie outside of the installed system, at {real}")


def _run(program: str, *words: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise Stuck(f"there is no program {program} here")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Stuck(f"{program} {' '.join(words)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
