"""Small files of the kernel, read as texts."""

from __future__ import annotations

import os


def text(*parts: str) -> str:
    """The text of a small file without the blanks round it; empty when it is not there or cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:
            return file.read(65536).strip(" \t\n\0")
    except OSError:
        return ""


def whole(*parts: str) -> str:
    """The whole text of a file that may be long, such as /proc/cpuinfo of a machine with 512 threads."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def number(*parts: str) -> int | None:
    """A small file as a whole number; None when it is none."""
    try:
        return int(text(*parts), 0)
    except ValueError:
        return None


def names(*parts: str) -> list[str]:
    """The names in a folder, sorted; none when it is not there."""
    try:
        return sorted(os.listdir(os.path.join(*parts)))
    except OSError:
        return []


def link(*parts: str) -> str:
    """The last part of what a link points to; empty when there is none."""
    try:
        return os.path.basename(os.readlink(os.path.join(*parts)))
    except OSError:
        return ""
