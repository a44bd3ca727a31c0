"""Code and catalog as one archive, named by its fingerprint: what a worker needs to answer the chunks of a run."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import rackwright
from rackwright.engine.serialization.answering import squeezed
from rackwright.engine.serialization.processes import Work

LIBRARIES = ("msgspec", "PyYAML", "yaql")
"""Libraries that shape the bytes of an answer: all workers must have the same versions."""

# The law of the house closes this set: the engine imports nothing but the core.
_ROOMS = ("core", "engine")
_MANIFEST, _SETUP, _CODE = "manifest.json", "setup", "code/"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Archive:
    """An archive and its fingerprint."""

    fingerprint: str
    data: bytes


@dataclass(frozen=True)
class Unpacked:
    """An archive at a worker: the folder of its code, which has the code's fingerprint as its name, the function in
    it as ``module:function``, and the setup, squeezed."""

    code: Path
    function: str
    setup: bytes


def pack(setup: bytes, work: Work) -> Archive:
    """Make the archive of a run. Equal code and setup give equal bytes."""
    buffer = io.BytesIO()
    buffer.write(_code(work.function, tuple((file.name, file.read_bytes()) for file in work.files)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo(_SETUP, _EPOCH), squeezed(setup))
    return Archive(fingerprint(buffer.getvalue()), buffer.getvalue())


def unpack(data: bytes, folder: Path) -> Unpacked:
    """Unpack an archive below ``folder``; code that is there already is used."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read(_MANIFEST))
        code = folder / manifest["code"]
        if not code.exists():
            fresh = folder / f"{manifest['code']}.{os.getpid()}"
            archive.extractall(fresh, [name for name in archive.namelist() if name.startswith(_CODE)])
            (fresh / _CODE).rename(code)
            shutil.rmtree(fresh)
        return Unpacked(code, manifest["function"], archive.read(_SETUP))


def fingerprint(data: bytes) -> str:
    """Give the name of an archive with these bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def libraries() -> dict[str, str]:
    """Give the versions of the libraries here that shape the bytes of an answer."""
    return {name: version(name) for name in LIBRARIES}


@functools.lru_cache(maxsize=2)
def _code(function: str, added: tuple[tuple[str, bytes], ...]) -> bytes:
    """Give an archive that has no setup yet; ``added`` are files beside the package."""
    sources = {**_sources_of_package(), **dict(added)}
    manifest = {"code": _fingerprint_of(sources), "function": function}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(zipfile.ZipInfo(_MANIFEST, _EPOCH), json.dumps(manifest))
        for name, source in sources.items():
            archive.writestr(zipfile.ZipInfo(_CODE + name, _EPOCH), source, zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()


@functools.cache
def _sources_of_package() -> Mapping[str, bytes]:
    """Read once, so that an upgrade below a running process does not mix two versions."""
    package = Path(rackwright.__file__).parent
    files = [package / "__init__.py", *(file for room in _ROOMS for file in (package / room).rglob("*.py"))]
    return {file.relative_to(package.parent).as_posix(): file.read_bytes() for file in sorted(files)}


def _fingerprint_of(sources: Mapping[str, bytes]) -> str:
    return fingerprint(json.dumps({name: fingerprint(source) for name, source in sorted(sources.items())}).encode())
