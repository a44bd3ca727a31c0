"""Images: what can be booted or installed. Operators bring them in; racks fetch them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import FileResponse, Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import whole
from rackwright.core.errors import StoreUnavailable
from rackwright.core.images import Manifest
from rackwright.engine import image_signing, images
from rackwright.store.images import ImageFolder


class Prefetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which racks are to have an image at hand, null: all; ``wanted`` false: no longer."""

    racks: list[str] | None = None
    wanted: bool = True


async def list_images(call: Call) -> Response:
    """Every image, the one that was added last first."""
    return whole([_told(image) for image in await asyncio.to_thread(_folder(call).all)])


async def get_image(call: Call) -> Response:
    """The manifest of a digest, or the one that a name means now."""
    return reply(_told(await asyncio.to_thread(_folder(call).find, call.path["image"])))


async def add_image(call: Call) -> Response:
    """Make an image known whose files were sent; a signature must fit. Its name means it from now on."""
    manifest = await call.body(Manifest)
    image_signing.check(manifest)
    await asyncio.to_thread(_folder(call).add, manifest)
    await tell_racks(call)
    return reply(_told(manifest), 201, {"Location": f"{PREFIX}/images/{manifest.digest}"})


async def remove_image(call: Call) -> Response:
    """Forget an image, and its files that no other one has."""
    await asyncio.to_thread(_folder(call).remove, call.path["image"])
    await tell_racks(call)
    return nothing()


async def tell_racks(call: Call, racks: Sequence[str] | None = None) -> None:
    """Let racks (None: all) know the images that there are. An api that keeps none tells nothing."""
    if call.services.images is not None:
        found = await asyncio.to_thread(call.services.images.all)
        await images.tell_racks(call.store, call.services.catalogs, found, racks)


async def verify_image(call: Call) -> Response:
    """Read every byte of an image's files, and check its signature; tells what is wrong."""
    folder = _folder(call)
    manifest = await asyncio.to_thread(folder.find, call.path["image"])
    faults = await asyncio.to_thread(folder.faults, manifest)
    return reply({"name": manifest.name, "digest": manifest.digest, "faults": faults})


async def prefetch(call: Call) -> Response:
    """Let racks have an image at hand, or no longer."""
    given = await call.body(Prefetch)
    manifest = await asyncio.to_thread(_folder(call).find, call.path["image"])
    racks = await images.prefetch(call.store, call.services.catalogs, manifest, given.racks, wanted=given.wanted)
    return reply({"digest": manifest.digest, "racks": racks})


async def get_file(call: Call) -> Response:
    """A file by its SHA-256, whole or in part (Range)."""
    path = await asyncio.to_thread(_folder(call).path, call.path["sha256"])
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


async def put_file(call: Call) -> Response:
    """Take a file under its SHA-256, of any length. One that is there already is left as it is."""
    size = await _folder(call).receive(call.path["sha256"], call.request.stream())
    return reply({"sha256": call.path["sha256"], "bytes": size}, 201)


def _folder(call: Call) -> ImageFolder:
    folder = call.services.images
    if folder is None:
        raise StoreUnavailable("this api keeps no images", mend="start it with a data folder (--data)")
    return folder


def _told(image: Manifest) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(image)
    return {**said, "digest": image.digest}


_RACK = f"{PREFIX}/racks/{{name}}"
routes = [
    route("GET", f"{PREFIX}/images", list_images, "read"),
    route("POST", f"{PREFIX}/images", add_image, "admin"),
    route("GET", f"{PREFIX}/images/files/{{sha256}}", get_file, "read"),
    route("PUT", f"{PREFIX}/images/files/{{sha256}}", put_file, "admin"),
    route("GET", f"{PREFIX}/images/{{image}}", get_image, "read"),
    route("DELETE", f"{PREFIX}/images/{{image}}", remove_image, "admin"),
    route("POST", f"{PREFIX}/images/{{image}}/verify", verify_image, "read"),
    route("POST", f"{PREFIX}/images/{{image}}/prefetch", prefetch, "admin"),
    route("GET", f"{_RACK}/images/files/{{sha256}}", get_file, "rack"),
    route("GET", f"{_RACK}/images/{{image}}", get_image, "rack"),
]
