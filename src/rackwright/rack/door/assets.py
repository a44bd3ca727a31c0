"""``/assets``: files of images by their SHA-256, and iPXE's own files; whole or in ranges (RFC 9110, section 14)."""

from __future__ import annotations

import asyncio
import os
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rackwright.core.errors import NotFound, Retryable
from rackwright.rack.door.files import SentFile
from rackwright.rack.door.inside import inside

fetch_patience = 25.0
"""Seconds for which a machine waits while the rack fetches a file; then it is told to come again."""

_LOADER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


async def image_file(request: Request) -> Response:
    """A file of an image; 503 with Retry-After while the rack is still fetching it."""
    cache, sha256 = inside(request).images, request.path_params["sha256"]
    try:
        async with asyncio.timeout(fetch_patience):
            path = await cache.file(sha256)
    except TimeoutError:
        what = "the rack is still fetching this file"
        raise Retryable(what, where=sha256, mend="ask again", after=5.0) from None
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{sha256}"'}
    return SentFile(path, headers, cache.to_machines, cache.reading(sha256))


async def loader(request: Request) -> Response:
    """A file of iPXE itself, for firmware that boots over HTTP. A machine that is to boot its own disk gets none: its
    firmware then goes on to the next entry, which is the disk. Once started, iPXE could not go back to it."""
    _refuse_those_at_home(request)
    folder, name = inside(request).loaders, request.path_params["name"]
    path = os.path.join(folder, name)
    if not _LOADER.fullmatch(name) or not await asyncio.to_thread(os.path.isfile, path):
        raise NotFound(f"there is no boot loader {name!r}", where=folder, mend="install the package `ipxe` on the rack")
    return SentFile(path)


def _refuse_those_at_home(request: Request) -> None:
    replica, source = inside(request).replica, request.client.host if request.client else ""
    node = replica.node_by_address(source)
    if node is not None and replica.effective_bootenv(node).kind == "local":
        raise NotFound(f"{node.name} boots its own disk, not from the network", where=source)


routes = [Route("/assets/ipxe/{name}", loader), Route("/assets/{sha256}", image_file)]
