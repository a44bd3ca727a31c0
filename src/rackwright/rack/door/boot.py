"""``/boot``: what a machine boots, decided per request from the replica."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rackwright.core.errors import RackwrightError
from rackwright.core.images import Manifest
from rackwright.core.served import ServedNode
from rackwright.rack.door.boot_choice import again_url, discovery_image, node_script, stranger_script, wanted_image
from rackwright.rack.door.inside import Inside, door_url, inside
from rackwright.rack.door.scripts import question_script, trouble_script

BOOTED_PARTS = ("kernel", "ramdisk", "rescue", "storage")

log = structlog.get_logger()


async def known(request: Request) -> Response:
    """The script for the machine with the token in the URL; 403 for a token that is void or another's."""
    here, token = inside(request), request.path_params["token"]
    node = here.node_of(token)
    mac = _mac(request)
    if mac and _is_of_another(here, node, mac):
        raise await here.refuse(node, (mac,), _source(request))
    return _script(await script_for(here, node, door_url(request), token))


async def stranger(request: Request) -> Response:
    """The script for a machine that came without a token. DHCP may not have learned yet that it is known."""
    here, door, mac = inside(request), door_url(request), _mac(request)
    if not mac:
        return _script(question_script(again_url(door, "")))
    node = here.replica.node_by_mac(mac)
    if node is not None:
        token = here.replica.token(node)
        return _script(await script_for(here, here.node_of(token), door, token))
    log.info("boot", mac=mac, kind="discovery", serial=request.query_params.get("serial", ""))
    try:
        image = await _at_hand(here, discovery_image(here.replica.rack()))
        return _script(stranger_script(mac, image, door))
    except RackwrightError as error:
        return _script(trouble_script(f"no discovery system for this machine ({mac}): {error}", again_url(door, "")))


async def script_for(here: Inside, node: ServedNode, door: str, token: str) -> str:
    """The script for a known machine. What is wrong is told on its console, and it asks again."""
    log.info("boot", node=node.name, kind=node.bootenv.kind, request=node.bootenv.request)
    try:
        name = wanted_image(node.bootenv, here.replica.rack())
        image = await _at_hand(here, name) if name else None
        return node_script(node, image, door, token)
    except RackwrightError as error:
        log.warning("a machine cannot be booted", node=node.name, reason=str(error))
        return trouble_script(f"{node.name} cannot boot yet: {error}", again_url(door, token))


async def _at_hand(here: Inside, name: str) -> Manifest:
    """An image whose kernel and ramdisk are in the cache, so that the machine does not wait for them."""
    image = await here.images.manifest(name)
    await here.images.have(image, *BOOTED_PARTS)
    return image


def _is_of_another(here: Inside, node: ServedNode, mac: str) -> bool:
    """Whether this Ethernet address is another node's. One that nobody owns may be a second card of this one."""
    owner = here.replica.node_by_mac(mac)
    return owner is not None and owner.id != node.id and mac not in node.macs


def _mac(request: Request) -> str:
    return request.query_params.get("mac", "").lower().replace("-", ":")


def _source(request: Request) -> str:
    return request.client.host if request.client else ""


def _script(text: str) -> Response:
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


routes = [Route("/boot/ipxe", stranger), Route("/boot/{token}/ipxe", known)]
