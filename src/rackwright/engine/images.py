"""What racks know of images: one fact of each rack, so that tasks may choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rackwright.core.facts import FactWrite
from rackwright.core.images import Manifest
from rackwright.core.ports import Store
from rackwright.engine import intake
from rackwright.engine.library import CatalogLibrary

FACT = "images"
"""A mapping of name to manifest, with its ``digest``. It is one fact, for names hold dots."""
WRITER = "images"


async def tell_racks(store: Store, library: CatalogLibrary, images: Sequence[Manifest]) -> None:
    """Let every rack know these images; of each name the first counts. Tasks that read another choice run again."""
    newest: dict[str, dict[str, Any]] = {}
    for image in images:
        newest.setdefault(image.name, {**msgspec.to_builtins(image), "digest": image.digest})
    async with store.transaction() as tx:
        racks = await tx.named("rack", None)
    known = dict(sorted(newest.items()))
    await intake.put_facts(store, library, [FactWrite(rack.id, FACT, known, WRITER) for rack in racks.values()])
