"""What racks know of images: one fact of each rack, so that tasks may choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rackwright.core.errors import NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.images import Manifest
from rackwright.core.ports import Store
from rackwright.engine import intake
from rackwright.engine.library import CatalogLibrary

FACT = "images"
"""A mapping of name to manifest, with its ``digest``. It is one fact, for names hold dots."""
WRITER = "images"
PREFETCH = "desired.rack.prefetch"
"""Facts of a rack: names of images by the digests of those that it is to have at hand."""


async def tell_racks(
    store: Store, library: CatalogLibrary, images: Sequence[Manifest], racks: Sequence[str] | None = None
) -> None:
    """Let racks (None: all) know these images; of each name the first counts. Tasks that read another choice run
    again."""
    newest: dict[str, dict[str, Any]] = {}
    for image in images:
        newest.setdefault(image.name, {**msgspec.to_builtins(image), "digest": image.digest})
    async with store.transaction() as tx:
        told = await tx.named("rack", racks)
    known = dict(sorted(newest.items()))
    await intake.put_facts(store, library, [FactWrite(rack.id, FACT, known, WRITER) for rack in told.values()])


async def prefetch(
    store: Store, library: CatalogLibrary, image: Manifest, racks: Sequence[str] | None, *, wanted: bool
) -> list[str]:
    """Let racks (None: all) have an image at hand from now on, or no longer; gives their names. Raises NotFound."""
    async with store.transaction() as tx:
        known = await tx.named("rack", racks)
    unknown = sorted(set(racks or ()) - set(known))
    if unknown:
        raise NotFound(f"there is no rack {unknown[0]}", mend="`rackwright get racks` lists those that there are")
    path, name = f"{PREFETCH}.{image.digest}", image.name if wanted else None
    writes = [FactWrite(rack.id, path, name, PEOPLE) for rack in known.values()]
    await intake.put_facts(store, library, writes)
    return sorted(known)
