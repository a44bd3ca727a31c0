"""What the jig ``boot`` waits for: that the door answers a machine with what was asked for."""

from __future__ import annotations

from rackwright.core.bootenv import Bootenv, Kind
from rackwright.core.desk import NowServed
from rackwright.core.errors import InvalidInput, NotFound, Permanent
from rackwright.rack.door.boot import BOOTED_PARTS
from rackwright.rack.door.boot_choice import wanted_image
from rackwright.rack.images import ImageCache
from rackwright.rack.replica import Replica


class DoorBoot:
    """The boot service of a rack. It is a ``core.desk.BootService``."""

    def __init__(self, replica: Replica, images: ImageCache) -> None:
        self.replica = replica
        self.images = images

    async def served(self, node: str, request: str, kind: Kind | None) -> NowServed:
        """Wait until the node boots what this request asks for; see ``BootService``. Raises ``Permanent`` when no image
        can ever be booted for it."""
        bootenv, generation = await self._told(node, request, kind)
        await self._fetch(node, bootenv)
        while self.replica.applied < generation:
            await self.replica.changed()
        return NowServed(request=request, kind=bootenv.kind, generation=generation)

    def missing(self, node: str, request: str, kind: Kind | None) -> str:
        """What is still missing for this; see ``BootService``."""
        found = self.replica.named(node)
        if found is None:
            return "the region has not told the rack of this machine"
        now = self.replica.effective_bootenv(found)
        if not _is(now, request, kind):
            wanted = f"{kind or 'anything'} for request {request!r}"
            return f"it is to boot {now.kind} for request {now.request!r}, not {wanted}: has a newer one replaced it?"
        applied, generation = self.replica.applied, self.replica.generation
        if applied < generation:
            return f"DHCP answers from generation {applied} only, of {generation}: see the rack's log"
        return "the files of its image are not on the rack"

    async def _told(self, name: str, request: str, kind: Kind | None) -> tuple[Bootenv, int]:
        """Wait for the region's word; gives the boot environment and the generation with which it is here."""
        while True:
            node = self.replica.named(name)
            if node is not None:
                bootenv = self.replica.effective_bootenv(node)
                if _is(bootenv, request, kind):
                    return bootenv, self.replica.generation
            await self.replica.changed()

    async def _fetch(self, node: str, bootenv: Bootenv) -> None:
        try:
            image = wanted_image(bootenv, self.replica.rack())
            if image:
                await self.images.have(await self.images.manifest(image), *BOOTED_PARTS)
        except (InvalidInput, NotFound) as error:
            raise Permanent(error.what, where=f"{node}: {error.where}", mend=error.mend) from error


def _is(bootenv: Bootenv, request: str, kind: Kind | None) -> bool:
    return bootenv.request == request and kind in (None, bootenv.kind)
