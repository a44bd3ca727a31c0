"""Kernel modules: which others each one needs, and the order in which they are loaded."""

from __future__ import annotations

import lzma
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from rackwright.core.errors import Permanent

_SUFFIXES = (".ko", ".ko.xz")


def copy(source: Path, target: Path, wanted: Iterable[str]) -> list[str]:
    """Copy modules and all that they need from ``source`` (lib/modules/VERSION) into ``target``; gives the names in the
    order of loading. A module that is built into the kernel is left out. Raises Permanent for one that is not there."""
    files = {_name(path): path for path in sorted(source.rglob("*.ko*")) if path.name.endswith(_SUFFIXES)}
    built_in = {_name(Path(line)) for line in (source / "modules.builtin").read_text().splitlines()}
    order: list[str] = []
    for name in wanted:
        _add(name.replace("-", "_"), files, built_in, order)
    target.mkdir(parents=True, exist_ok=True)
    for name in order:
        (target / f"{name}.ko").write_bytes(_bytes(files[name]))
    return order


def copy_tree(source: Path, target: Path, folders: Iterable[str]) -> None:
    """Copy whole folders of modules (kernel/drivers/net, ...) as they lie, for a loader that looks them up itself."""
    for folder in folders:
        if (source / folder).is_dir():
            shutil.copytree(source / folder, target / folder)


def needs(data: bytes) -> list[str]:
    """The modules that a module's own description names (section .modinfo: ``depends=a,b``)."""
    found = re.search(rb"\0depends=([\w,-]*)\0", data)
    return [name.replace("-", "_") for name in found.group(1).decode().split(",") if name] if found else []


def _add(name: str, files: dict[str, Path], built_in: set[str], order: list[str]) -> None:
    if name in order or name in built_in:
        return
    if name not in files:
        raise Permanent(f"the kernel has no module {name}", mend="choose a kernel that has it")
    for other in needs(_bytes(files[name])):
        _add(other, files, built_in, order)
    order.append(name)


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
