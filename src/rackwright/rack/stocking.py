"""Images at hand before a machine asks: those that boot environments name, and those that the rack's facts list.

The facts of the rack ``desired.rack.prefetch`` (names of images by their digests) and ``desired.rack.bandwidth`` (bytes
a second: ``region`` for what is fetched, ``machines`` for what is given out) come with what the rack serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from rackwright.core.errors import RackwrightError
from rackwright.core.images import ImageFile, Manifest
from rackwright.core.served import ServedRack
from rackwright.rack.door.boot import BOOTED_PARTS
from rackwright.rack.door.boot_choice import discovery_image
from rackwright.rack.images import ImageCache
from rackwright.rack.replica import Replica

again = 60.0
"""Seconds after which what could not be had is tried again."""
look_again = 600.0
"""Seconds after which the region is asked whether names mean other images by now."""

log = structlog.get_logger()


class Wanted(NamedTuple):
    """Images that machines will ask for: those that are booted, and those of which every file is needed."""

    booted: frozenset[str]
    whole: frozenset[str]


class Stocking:
    """Keeps the cache of a rack in stock, within its limit and its budget."""

    def __init__(self, replica: Replica, images: ImageCache) -> None:
        self.replica = replica
        self.images = images

    async def run(self) -> None:
        """Follow what the rack serves until cancelled."""
        while True:
            rack = self.replica.rack()
            self._budget(rack)
            wanted = wanted_images(rack, self.replica.images())
            files, all_known = await self._files(wanted)
            self.images.room.wanted = frozenset(file.sha256 for file in files)
            all_there = await self._fetch(files)
            await self._news(rack, wanted, look_again if all_known and all_there else again)

    async def _news(self, rack: ServedRack | None, wanted: Wanted, patience: float) -> None:
        """Wait until something else is wanted, or for so many seconds."""
        try:
            async with asyncio.timeout(patience):
                while self.replica.rack() == rack and wanted_images(rack, self.replica.images()) == wanted:
                    await self.replica.changed()
        except TimeoutError:
            return

    def _budget(self, rack: ServedRack | None) -> None:
        said = rack.settings.get("bandwidth") if rack else None
        self.images.from_region.rate = _rate(said, "region")
        self.images.to_machines.rate = _rate(said, "machines")
        self.images.changed()

    async def _files(self, wanted: Wanted) -> tuple[list[ImageFile], bool]:
        """The files of what is wanted, each once, first those that are booted; and whether all images are known."""
        files: dict[str, ImageFile] = {}
        all_known = True
        for names, parts in ((wanted.booted, BOOTED_PARTS), (wanted.whole, None)):
            for name in sorted(names):
                manifest = await self._manifest(name)
                all_known = all_known and manifest is not None
                if manifest is not None:
                    files |= {file.sha256: file for file in manifest.files if parts is None or file.part in parts}
        return list(files.values()), all_known

    async def _manifest(self, name: str) -> Manifest | None:
        try:
            return await self.images.manifest(name)
        except RackwrightError as error:
            log.info("an image that machines will ask for is not known", image=name, reason=str(error))
            return None

    async def _fetch(self, files: Sequence[ImageFile]) -> bool:
        """Fetch one file after the other, as many as fit; False when some of them cannot be had now."""
        room, all_there = self.images.room.limit, True
        for file in files:
            room -= file.bytes
            if room < 0:
                log.warning("more images are wanted than the cache may keep", limit=self.images.room.limit)
                break
            try:
                await self.images.file(file.sha256)
            except RackwrightError as error:
                all_there = False
                log.info("an image file cannot be had before it is asked for", file=file.name, reason=str(error))
        return all_there


def wanted_images(rack: ServedRack | None, named: Sequence[tuple[str, str]]) -> Wanted:
    """What will be asked for; ``named``: of boot environments the image that is booted (empty: the rack's discovery
    image) and the one that is written to the disk (empty: none)."""
    discovery = discovery_image(rack)
    listed = rack.settings.get("prefetch") if rack else None
    booted = {discovery, *(booted or discovery for booted, _ in named)}
    whole = {*(listed if isinstance(listed, dict) else ()), *(written for _, written in named if written)}
    return Wanted(frozenset(booted), frozenset(whole))


def _rate(said: Mapping[str, Any] | None, name: str) -> float | None:
    """A budget as people set it; what is no number above zero sets none."""
    rate = said.get(name) if isinstance(said, dict) else None
    return float(rate) if isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0 else None
